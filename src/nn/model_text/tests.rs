//! Model files: those of the zoo, a graph, and what is refused.

use super::*;
use crate::nn::layers::{Dropout, LayerKind};
use crate::nn::{Network, zoo};

#[test]
fn the_files_in_docs_are_the_zoo() {
    let picture = || Shape::image(3, 150, 150);
    for (name, text, input, classes) in [
        ("iris_mlp", include_str!("../../../docs/models/iris_mlp.toml"), Shape::vector(4), 3),
        ("img_mlp", include_str!("../../../docs/models/img_mlp.toml"), picture(), 6),
        ("img_cnn", include_str!("../../../docs/models/img_cnn.toml"), picture(), 6),
        ("img_cnn", include_str!("../../../docs/models/img_cnn.toml"), Shape::image(1, 33, 65), 2),
        ("mnist_cnn", include_str!("../../../docs/models/mnist_cnn.toml"), Shape::image(1, 28, 28), 10),
        ("vgg5", include_str!("../../../docs/models/vgg5.toml"), Shape::image(3, 32, 32), 10),
        ("vgg5_plain", include_str!("../../../docs/models/vgg5_plain.toml"), Shape::image(3, 32, 32), 10),
        ("greenai_chain", include_str!("../../../docs/models/greenai_chain.toml"), Shape::image(3, 32, 32), 10),
        ("greenai_chain", include_str!("../../../docs/models/greenai_chain.toml"), Shape::image(1, 21, 17), 4),
    ] {
        assert_eq!(parse(text, &input, classes).unwrap(), zoo::by_name(name, &input, classes).unwrap());
    }
}

#[test]
fn the_example_of_the_documentation_is_a_graph_that_builds() {
    let page = include_str!("../../../docs/models.md");
    let text = page.split("```").nth(1).unwrap().strip_prefix("toml").unwrap();
    let spec = parse(text, &Shape::image(3, 64, 64), 6).unwrap();
    assert_eq!(spec.nodes[3].inputs, ["conv2", "trunk"]);
    let network = Network::build(spec).unwrap();
    assert_eq!(network.num_classes(), 6);
    for (kind, ..) in KINDS {
        assert!(page.contains(&format!("`{kind}`")), "{kind} is missing in docs/models.md");
    }
}

#[test]
fn the_tables_here_are_the_layers() {
    // What serde says of a word that is none lists all that are.
    let words = |message: String| -> Vec<String> {
        let list = message.split("expected").nth(1).unwrap_or_default().to_owned();
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let read = |text: &str| toml::from_str::<LayerKind>(text).unwrap_err().message().to_owned();
    assert_eq!(words(read("kind = \"?\"")), KINDS.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>());
    for (kind, _, settings) in KINDS {
        let mut fields = words(read(&format!("kind = \"{kind}\"\nwrong = 1")));
        fields.retain(|field| field != "stream");
        assert_eq!(&fields, settings, "{kind}");
    }
}

#[test]
fn dropouts_are_numbered_and_every_kind_can_be_written() {
    let text = "input = [2, 8, 8]\nloss = \"l2\"\n\
        [[layer]]\nkind = \"avg_pool\"\nkernel = [2, 1]\nstride = 2\n\
        [[layer]]\nkind = \"dropout\"\nrate = 0.25\nname = \"d\"\n\
        [[layer]]\nkind = \"max_pool\"\nkernel = 2\nfrom = \"d\"\n\
        [[layer]]\nkind = \"global_max_pool\"\n\
        [[layer]]\nkind = \"global_avg_pool\"\nfrom = \"input\"\n\
        [[layer]]\nkind = \"concat\"\nfrom = [\"pool3\", \"pool4\"]\n\
        [[layer]]\nkind = \"standardize\"\n[[layer]]\nkind = \"dropout\"\nrate = 0.5\n\
        [[layer]]\nkind = \"tanh\"\n[[layer]]\nkind = \"dense\"\n[[layer]]\nkind = \"softmax\"\n";
    let spec = parse(text, &Shape::vector(128), 5).unwrap();
    let streams: Vec<u32> = (spec.nodes.iter())
        .filter_map(|node| match node.layer {
            LayerKind::Dropout(Dropout { stream, .. }) => Some(stream),
            _ => None,
        })
        .collect();
    assert_eq!(streams, [0, 1]);
    let names: Vec<&str> = spec.nodes.iter().map(|node| node.name.as_str()).collect();
    let expected = "pool1 d pool2 pool3 pool4 concat1 norm1 dropout2 act1 fc1 softmax1";
    assert_eq!(names.join(" "), expected);
    assert_eq!((&spec.input, spec.outputs[0].loss, spec.name.as_str()), (&Shape::image(2, 8, 8), Loss::L2, "model"));
    Network::build(spec).unwrap();
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let layer = |text: &str| format!("[[layer]]\n{text}\n[[layer]]\nkind = \"dense\"\n");
    let cases = [
        (String::new(), "line 1: there is no layer"),
        ("layer = 3".into(), "line 1: there is no layer"),
        ("layer = [3]".into(), "line 1: a layer is not a table"),
        ("name = \n".into(), "line 1: this is not TOML"),
        (layer("kind = \"relu\"\nkind = \"relu\""), "line 3: this is not TOML: duplicate key"),
        (layer("kind = \"relu\"") + "[layers]\n", "line 5: a model file has no setting layers; did you mean layer?"),
        ("name = 3\n".to_owned() + &layer("kind = \"relu\""), "line 1: the name is no text"),
        ("loss = \"mse\"\n".to_owned() + &layer("kind = \"relu\""), "line 1: the loss is none that is known; write"),
        (
            "input = [3, 9, 9]\n".to_owned() + &layer("kind = \"relu\""),
            "line 1: the input is 3x9x9, and a sample of the data is 3x8x8; leave",
        ),
        ("input = [0]\n".to_owned() + &layer("kind = \"relu\""), "line 1: the input 0 has no size"),
        ("input = \"3x8x8\"\n".to_owned() + &layer("kind = \"relu\""), "line 1: the input is no shape"),
        (layer("outputs = 3"), "line 2: a layer does not say its kind; write kind"),
        (
            layer("\nkind = \"conv\""),
            "line 3: there is no kind of layer conv; did you mean conv2d?; kinds are add, avg_pool",
        ),
        (layer("kind = \"max_pol\""), "did you mean max_pool?"),
        (layer("kind = 7"), "no kind of layer 7"),
        (
            layer("kind = \"conv2d\"\noutputs = 3\nkernal = 3"),
            "line 4: a conv2d layer has no setting kernal; did you mean kernel?",
        ),
        (
            layer("kind = \"conv2d\"\noutputs = 3"),
            "line 2: layer conv1: missing field `kernel`; its settings are inputs",
        ),
        (layer("kind = \"conv2d\"\noutputs = 3\nkernel = -3"), "a whole number or [height, width]"),
        (
            layer("kind = \"conv2d\"\noutputs = 3\nkernel = 9"),
            "line 2: node 'conv1': a conv2d layer has a kernel of 9x9",
        ),
        (layer("kind = \"conv2d\"\noutputs = 9000000000000000000\nkernel = 1"), "line 2: node 'conv1': sizes must be"),
        (layer("kind = \"dense\""), "line 2: a dense layer does not say how wide"),
        (layer("kind = \"dropout\"\nrate = 1.5"), "line 2: node 'dropout1': a dropout layer has a rate of 1.5; give"),
        (layer("kind = \"dropout\"\nrate = 0.5\nstream = 3"), "line 4: a dropout layer has no setting stream"),
        (
            layer("kind = \"relu\"\nfrom = \"inptu\""),
            "line 3: there is no layer inptu above this one; did you mean input?",
        ),
        (layer("kind = \"add\"\nfrom = []"), "line 3: from names no layer"),
        (layer("kind = \"add\""), "line 2: node 'add1': a add layer joins two tensors"),
        (layer("kind = \"relu\"\nname = \"a.b\""), "line 3: the name cannot name tensors"),
        (layer("kind = \"relu\"\nname = \"input\""), "a layer is named input, as is the input"),
        (layer("kind = \"relu\"\nname = \"fc1\""), "line 5: a layer is named fc1, as is the one of line 2"),
        (layer("kind = \"relu\"\n[[layer]]\nkind = \"tanh\"\nfrom = \"input\""), "line 2: nothing reads layer relu1"),
        (layer("kind = \"relu\"\nexit = 1"), "line 3: exit is neither true nor false; write"),
        (layer("kind = \"relu\"\nexit = true"), "line 2: exit relu1 gives 3x8x8, and the data have 10 classes; make"),
        (
            "[[layer]]\nkind = \"flatten\"\n".into(),
            "line 2: layer flatten1 gives 192, and the data have 10 classes; end",
        ),
    ];
    for (text, expected) in cases {
        let message = parse(&text, &Shape::image(3, 8, 8), 10).unwrap_err().to_string();
        assert!(message.contains(expected), "{text}\n{message}\n{expected}");
        assert!(!message.contains('\n') && message.contains("; "), "{message}");
    }
}
