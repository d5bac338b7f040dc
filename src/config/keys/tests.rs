//! The table itself: unique names, defaults that are values.

use super::*;
use std::collections::HashSet;

fn presets() -> impl Iterator<Item = Preset> {
    let data = [Data::Iris, Data::Img, Data::Cifar10, Data::Mnist, Data::Table, Data::Folder];
    data.into_iter().flat_map(|data| [Net::Mlp, Net::Cnn].map(|net| Preset { data, net, chain: false, sampled: false }))
}

#[test]
fn names_flags_and_variables_are_unique_and_every_default_is_a_value() {
    let mut seen = HashSet::new();
    for key in KEYS {
        assert!(seen.insert(key.name.to_owned()), "{}", key.name);
        assert!(seen.insert(key.variable()), "{}", key.name);
        assert!(key.flag.is_empty() || seen.insert(key.flag.to_owned()));
        assert!(!key.doc.contains('\n') && !key.doc.is_empty());
        for preset in presets() {
            if let Some(text) = key.default_for(preset) {
                assert!(key.kind.parse(text).is_ok(), "{} = {text}", key.name);
            }
        }
    }
}

#[test]
fn variables_are_the_names_in_capitals() {
    for (name, variable) in
        [("learningRate", "GOAI_LEARNING_RATE"), ("inputdataDims", "GOAI_INPUTDATA_DIMS"), ("seed", "GOAI_SEED")]
    {
        assert_eq!(key(name).unwrap().variable(), variable);
    }
}

#[test]
fn defaults_go_with_the_data_and_the_network() {
    let default = |name, data, net| key(name).unwrap().default_for(Preset { data, net, chain: false, sampled: false });
    for (name, data, net, expected) in [
        ("inputdataDims", Data::Table, Net::Mlp, None),
        ("inputLayerNeurons", Data::Table, Net::Mlp, Some("30")),
        ("learningRate", Data::Img, Net::Cnn, Some("0.004")),
        ("optimizer", Data::Img, Net::Cnn, Some("sgd")),
        ("augment", Data::Img, Net::Cnn, Some("crop-flip")),
        ("augment", Data::Img, Net::Mlp, Some("none")),
        ("augment", Data::Mnist, Net::Cnn, Some("none")),
        ("imageSize", Data::Img, Net::Mlp, Some("150x150")),
        ("imageSize", Data::Folder, Net::Cnn, None),
    ] {
        assert_eq!(default(name, data, net), expected, "{name} {data:?}");
    }
    for preset in presets() {
        assert_eq!(default("model", preset.data, preset.net), Some(preset.data.model(preset.chain)));
        let chained = Preset { chain: true, ..preset };
        assert_eq!(key("model").unwrap().default_for(chained), Some(chained.data.model(true)));
    }
    assert_eq!(key("init").unwrap().defaults(), "glorot (a CNN: he)");
    assert_eq!(key("imageSize").unwrap().defaults(), "unset (img: 150x150)");
}

#[test]
fn mistyped_keys_find_their_name_also_by_flag() {
    for (typed, name) in [
        ("learingRate", Some("learningRate")),
        ("lr", Some("learningRate")),
        ("epochs", Some("numEpochs")),
        ("batch_size", Some("batchSize")),
        ("colour", None),
    ] {
        assert_eq!(nearest(typed), name, "{typed}");
    }
}
