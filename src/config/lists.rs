//! The settings that are several numbers. In files and in the broadcast each is the text that a user writes.

use serde::{Deserialize, Serialize};

/// One number for all, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Numbers(Vec<f64>);

impl Numbers {
    /// Reads numbers from 0 to `most`.
    ///
    /// # Errors
    /// What is wrong with the text, as the end of a sentence.
    pub fn read(text: &str, most: f64) -> Result<Self, String> {
        let number = |part: &str| match part.trim().parse::<f64>() {
            Ok(value) if value < 0.0 => Err(format!("has {value}, which is negative")),
            Ok(value) if value > most => Err(format!("has {value}, which is above {most}")),
            Ok(value) if !value.is_nan() => Ok(value),
            _ => Err(format!("has a part '{}' that is not a number", part.trim().escape_debug())),
        };
        text.split(',').map(number).collect::<Result<_, _>>().map(Self)
    }

    /// The numbers; one or more.
    pub fn all(&self) -> &[f64] {
        &self.0
    }
}

impl TryFrom<String> for Numbers {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::read(&text, f64::MAX)
    }
}

impl From<Numbers> for String {
    fn from(numbers: Numbers) -> String {
        numbers.0.iter().map(f64::to_string).collect::<Vec<_>>().join(",")
    }
}

/// How often something is done: every so many steps, or seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Every {
    /// Steps, 1 or more.
    Steps(u64),
    /// Seconds, above 0.
    Seconds(f64),
}

impl TryFrom<String> for Every {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = || Err("is neither a number of steps like 100 nor of seconds like 30s".to_owned());
        match text.strip_suffix('s') {
            None => match text.parse() {
                Ok(steps) if steps > 0 => Ok(Self::Steps(steps)),
                Ok(_) => Err("is zero".to_owned()),
                Err(_) => bad(),
            },
            Some(number) => match number.parse::<f64>() {
                Ok(seconds) if seconds > 0.0 && seconds.is_finite() => Ok(Self::Seconds(seconds)),
                _ => bad(),
            },
        }
    }
}

impl From<Every> for String {
    fn from(every: Every) -> String {
        match every {
            Every::Steps(steps) => steps.to_string(),
            Every::Seconds(seconds) => format!("{seconds}s"),
        }
    }
}

/// How many trunk blocks stand before each cut: ascending, the first above 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cuts(pub Vec<usize>);

impl TryFrom<String> for Cuts {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let cuts = text.split(',').map(whole).collect::<Result<Vec<_>, _>>()?;
        match cuts.first() != Some(&0) && cuts.is_sorted_by(|a, b| a < b) {
            true => Ok(Self(cuts)),
            false => Err("is not ascending from 1".to_owned()),
        }
    }
}

impl From<Cuts> for String {
    fn from(cuts: Cuts) -> String {
        cuts.0.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
    }
}

/// Where devices hand over to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SplitPoints {
    /// As a planner finds best, every round anew.
    Auto,
    /// Nowhere: devices hold all blocks.
    None,
    /// Behind so many trunk blocks: one number for all devices, or one for each.
    Fixed(Vec<usize>),
}

impl TryFrom<String> for SplitPoints {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            numbers => numbers.split(',').map(whole).collect::<Result<_, _>>().map(Self::Fixed),
        }
    }
}

impl From<SplitPoints> for String {
    fn from(points: SplitPoints) -> String {
        match points {
            SplitPoints::Auto => "auto".to_owned(),
            SplitPoints::None => "none".to_owned(),
            SplitPoints::Fixed(blocks) => blocks.iter().map(usize::to_string).collect::<Vec<_>>().join(","),
        }
    }
}

/// Different ranks, in the order in which they are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RankList(pub Vec<usize>);

impl TryFrom<String> for RankList {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let ranks = text.split(',').map(whole).collect::<Result<Vec<_>, _>>()?;
        let twice = ranks.iter().enumerate().find(|(at, rank)| ranks[..*at].contains(rank));
        match twice {
            None => Ok(Self(ranks)),
            Some((_, rank)) => Err(format!("names rank {rank} twice")),
        }
    }
}

impl From<RankList> for String {
    fn from(ranks: RankList) -> String {
        ranks.0.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
    }
}

fn whole(part: &str) -> Result<usize, String> {
    part.trim().parse().map_err(|_| format!("has a part '{}' that is not a whole number", part.trim().escape_debug()))
}

/// How many weights a proposal changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Neighbourhood {
    /// In convolutions; none: the weights of one filter.
    pub convolution: Option<usize>,
    /// In dense layers.
    pub dense: usize,
}

impl TryFrom<String> for Neighbourhood {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let Some((first, second)) = text.split_once(',') else {
            return Err("has one part, not two".to_owned());
        };
        let convolution = if first.trim() == "filter" { None } else { Some(whole(first)?) };
        let dense = whole(second)?;
        if convolution == Some(0) || dense == 0 {
            return Err("has a zero, which would change nothing".to_owned());
        }
        Ok(Self { convolution, dense })
    }
}

impl From<Neighbourhood> for String {
    fn from(sizes: Neighbourhood) -> String {
        let first = sizes.convolution.map_or("filter".to_owned(), |weights| weights.to_string());
        format!("{first},{}", sizes.dense)
    }
}
