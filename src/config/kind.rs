//! What a key's value may be, and the one place where its text is read.
//!
//! Whatever the text comes from (flag, variable, file), it passes through [`Kind::parse`], so the
//! same mistake gets the same words everywhere.

use super::lists::{Cuts, Every, Neighbourhood, Numbers, RankList, SplitPoints};
use super::suggest::{did_you_mean, suggest};
use super::values::{Arrivals, Dataset, ImageSize, Model};
use crate::data::split::Fractions;
use crate::nn::zoo;
use serde_json::Value;

/// What a key's value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A whole number between two bounds, both included.
    Count {
        /// Least.
        least: u64,
        /// Most.
        most: u64,
    },
    /// A finite number in an interval.
    Number {
        /// Lower end.
        least: f64,
        /// Whether the lower end itself is allowed.
        least_in: bool,
        /// Upper end.
        most: f64,
        /// Whether the upper end itself is allowed.
        most_in: bool,
    },
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// true or false.
    Switch,
    /// Any text but none.
    Text,
    /// Three shares, see [`Fractions`].
    Shares,
    /// A whole number above zero, or the word `full`.
    Batch,
    /// A data set, see [`Dataset`].
    Dataset,
    /// A network, see [`Model`].
    Model,
    /// The same, or a trained one in a file.
    Graph,
    /// A size of pictures, see [`ImageSize`].
    Size,
    /// One or more numbers from 0, see [`Numbers`].
    Numbers {
        /// The most that each may be.
        most: f64,
    },
    /// Where a network is cut, see [`Cuts`].
    Cuts,
    /// Where devices hand over to a server, see [`SplitPoints`].
    Split,
    /// Different ranks, see [`RankList`].
    Ranks,
    /// When requests come, see [`Arrivals`].
    Arrivals,
    /// How often something is done, see [`Every`].
    Every,
    /// How many weights a proposal changes, see [`Neighbourhood`].
    Neighbourhood,
}

/// Why a text is no value of its kind, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, as the end of a sentence that starts with the value.
    pub why: String,
    /// What to do, as an imperative.
    pub cure: String,
}

/// Elements of one message, one index, one dimension: what MPI counts with a 32-bit integer.
pub const MOST_ELEMENTS: u64 = i32::MAX as u64;

impl Kind {
    /// The values in words, for help texts and cures.
    pub fn hint(&self) -> String {
        match *self {
            Self::Count { least, most } if most >= MOST_ELEMENTS => {
                format!("a whole number, {least} or more")
            }
            Self::Count { least, most } => format!("a whole number from {least} to {most}"),
            Self::Number { least, least_in, most, most_in } => {
                let from = if least_in { "from" } else { "above" };
                let to = if most_in { "up to" } else { "below" };
                format!("a number {from} {least} and {to} {most}")
            }
            Self::Choice(words) => words.join("|"),
            Self::Switch => "true|false".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Shares => "three shares like 0.8/0.1/0.1".to_owned(),
            Self::Batch => "a whole number, 1 or more, or full".to_owned(),
            Self::Dataset => {
                "iris, img, cifar10, mnist, FILE.csv, FILE.npy, or a folder with a / in its path".to_owned()
            }
            Self::Model => format!("{} or FILE.toml", zoo::names().collect::<Vec<_>>().join("|")),
            Self::Graph => {
                format!("{}, FILE.toml or a trained FILE.safetensors", zoo::names().collect::<Vec<_>>().join("|"))
            }
            Self::Numbers { most } => format!("a number from 0 to {most}, or several with commas between them"),
            Self::Cuts => "ascending whole numbers with commas between them, like 1,3,4".to_owned(),
            Self::Split => "auto, none, a number of trunk blocks, or one for each device like 2,7,7".to_owned(),
            Self::Ranks => "different ranks with commas between them, like 0,2".to_owned(),
            Self::Arrivals => "at-once, poisson:RATE, periodic:SECONDS or trace:FILE.csv".to_owned(),
            Self::Every => "a number of steps like 100, or of seconds like 30s".to_owned(),
            Self::Neighbourhood => "filter or a whole number, a comma, and a whole number, like filter,363".to_owned(),
            Self::Size => format!("a number of pixels, or HEIGHTxWIDTH, up to {} each", ImageSize::MOST),
        }
    }

    /// Reads a value; the result has the type under which [`super::Config`] carries it.
    ///
    /// # Errors
    /// What is wrong with the text and what to write instead.
    pub fn parse(&self, text: &str) -> Result<Value, Problem> {
        let cure = || format!("write {}", self.hint());
        let bad = |why: &str| Problem { why: why.to_owned(), cure: cure() };
        if text.is_empty() {
            return Err(Problem { why: "is empty".to_owned(), cure: format!("{}, or leave the key out", cure()) });
        }
        match *self {
            Self::Count { least, most } => count(text, least, most).map_err(|p| p.or(cure)),
            Self::Batch if text == "full" => Ok(Value::from("full")),
            Self::Batch => count(text, 1, MOST_ELEMENTS).map_err(|p| p.or(cure)),
            Self::Number { .. } => self.number(text).map_err(|p| p.or(cure)),
            Self::Choice(words) if words.contains(&text) => Ok(Value::from(text)),
            Self::Choice(words) => Err(Problem {
                why: format!("is none of {}", words.join("|")),
                cure: match suggest(text, words.iter().copied()) {
                    Some(word) => format!("did you mean {word}?"),
                    None => "write one of them".to_owned(),
                },
            }),
            Self::Switch => match text {
                "true" => Ok(Value::from(true)),
                "false" => Ok(Value::from(false)),
                _ => Err(bad("is neither true nor false")),
            },
            Self::Text if text.contains('\0') => Err(bad("holds a NUL character")),
            Self::Text => Ok(Value::from(text)),
            Self::Shares => Fractions::parse(text).map(|split| Value::from(split.to_string())).map_err(|why| bad(&why)),
            Self::Model | Self::Graph => Model::try_from(text.to_owned())
                .and_then(|model| match (self, model.trained()) {
                    (Self::Model, Some(_)) => Err("is no description of a network".to_owned()),
                    _ => Ok(model),
                })
                .map(|model| Value::from(String::from(model)))
                .map_err(|why| Problem { why, cure: cure() + &did_you_mean(suggest(text, zoo::names())) }),
            Self::Size => {
                ImageSize::try_from(text.to_owned()).map(|size| Value::from(size.to_string())).map_err(|why| bad(&why))
            }
            Self::Numbers { most } => {
                Numbers::read(text, most).map(|n| Value::from(String::from(n))).map_err(|why| bad(&why))
            }
            Self::Cuts => {
                Cuts::try_from(text.to_owned()).map(|cuts| Value::from(String::from(cuts))).map_err(|why| bad(&why))
            }
            Self::Split => SplitPoints::try_from(text.to_owned())
                .map(|points| Value::from(String::from(points)))
                .map_err(|why| bad(&why)),
            Self::Ranks => RankList::try_from(text.to_owned())
                .map(|ranks| Value::from(String::from(ranks)))
                .map_err(|why| bad(&why)),
            Self::Arrivals => {
                Arrivals::try_from(text.to_owned()).map(|law| Value::from(String::from(law))).map_err(|why| bad(&why))
            }
            Self::Every => {
                Every::try_from(text.to_owned()).map(|every| Value::from(String::from(every))).map_err(|why| bad(&why))
            }
            Self::Neighbourhood => Neighbourhood::try_from(text.to_owned())
                .map(|sizes| Value::from(String::from(sizes)))
                .map_err(|why| bad(&why)),
            Self::Dataset => {
                Dataset::try_from(text.to_owned()).map(|dataset| Value::from(String::from(dataset))).map_err(|why| {
                    Problem { why, cure: cure() + &did_you_mean(suggest(text, Dataset::WORDS.iter().copied())) }
                })
            }
        }
    }

    fn number(&self, text: &str) -> Result<Value, Fault> {
        let Self::Number { least, least_in, most, most_in } = *self else {
            return Err(Fault::why("is not a number"));
        };
        let value: f64 = text.parse().map_err(|_| not_a_number(text))?;
        if value.is_nan() {
            return Err(Fault::why("is not a number"));
        }
        // Rust reads 1e400 as infinity, so this catches both.
        if value.is_infinite() {
            return Err(Fault::why("is not finite"));
        }
        if value < least || (value == least && !least_in) {
            return Err(Fault::why(below(value == 0.0, value < 0.0)));
        }
        if value > most || (value == most && !most_in) {
            return Err(Fault::why("is too large"));
        }
        // Training is done in single precision: a rate that is zero there would train nothing.
        if value != 0.0 && (value as f32) == 0.0 {
            return Err(Fault::why("is zero in single precision"));
        }
        Ok(Value::from(value))
    }
}

/// A problem whose cure may be the kind's own hint.
struct Fault {
    why: String,
    cure: Option<String>,
}

impl Fault {
    fn why(why: &str) -> Self {
        Self { why: why.to_owned(), cure: None }
    }

    fn or(self, cure: impl FnOnce() -> String) -> Problem {
        Problem { why: self.why, cure: self.cure.unwrap_or_else(cure) }
    }
}

fn below(zero: bool, negative: bool) -> &'static str {
    match (zero, negative) {
        (true, _) => "is zero",
        (_, true) => "is negative",
        _ => "is too small",
    }
}

/// A text that is no number: the decimal comma is the mistake with a better cure than the rest.
fn not_a_number(text: &str) -> Fault {
    let dotted = text.replace(',', ".");
    let is_comma = dotted != text && dotted.parse::<f64>().is_ok();
    Fault {
        why: if is_comma { "has a comma".to_owned() } else { "is not a number".to_owned() },
        cure: is_comma.then(|| format!("use a dot: {dotted}")),
    }
}

fn count(text: &str, least: u64, most: u64) -> Result<Value, Fault> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(match text.parse::<f64>() {
            Ok(number) if number.is_nan() => Fault::why("is not a number"),
            Ok(number) if number < 0.0 => Fault::why("is negative"),
            Ok(_) => Fault::why("is not a whole number"),
            Err(_) => not_a_number(text),
        });
    }
    // Digits only, so the one thing that can go wrong is their number.
    let value: u64 = text.parse().map_err(|_| Fault::why("is too large"))?;
    match value {
        value if value < least => Err(Fault::why(below(value == 0, false))),
        value if value > most => Err(Fault {
            why: "is too large".to_owned(),
            cure: Some(format!("write a whole number from {least} to {most}")),
        }),
        value => Ok(Value::from(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE_UP: Kind = Kind::Count { least: 1, most: MOST_ELEMENTS };
    const RATE: Kind = Kind::Number { least: 0.0, least_in: false, most: 1000.0, most_in: true };

    #[test]
    fn good_texts_become_values() {
        for (kind, text, value) in [
            (ONE_UP, "30", Value::from(30)),
            (RATE, "1e-2", Value::from(0.01)),
            (RATE, "1", Value::from(1.0)),
            (Kind::Switch, "true", Value::from(true)),
            (Kind::Batch, "full", Value::from("full")),
            (Kind::Batch, "80", Value::from(80)),
            (Kind::Dataset, "intel", Value::from("img")),
            (Kind::Dataset, "./photos", Value::from("./photos")),
            (Kind::Model, "vgg5", Value::from("vgg5")),
            (Kind::Graph, "a/b.safetensors", Value::from("a/b.safetensors")),
            (Kind::Size, "64", Value::from("64x64")),
            (Kind::Cuts, "1, 3,4", Value::from("1,3,4")),
            (Kind::Numbers { most: 1.0 }, "0.50,1", Value::from("0.5,1")),
            (Kind::Split, "auto", Value::from("auto")),
            (Kind::Split, "2, 7,0", Value::from("2,7,0")),
            (Kind::Ranks, "2, 0", Value::from("2,0")),
            (Kind::Arrivals, "poisson:2.50", Value::from("poisson:2.5")),
            (Kind::Arrivals, "trace:a b.CSV", Value::from("trace:a b.CSV")),
            (Kind::Every, "100", Value::from("100")),
            (Kind::Every, "0.50s", Value::from("0.5s")),
            (Kind::Neighbourhood, "filter, 363", Value::from("filter,363")),
        ] {
            assert_eq!(kind.parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn bad_texts_say_why_and_what_to_write() {
        for (kind, text, why, cure) in [
            (ONE_UP, "", "empty", "leave the key out"),
            (ONE_UP, "0", "zero", "1 or more"),
            (ONE_UP, "-4", "negative", "1 or more"),
            (ONE_UP, "4.5", "not a whole number", "whole"),
            (ONE_UP, "1_000", "not a number", "whole"),
            (ONE_UP, "99999999999999999999999", "too large", "whole"),
            (ONE_UP, "18446744073709551615", "too large", "2147483647"),
            (RATE, "0,01", "comma", "use a dot: 0.01"),
            (RATE, "NaN", "not a number", "above 0"),
            (RATE, "inf", "not finite", "above 0"),
            (RATE, "1e400", "not finite", "above 0"),
            (RATE, "1e300", "too large", "up to 1000"),
            (RATE, "1e-60", "single precision", "above 0"),
            (RATE, "0", "zero", "above 0"),
            (RATE, "-1", "negative", "above 0"),
            (RATE, "fast", "not a number", "above 0"),
            (Kind::Switch, "yes", "neither", "true|false"),
            (Kind::Choice(&["sgd", "adam"]), "sdg", "sgd|adam", "mean sgd"),
            (Kind::Choice(&["sgd", "adam"]), "lbfgs", "sgd|adam", "one of"),
            (Kind::Dataset, "irsi", "no data set", "mean iris"),
            (Kind::Model, "img_cn", "no network", "mean img_cnn"),
            (Kind::Model, "a.safetensors", "no description of a network", "FILE.toml"),
            (Kind::Size, "64x", "not a size", "HEIGHTxWIDTH"),
            (Kind::Size, "0x4", "zero", "4096"),
            (Kind::Cuts, "3,1", "ascending", "1,3,4"),
            (Kind::Cuts, "0,1", "ascending", "1,3,4"),
            (Kind::Cuts, "1,,2", "part '' that is not a whole number", "1,3,4"),
            (Kind::Numbers { most: 1.0 }, "1.5", "has 1.5, which is above 1", "from 0 to 1"),
            (Kind::Numbers { most: 1.0 }, "0.5,-1", "has -1, which is negative", "from 0 to 1"),
            (Kind::Numbers { most: 1.0 }, "NaN", "not a number", "from 0 to 1"),
            (Kind::Split, "all", "not a whole number", "auto"),
            (Kind::Split, "2,-1", "not a whole number", "auto"),
            (Kind::Ranks, "0,0", "names rank 0 twice", "like 0,2"),
            (Kind::Ranks, "0,-1", "not a whole number", "like 0,2"),
            (Kind::Arrivals, "poisson", "no law of arrivals", "poisson:RATE"),
            (Kind::Arrivals, "poisson:0", "has a rate of 0", "poisson:RATE"),
            (Kind::Arrivals, "periodic:-1", "has -1 s between two", "periodic:SECONDS"),
            (Kind::Arrivals, "poisson:fast", "has 'fast', which is not a number", "poisson:RATE"),
            (Kind::Arrivals, "trace:", "names no file", "trace:FILE.csv"),
            (Kind::Every, "0", "zero", "30s"),
            (Kind::Every, "-3s", "neither", "30s"),
            (Kind::Every, "5m", "neither", "30s"),
            (Kind::Neighbourhood, "filter", "one part", "filter,363"),
            (Kind::Neighbourhood, "0,3", "zero", "filter,363"),
            (Kind::Batch, "0", "zero", "or full"),
            (Kind::Shares, "1/2", "2 shares", "0.8/0.1/0.1"),
        ] {
            let problem = kind.parse(text).unwrap_err();
            assert!(problem.why.contains(why), "{text}: {problem:?}");
            assert!(problem.cure.contains(cure), "{text}: {problem:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            for kind in [ONE_UP, RATE, Kind::Switch, Kind::Text, Kind::Shares, Kind::Batch, Kind::Dataset, Kind::Model, Kind::Graph, Kind::Size,
                Kind::Cuts, Kind::Split, Kind::Ranks, Kind::Arrivals, Kind::Numbers { most: 1.0 }, Kind::Every, Kind::Neighbourhood] {
                let _ = kind.parse(&text);
            }
        }
    }
}
