//! When a sample leaves a trained network at an exit head: the options of `eval` and `predict`, and what they come to.

use super::failure::Failure;
use crate::config::{ExitRule, Kind, Numbers};
use crate::strategy::{Exits, Sureness};
use clap::Args;

/// Exit code of options that do not fit the model.
const USAGE: u8 = 2;

/// Options that let samples leave early.
#[derive(Debug, Clone, PartialEq, Default, Args)]
pub struct ExitArgs {
    /// Let a sample leave at the first exit head that is sure enough: a threshold from 0 to 1 for all heads, or one for
    /// each but the last
    #[arg(long, value_name = "X[,X...]", value_parser = thresholds, allow_hyphen_values = true)]
    pub exit_threshold: Option<Numbers>,
    /// What a threshold bounds: confidence, the largest probability, from below (the default), or entropy, over its
    /// maximum, from above
    #[arg(long, value_name = "RULE", value_parser = rule)]
    pub exit_rule: Option<ExitRule>,
}

impl ExitArgs {
    /// What thresholds are compared with.
    pub fn sureness(&self) -> Sureness {
        match self.exit_rule {
            None | Some(ExitRule::Confidence) => Sureness::Confidence,
            Some(ExitRule::Entropy) => Sureness::Entropy,
        }
    }

    /// The rule for a network with so many heads, where thresholds are given; `swept`: whether they are looked for.
    ///
    /// # Errors
    /// Options for exits where there are none, a rule without thresholds, more or fewer of these than heads; exit code 2.
    pub fn exits(&self, heads: usize, swept: bool) -> Result<Option<Exits>, Failure> {
        let given = [
            ("--exit-threshold", self.exit_threshold.is_some()),
            ("--exit-sweep", swept),
            ("--exit-rule", self.exit_rule.is_some()),
        ];
        let refuse = |text: String| Err(Failure::new(USAGE, text));
        if let Some((option, _)) = given.iter().find(|(_, given)| *given && heads == 1) {
            return refuse(format!(
                "{option}: this model has one output and no exit heads; train it with --mode pipeline, or leave {option} out"
            ));
        }
        let Some(thresholds) = &self.exit_threshold else {
            return match self.exit_rule {
                Some(rule) if !swept => {
                    refuse(format!("--exit-rule {rule}: there is no threshold for it; add --exit-threshold"))
                }
                _ => Ok(None),
            };
        };
        let thresholds = thresholds.all().to_vec();
        if thresholds.len() != 1 && thresholds.len() + 1 != heads {
            let (count, all) = (thresholds.len(), heads - 1);
            let cure = if all == 1 { "write one".to_owned() } else { format!("write one, or {all}") };
            return refuse(format!("--exit-threshold: {count} thresholds for {heads} heads; {cure}"));
        }
        Ok(Some(Exits { sureness: self.sureness(), thresholds }))
    }
}

fn thresholds(text: &str) -> Result<Numbers, String> {
    let kind = Kind::Numbers { most: 1.0 };
    kind.parse(text).map_err(|problem| format!("{}; {}", problem.why, problem.cure))?;
    Numbers::read(text, 1.0)
}

fn rule(text: &str) -> Result<ExitRule, String> {
    let kind = Kind::Choice(ExitRule::WORDS);
    kind.parse(text).map_err(|problem| format!("{}; {}", problem.why, problem.cure))?;
    ExitRule::from_word(text).ok_or_else(String::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(threshold: Option<&str>, rule: Option<ExitRule>) -> ExitArgs {
        ExitArgs { exit_threshold: threshold.map(|text| thresholds(text).unwrap()), exit_rule: rule }
    }

    #[test]
    fn options_become_a_rule() {
        assert_eq!(args(None, None).exits(1, false).unwrap(), None);
        assert_eq!(args(None, Some(ExitRule::Entropy)).exits(3, true).unwrap(), None);
        let exits = args(Some("0.5,1"), Some(ExitRule::Entropy)).exits(3, false).unwrap();
        assert_eq!(exits, Some(Exits { sureness: Sureness::Entropy, thresholds: vec![0.5, 1.0] }));
        let exits = args(Some("0"), None).exits(5, true).unwrap();
        assert_eq!(exits, Some(Exits { sureness: Sureness::Confidence, thresholds: vec![0.0] }));
    }

    #[test]
    fn options_that_do_not_fit_are_one_line() {
        for (threshold, rule, heads, swept, part) in [
            (Some("0.5"), None, 1, false, "--exit-threshold: this model has one output"),
            (None, None, 1, true, "--exit-sweep: this model has one output"),
            (None, Some(ExitRule::Entropy), 1, false, "--exit-rule: this model has one output"),
            (None, Some(ExitRule::Entropy), 3, false, "--exit-rule entropy: there is no threshold"),
            (Some("0.5,0.6,0.7"), None, 3, false, "3 thresholds for 3 heads; write one, or 2"),
            (Some("0.5,0.6"), None, 2, true, "2 thresholds for 2 heads; write one"),
        ] {
            let failure = args(threshold, rule).exits(heads, swept).unwrap_err();
            assert!(failure.code == 2 && failure.message.contains(part), "{failure}");
        }
        for (text, part) in [("1.5", "above 1"), ("-0.1", "negative"), ("0.5,", "not a number"), ("", "")] {
            let why = thresholds(text).unwrap_err();
            assert!(why.contains(part) && !why.contains('\n'), "{why}");
        }
    }
}
