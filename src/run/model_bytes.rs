//! The bytes of a model file, and the checks that a stranger's bytes have to pass: a length that
//! they claim is never a length that is allocated.

use super::checkpoint;
use super::model_file::{FORMAT, Model, ModelMeta, RETRAIN};
use super::state::hex_hash;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashMap;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Longest header that is parsed: parsed JSON takes many times its own length.
const HEADER_LIMIT: u64 = 16 << 20;

/// Name of the tensor that holds the checksum of all bytes before it. Being the only one of bytes, it is the last of the
/// file: the format sorts tensors by the size of their numbers, then by name.
pub(super) const SEAL: &str = "seal";

/// What stands before the name of a slice of a checkpoint's state.
pub(super) const STATE: &str = "state.";

/// A tensor to be written.
pub(super) type Tensor<'a> = (String, Vec<usize>, &'a [f32]);

/// The file of these tensors; what is wrong with them otherwise.
pub(super) fn to_bytes(tensors: &[Tensor], meta: &ModelMeta) -> Result<Vec<u8>, String> {
    Ok(pieces(tensors.to_vec(), meta)?.concat())
}

/// The file of these tensors in pieces, one behind the other: weights stay where they are, so that a file as large as
/// memory can be written. A checkpoint gets the checksums of its tensors and a seal. What is wrong with them otherwise.
pub(super) fn pieces<'a>(mut tensors: Vec<Tensor<'a>>, meta: &ModelMeta) -> Result<Vec<Cow<'a, [u8]>>, String> {
    tensors.sort_by(|(one, ..), (two, ..)| one.cmp(two));
    check_finite("means", &meta.means)?;
    check_finite("deviations", &meta.deviations)?;
    let mut meta = ModelMeta { format: FORMAT, ..meta.clone() };
    let (mut infos, mut pieces, mut end) = (Vec::new(), vec![Cow::default()], 0);
    for (name, shape, values) in tensors {
        let size = shape.iter().try_fold(1, |size: usize, &side| size.checked_mul(side));
        if size != Some(values.len()) {
            return Err(format!("tensor {name}: {} values for shape {shape:?}", values.len()));
        }
        let twice = infos.last().is_some_and(|(last, _): &(String, _)| *last == name);
        if twice || name == "__metadata__" || name == SEAL {
            return Err(format!("tensor name {name:?} is taken"));
        }
        if !is_state(&meta, &name) {
            check_finite(&name, values)?;
        }
        let bytes = bytes_of(values);
        if let Some(checkpoint) = &mut meta.checkpoint {
            checkpoint.sums.insert(name.clone(), hex_hash(xxh3_64(&bytes)));
        }
        let data_offsets = (end, end + bytes.len());
        infos.push((name, TensorInfo { dtype: Dtype::F32, shape, data_offsets }));
        end = data_offsets.1;
        pieces.push(bytes);
    }
    if meta.checkpoint.is_some() {
        let info = TensorInfo { dtype: Dtype::U8, shape: vec![8], data_offsets: (end, end + 8) };
        infos.push((SEAL.to_owned(), info));
    }
    let sealed = meta.checkpoint.is_some();
    pieces[0] = Cow::Owned(header(infos, &meta)?);
    if sealed {
        let mut sum = Xxh3::new();
        pieces.iter().for_each(|piece| sum.update(piece));
        pieces.push(Cow::Owned(sum.digest().to_le_bytes().to_vec()));
    }
    Ok(pieces)
}

/// The header's length and the header.
fn header(infos: Vec<(String, TensorInfo)>, meta: &ModelMeta) -> Result<Vec<u8>, String> {
    let text = serde_json::to_string(meta).map_err(|why| why.to_string())?;
    // One metadata key: a HashMap of several would be written in an order that changes.
    let info = HashMap::from([("goai".to_owned(), text)]);
    let header = Metadata::new(Some(info), infos).map_err(|why| why.to_string())?;
    let mut header = serde_json::to_vec(&header).map_err(|why| why.to_string())?;
    // Spaces behind the header align what follows it.
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() as u64 > HEADER_LIMIT {
        return Err(format!("its header would take {} bytes (at most {HEADER_LIMIT})", header.len()));
    }
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut header);
    Ok(bytes)
}

/// Little-endian, as the format asks, on any machine.
pub(super) fn bytes_of(values: &[f32]) -> Cow<'_, [u8]> {
    match cfg!(target_endian = "little") {
        true => Cow::Borrowed(bytemuck::cast_slice(values)),
        false => Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
    }
}

/// Whether a tensor is a slice of a checkpoint's state and none of the network, which may have a layer of that name.
fn is_state(meta: &ModelMeta, name: &str) -> bool {
    let slices = meta.checkpoint.as_ref().map_or(&[][..], |checkpoint| &checkpoint.slices);
    name.strip_prefix(STATE).is_some_and(|name| slices.iter().any(|slice| slice == name))
}

fn check_finite(name: &str, values: &[f32]) -> Result<(), String> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(format!("{name}[{at}] is {}, not a finite number", values[at])),
        None => Ok(()),
    }
}

/// The model in these bytes, which may be those of a checkpoint; what is wrong with them, and the cure, otherwise.
pub(super) fn from_bytes(bytes: &[u8]) -> Result<Model, (String, &'static str)> {
    contents(bytes).map(|contents| contents.model)
}

/// All that a file may hold.
pub(super) struct Contents {
    /// The network's tensors and what stands beside them.
    pub model: Model,
    /// The slices of a checkpoint's state, in the order in which they were given; none in a plain model.
    pub state: Vec<(String, Vec<f32>)>,
}

/// What is in these bytes; what is wrong with them, and the cure, otherwise.
pub(super) fn contents(bytes: &[u8]) -> Result<Contents, (String, &'static str)> {
    if let Some(kind) = other_kind(bytes) {
        return Err((format!("this is {kind}, not a safetensors file"), RETRAIN));
    }
    let damaged = |why: String| (format!("not a whole safetensors file: {why}"), RETRAIN);
    let (header, data) = header_and_data(bytes).map_err(damaged)?;
    let text = header.metadata().as_ref().and_then(|info| info.get("goai"));
    // First of all: nothing else in a file that was changed is worth a word.
    let sealed = check_seal(bytes, &header).map_err(|why| match text.and_then(|text| read_meta(text).ok()) {
        Some(meta) => damaged(why + &blamed(&header, data, &meta)),
        None => damaged(why),
    })?;
    let text =
        text.ok_or_else(|| ("it has weights but no \"goai\" metadata: another program wrote it".into(), RETRAIN))?;
    let meta = read_meta(text)?;
    if meta.checkpoint.is_some() != sealed {
        return Err(damaged("its seal does not belong to its description".into()));
    }
    let (mut tensors, mut state) = (Vec::new(), Vec::new());
    for name in header.offset_keys().into_iter().filter(|name| !(sealed && name == SEAL)) {
        let info = header.info(&name).ok_or_else(|| damaged(format!("tensor {name} is lost")))?;
        if info.dtype != Dtype::F32 {
            return Err((format!("tensor {name} is {:?}, not F32", info.dtype), "convert the file to 32-bit floats"));
        }
        let (start, end) = info.data_offsets;
        let content = data.get(start..end).ok_or_else(|| damaged(format!("tensor {name} ends outside of it")))?;
        let values: Vec<f32> = content.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
        if is_state(&meta, &name) {
            state.push((name[STATE.len()..].to_owned(), values));
            continue;
        }
        check_finite(&name, &values).map_err(|why| (why, "the training diverged: train again with a smaller --lr"))?;
        tensors.push((name, info.shape.clone(), values));
    }
    let place = |slice: &(String, Vec<f32>)| {
        meta.checkpoint.as_ref().and_then(|checkpoint| checkpoint.slices.iter().position(|name| *name == slice.0))
    };
    state.sort_by_key(place);
    Ok(Contents { model: Model { tensors, meta }, state })
}

/// Whether a file is sealed; what is wrong with its seal otherwise.
fn check_seal(bytes: &[u8], header: &Metadata) -> Result<bool, String> {
    let Some(info) = header.info(SEAL).filter(|info| info.dtype == Dtype::U8) else { return Ok(false) };
    let (sealed, seal) = bytes.split_last_chunk::<8>().ok_or("it ends before its seal")?;
    if info.shape != [8] || info.data_offsets.1 != header.data_len() {
        return Err("its seal is not at its end".into());
    }
    let (sum, seal) = (xxh3_64(sealed), u64::from_le_bytes(*seal));
    match sum == seal {
        true => Ok(true),
        false => Err(format!("its bytes have the checksum {}, and {} was written", hex_hash(sum), hex_hash(seal))),
    }
}

/// Which tensors were changed, for a message.
fn blamed(header: &Metadata, data: &[u8], meta: &ModelMeta) -> String {
    let sums = meta.checkpoint.iter().flat_map(|checkpoint| &checkpoint.sums);
    let changed = sums.filter(|(name, sum)| {
        let bytes = header.info(name).and_then(|info| data.get(info.data_offsets.0..info.data_offsets.1));
        bytes.is_some_and(|bytes| hex_hash(xxh3_64(bytes)) != **sum)
    });
    let names: Vec<&str> = changed.map(|(name, _)| name.as_str()).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(" (changed: {})", names.join(", ")),
    }
}

/// Splits the file. The header's tensors are checked against each other by the crate, and here
/// against the file's own length, without the crate's sum that overflows.
fn header_and_data(bytes: &[u8]) -> Result<(Metadata, &[u8]), String> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or("shorter than its first number")?;
    let length = u64::from_le_bytes(*length);
    if length > HEADER_LIMIT {
        return Err(format!("a header of {length} bytes (at most {HEADER_LIMIT})"));
    }
    let (header, data) = rest.split_at_checked(length as usize).ok_or("it ends inside the header")?;
    let header: Metadata = serde_json::from_slice(header).map_err(|why| format!("header: {why}"))?;
    if header.data_len() != data.len() {
        return Err(format!("{} bytes of weights, {} announced", data.len(), header.data_len()));
    }
    Ok((header, data))
}

fn read_meta(text: &str) -> Result<ModelMeta, (String, &'static str)> {
    /// Read first: a newer version may have other fields.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
        checkpoint: Option<Inner>,
    }
    #[derive(Deserialize)]
    struct Inner {
        format: u32,
    }
    let bad = |why: serde_json::Error| (format!("\"goai\" metadata: {why}"), RETRAIN);
    let version: Version = serde_json::from_str(text).map_err(bad)?;
    let checkpoint = version.checkpoint.map_or(0, |inner| inner.format);
    for (what, format, newest) in
        [("model", version.format, FORMAT), ("checkpoint", checkpoint, checkpoint::format::FORMAT)]
    {
        if format > newest {
            let why = format!("{what} format {format} of a newer version, this goai-rs reads up to {newest}");
            return Err((why, "use the goai-rs that wrote it, or a newer one"));
        }
    }
    serde_json::from_str(text).map_err(bad)
}

/// What a file is that was taken for a model, by its first bytes.
fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 8] = [
        (b"PK\x03\x04", "a zip archive (PyTorch .pt/.pth, Keras .keras and NumPy .npz are zip)"),
        (b"\x80\x02", "a Python pickle"),
        (b"\x80\x03", "a Python pickle"),
        (b"\x80\x04", "a Python pickle"),
        (b"\x80\x05", "a Python pickle"),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x1f\x8b", "a gzip file"),
        (b"GGUF", "a GGUF file"),
    ];
    // A real file may begin with any of these, as the low bytes of its header's length; the
    // ninth byte tells: there the header's JSON begins.
    if bytes.get(8) == Some(&b'{') {
        return None;
    }
    let kind = kinds.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| *kind);
    let printable = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e);
    match bytes {
        [] => Some("an empty file"),
        _ => kind.or_else(|| bytes.iter().take(64).all(printable).then_some("a text file")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::model_file::tests::meta;
    use super::*;
    use proptest::prelude::*;

    const WEIGHT: [f32; 6] = [1.0, -2.5, 0.0, f32::MIN_POSITIVE, f32::MAX, -0.0];

    fn bytes() -> Vec<u8> {
        to_bytes(&[("b.bias".into(), vec![], &[7.0]), ("a.weight".into(), vec![2, 3], &WEIGHT)], &meta()).unwrap()
    }

    /// A file with this header and `data` bytes of zeros.
    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    /// A file of our own whose metadata is `goai` and whose only tensor is `tensor`.
    fn with(goai: &str, tensor: &str, data: usize) -> Vec<u8> {
        let goai = serde_json::to_string(goai).unwrap();
        file(&format!(r#"{{"__metadata__":{{"goai":{goai}}},"w":{tensor}}}"#), data)
    }

    #[test]
    fn the_same_model_gives_the_same_bytes_in_any_order() {
        let reversed = [("a.weight".into(), vec![2, 3], &WEIGHT[..]), ("b.bias".into(), vec![], &[7.0][..])];
        for _ in 0..8 {
            assert_eq!(to_bytes(&reversed, &meta()).unwrap(), bytes());
        }
        assert_eq!(bytes().len() % 4, 0, "the weights are aligned");
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let goai = serde_json::to_string(&meta()).unwrap();
        let scalar = r#"{"dtype":"F32","shape":[],"data_offsets":[0,4]}"#;
        assert!(from_bytes(&with(&goai, scalar, 4)).is_ok(), "the cases below differ from this one");
        let mut nan = with(&goai, scalar, 0);
        nan.extend(f32::NAN.to_le_bytes());
        let huge = format!(r#"{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}"#, usize::MAX / 8);
        let overflow = r#"{"dtype":"F32","shape":[9223372036854775807,9223372036854775807],"data_offsets":[0,4]}"#;
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        for (bytes, part) in [
            (b"".to_vec(), "an empty file"),
            (b"PK\x03\x04 and so on".to_vec(), "a zip archive"),
            (b"\x80\x04\x95 and so on".to_vec(), "a Python pickle"),
            (b"\x89HDF\r\n\x1a\n and so on".to_vec(), "an HDF5 file"),
            (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "a text file"),
            (b"\x01\x02".to_vec(), "shorter than its first number"),
            (u64::MAX.to_le_bytes().to_vec(), "a header of 18446744073709551615 bytes"),
            (file(&deep, 0), "header"),
            (b"\x02\0\0\0\0\0\0\0{\xc3".to_vec(), "header"),
            (file(r#"{"w":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#, 4), "no \"goai\" metadata"),
            (with("{}", scalar, 4), "missing field `format`"),
            (with("[\n", scalar, 4), "\"goai\" metadata"),
            (with(r#"{"format": 2}"#, scalar, 4), "model format 2 of a newer version, this goai-rs reads up to 1"),
            (with(&goai, scalar, 3), "3 bytes of weights, 4 announced"),
            (with(&goai, scalar, 5), "5 bytes of weights, 4 announced"),
            (with(&goai, r#"{"dtype":"F16","shape":[2],"data_offsets":[0,4]}"#, 4), "F16, not F32"),
            (with(&goai, r#"{"dtype":"F32","shape":[3],"data_offsets":[0,4]}"#, 4), "header"),
            (with(&goai, overflow, 4), "header"),
            (with(&goai, &huge, 4), "announced"),
            (nan, "w[0] is NaN"),
        ] {
            let (why, cure) = from_bytes(&bytes).unwrap_err();
            assert!(why.contains(part) && !cure.is_empty(), "{part}: {why}");
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = bytes();
        for length in 0..whole.len() {
            assert!(from_bytes(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
        }
    }

    #[test]
    fn no_bit_flip_panics() {
        let mut bytes = bytes();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = from_bytes(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = from_bytes(&bytes);
        }

        #[test]
        fn no_header_panics(shape in prop::collection::vec(any::<usize>(), 0..4), start: usize, end: usize, dtype in "[BFIU][0-9]{1,2}") {
            let header = format!(r#"{{"__metadata__":{{"goai":"{{}}"}},"w":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}}}"#);
            let _ = from_bytes(&file(&header, 16));
        }

        #[test]
        fn any_finite_weights_come_back(values in prop::collection::vec(any::<f32>().prop_filter("finite", |v| v.is_finite()), 0..40)) {
            let meta = ModelMeta { means: values.clone(), ..meta() };
            let bytes = to_bytes(&[("w".into(), vec![values.len()], &values)], &meta).unwrap();
            let model = from_bytes(&bytes).map_err(|(why, _)| TestCaseError::fail(why))?;
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&model.tensors[0].2), bits(&values));
            prop_assert_eq!(bits(&model.meta.means), bits(&values));
        }
    }
}
