//! The header of a .npy file: magic, version, length, and a Python dictionary of three known keys.
//!
//! Why not a crate: those there are bring a parser generator for all of Python's literals, and with it C code to guard
//! the stack, for what is one line of fixed form.
//!
//! # References
//! numpy, *NEP 1: A Simple File Format for NumPy Arrays*, and `numpy.lib.format`.

use super::NpyFault;

const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header; numpy itself refuses to read more than 10,000 bytes.
const LONGEST: usize = 10_000;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// As it is written: `<f4`.
    pub dtype: String,
    /// Column after column.
    pub fortran: bool,
    /// The dimensions.
    pub shape: Vec<usize>,
    /// Where the values begin in the file.
    pub start: usize,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, NpyFault> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return Err(NpyFault::NotNpy { what: what(bytes) }) };
        let [major, minor, rest @ ..] = rest else { return Err(damaged("it ends too early")) };
        let (length, rest) = match ((major, minor), rest) {
            ((1, 0), [a, b, rest @ ..]) => (usize::from(u16::from_le_bytes([*a, *b])), rest),
            ((2 | 3, 0), [a, b, c, d, rest @ ..]) => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
            ((1..=3, 0), _) => return Err(damaged("it ends too early")),
            _ => return Err(NpyFault::Version { major: *major, minor: *minor }),
        };
        if length > LONGEST {
            return Err(damaged(format!("{length} bytes, more than {LONGEST}")));
        }
        let start = bytes.len() - rest.len() + length;
        let text = rest.get(..length).ok_or_else(|| damaged("it ends too early"))?;
        let text = std::str::from_utf8(text).map_err(|_| damaged("it is no text"))?;
        Self::read(text, start)
    }

    fn read(text: &str, start: usize) -> Result<Self, NpyFault> {
        let (mut dtype, mut fortran, mut shape) = (None, None, None);
        let mut text = Text(text);
        text.expect("{")?;
        while !text.take("}") {
            let key = text.quoted()?;
            text.expect(":")?;
            let twice = match key {
                "descr" => dtype.replace(text.dtype()?).is_some(),
                "fortran_order" => fortran.replace(text.boolean()?).is_some(),
                "shape" => shape.replace(text.tuple()?).is_some(),
                other => return Err(damaged(format!("unknown key {other:?}"))),
            };
            if twice {
                return Err(damaged(format!("{key:?} is in it twice")));
            }
            if !text.take(",") {
                text.expect("}")?;
                break;
            }
        }
        if !text.0.trim().is_empty() {
            return Err(damaged("something follows the dictionary"));
        }
        match (dtype, fortran, shape) {
            (Some(dtype), Some(fortran), Some(shape)) => Ok(Self { dtype, fortran, shape, start }),
            _ => Err(damaged("descr, fortran_order or shape is missing")),
        }
    }
}

/// `(2, 3)`, as Python writes it.
pub(super) fn shown(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn what(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "an empty file",
        [b'P', b'K', ..] => "a .npz archive of several arrays",
        [0x80, ..] => "a pickle",
        [0x1f, 0x8b, ..] => "compressed with gzip",
        _ => "something else",
    }
}

fn damaged(why: impl Into<String>) -> NpyFault {
    NpyFault::Header { why: why.into() }
}

/// What is left of the header.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn take(&mut self, token: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(token);
        rest.inspect(|rest| self.0 = rest).is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), NpyFault> {
        if self.take(token) { Ok(()) } else { Err(damaged(format!("{token:?} is missing before {:?}", self.ahead()))) }
    }

    /// The next few characters, for a message.
    fn ahead(&self) -> String {
        self.0.chars().take(20).collect()
    }

    fn quoted(&mut self) -> Result<&'a str, NpyFault> {
        let quote = if self.take("'") { '\'' } else { self.expect("\"").map(|()| '"')? };
        let (content, rest) = self.0.split_once(quote).ok_or_else(|| damaged("a quote is not closed"))?;
        self.0 = rest;
        Ok(content)
    }

    /// A quoted type, or the list that describes a structure: refused here, where its text is.
    fn dtype(&mut self) -> Result<String, NpyFault> {
        if !self.0.trim_start().starts_with('[') {
            return self.quoted().map(str::to_owned);
        }
        let dtype: String = self.0.trim_start().split_inclusive(']').next().unwrap_or("").chars().take(60).collect();
        // A structure with an object in it is a pickle too.
        let object = ["'|O'", "'O'", "\"|O\""].iter().any(|object| self.0.contains(object));
        Err(if object { NpyFault::Object { dtype } } else { NpyFault::Dtype { dtype } })
    }

    fn boolean(&mut self) -> Result<bool, NpyFault> {
        if self.take("True") { Ok(true) } else { self.expect("False").map(|()| false) }
    }

    fn tuple(&mut self) -> Result<Vec<usize>, NpyFault> {
        let mut numbers = Vec::new();
        self.expect("(")?;
        while !self.take(")") {
            self.0 = self.0.trim_start();
            let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
            let number = self.0[..digits].parse();
            numbers.push(number.map_err(|_| damaged(format!("no dimension at {:?}", self.ahead())))?);
            self.0 = &self.0[digits..];
            // Python 2 wrote long numbers so.
            self.take("L");
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, text: &str) -> Vec<u8> {
        let length = (text.len() as u32).to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length[..] };
        [MAGIC, &[version, 0], length, text.as_bytes()].concat()
    }

    #[test]
    fn headers_of_all_versions_are_read() {
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }     \n";
        for (version, start) in [(1, 10), (2, 12), (3, 12)] {
            let header = Header::parse(&file(version, text)).unwrap();
            let shape = vec![3, 2];
            let expected = Header { dtype: "<f4".into(), fortran: false, shape, start: start + text.len() };
            assert_eq!(header, expected);
        }
        for (text, shape) in [
            ("{\"shape\":(5,),\"descr\":'|u1','fortran_order':True}", vec![5]),
            ("{'shape': (), 'descr': '|u1', 'fortran_order': True}", vec![]),
            ("{'shape': (7L, 1), 'descr': '|u1', 'fortran_order': True}", vec![7, 1]),
        ] {
            let header = Header::parse(&file(1, text)).unwrap();
            assert_eq!((header.shape, header.fortran), (shape, true), "{text}");
        }
    }

    #[test]
    fn damaged_headers_are_refused() {
        let good = "'descr': '<f4', 'fortran_order': False, 'shape': (3,)";
        for (text, expected) in [
            ("", "\"{\" is missing"),
            ("{'descr': '<f4'}", "is missing"),
            (&format!("{{{good}, 'more': 1}}"), "unknown key \"more\""),
            (&format!("{{{good}, 'shape': (3,)}}"), "\"shape\" is in it twice"),
            (&format!("{{{good}}} x"), "something follows"),
            (&format!("{{{good}"), "\"}\" is missing"),
            ("{'shape': (-3,)", "no dimension at \"-3,)\""),
            ("{'shape': (99999999999999999999,)", "no dimension"),
            ("{'shape': 3", "\"(\" is missing"),
            ("{'descr': '<f4", "a quote is not closed"),
            ("{'fortran_order': 1", "\"False\" is missing"),
            ("{'descr': [('a', '<f4'), ('b', '<i8')]", "is no number of 8 to 64 bits"),
            ("{'descr': [('a', '|O')]", "an array of Python objects"),
        ] {
            let message = Header::parse(&file(1, text)).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
        for (bytes, expected) in [
            (&b""[..], "an empty file"),
            (b"PK\x03\x04", "a .npz archive"),
            (b"\x80\x04", "a pickle"),
            (b"\x93NUMPX", "something else"),
            (b"\x93NUMPY", "ends too early"),
            (b"\x93NUMPY\x01\x00\x05", "ends too early"),
            (b"\x93NUMPY\x01\x00\x05\x00{", "ends too early"),
            (b"\x93NUMPY\x01\x00\x02\x00\xff\xfe", "no text"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "4294967295 bytes, more than 10000"),
            (b"\x93NUMPY\x04\x00", "format version 4.0"),
        ] {
            let message = Header::parse(bytes).unwrap_err().to_string();
            assert!(message.contains(expected), "{bytes:?}: {message}");
        }
    }
}
