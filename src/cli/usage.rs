//! A mistake on the command line, in one line: what, why, the nearest flag, the cure.

use super::args::Cli;
use crate::config::keys::{self, KEYS};
use crate::config::suggest::{did_you_mean, suggest};
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// A command line that cannot be obeyed; the message is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UsageError {
    message: String,
}

impl UsageError {
    /// An error with this message.
    pub fn new(message: String) -> Self {
        Self { message }
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        2
    }
}

/// clap's error as one line of ours.
pub(super) fn one_line(error: &clap::Error) -> UsageError {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => String::new(),
    };
    // clap names an option with its value's placeholder: `--ranks <N>`.
    let argument = text(ContextKind::InvalidArg);
    let bare = |option: &str| {
        let end = option.find([' ', '[', '.']).unwrap_or(option.len());
        option[..end].to_owned()
    };
    let name = bare(&argument);
    let value = text(ContextKind::InvalidValue).escape_debug().to_string();
    UsageError::new(match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with('-') => unknown_flag(&argument),
        ErrorKind::UnknownArgument => unknown_word("unexpected argument", &argument),
        ErrorKind::InvalidSubcommand => unknown_word("unknown command", &text(ContextKind::InvalidSubcommand)),
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("{name}: a value is missing; see goai-rs --help")
        }
        ErrorKind::ValueValidation => match std::error::Error::source(error) {
            Some(why) => format!("{name}: {value} {why}"),
            None => format!("{name}: {value} is no value for it; see goai-rs --help"),
        },
        ErrorKind::ArgumentConflict if text(ContextKind::PriorArg) == argument => {
            format!("{name} is given twice; keep one of them")
        }
        // A command has no name among clap's arguments.
        ErrorKind::ArgumentConflict if name.is_empty() => {
            let other = bare(&text(ContextKind::PriorArg));
            format!("{other} is given before a command; write the command first, then its options")
        }
        ErrorKind::ArgumentConflict => {
            let other = bare(&text(ContextKind::PriorArg));
            format!("{name} does not go together with {other}; leave one of them out")
        }
        ErrorKind::MissingRequiredArgument => {
            format!("{argument} is missing; see goai-rs --help")
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => missing_word(&error.to_string()),
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8; write it in UTF-8".to_owned(),
        _ => first_line(&error.to_string()),
    })
}

/// What may stand behind a command that has commands of its own; clap's help names it.
fn missing_word(help: &str) -> String {
    let all = Cli::command();
    let commands = || all.get_subcommands().filter(|outer| outer.has_subcommands());
    let outer = commands().find(|outer| help.contains(&format!("goai-rs {} ", outer.get_name())));
    let Some(outer) = outer else {
        return "a word is missing; see goai-rs --help".to_owned();
    };
    let words: Vec<String> =
        outer.get_subcommands().map(|inner| format!("goai-rs {} {}", outer.get_name(), inner.get_name())).collect();
    format!("{}: a word is missing; write {}", outer.get_name(), words.join(" or "))
}

fn unknown_flag(flag: &str) -> String {
    let command = Cli::command();
    let inner = command.get_subcommands().flat_map(|command| command.get_subcommands());
    let all = std::iter::once(&command).chain(command.get_subcommands()).chain(inner);
    let flags: Vec<String> = all
        .flat_map(|command| command.get_arguments())
        .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
        // clap adds these two when it reads a command line.
        .chain(["--help", "--version"].map(str::to_owned))
        .collect();
    let by_name = || {
        let key = keys::key(suggest(flag, KEYS.iter().map(|key| key.name))?)?;
        Some(match key.flag {
            "" => format!("--set {}=VALUE", key.name),
            flag => flag.to_owned(),
        })
    };
    let nearest = suggest(flag, flags.iter().map(String::as_str)).map(str::to_owned);
    let nearest = nearest.or_else(by_name);
    // A flag of another command.
    if nearest.as_deref() == Some(flag) {
        return format!("{flag} is no flag of this command; see its --help");
    }
    unknown("unknown flag", flag, nearest.as_deref())
}

fn unknown_word(what: &str, word: &str) -> String {
    if let "iris" | "img" | "cifar10" | "mnist" = word {
        return unknown(what, word, Some(&format!("--dataset {word}")));
    }
    let command = Cli::command();
    let mut names = Vec::new();
    for outer in command.get_subcommands().filter(|outer| !outer.is_hide_set()) {
        names.push((outer.get_name(), outer.get_name().to_owned()));
        for inner in outer.get_subcommands() {
            let full = format!("{} {}", outer.get_name(), inner.get_name());
            names.push((inner.get_name(), full));
        }
    }
    let nearest = suggest(word, names.iter().map(|(name, _)| *name));
    let full = names.iter().find(|(name, _)| Some(*name) == nearest);
    unknown(what, word, full.map(|(_, full)| full.as_str()))
}

fn unknown(what: &str, word: &str, nearest: Option<&str>) -> String {
    let word = word.escape_debug();
    match nearest {
        Some(_) => format!("{what} {word}{}", did_you_mean(nearest)),
        None => format!("{what} {word}; see goai-rs --help"),
    }
}

/// The first line of a longer message of clap's, without its `error:`.
fn first_line(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or("the command line cannot be read");
    format!("{}; see goai-rs --help", line.trim_start_matches("error: "))
}
