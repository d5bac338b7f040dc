//! `goai-rs config show` and `goai-rs config keys`.

use super::args::TrainArgs;
use super::failure::Failure;
use super::printed::printed;
use crate::config::{Sources, show as pages};
use std::io::Write;

/// Prints every key with its value and where it came from, for these options of training and the
/// environment, directories and files of this process. Notes go to `notes`, the error stream.
///
/// # Errors
/// The first mistake in the configuration, with its exit code 2 or 3.
pub fn show(args: &TrainArgs, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Failure> {
    page(&args.sources().of_process(), out, notes)
}

/// Prints every key with its flag, variable, values, default and meaning.
///
/// # Errors
/// When the output cannot be written, exit code 4.
pub fn keys(out: &mut dyn Write) -> Result<(), Failure> {
    printed(out.write_all(pages::keys().as_bytes()).and_then(|()| out.flush()))
}

/// [`show`] for any sources, so that a test does not depend on the environment that it runs in.
fn page(sources: &Sources, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Failure> {
    let (config, origins) = sources.load()?;
    for note in config.notes() {
        // What is asked for is the page: it is printed even where nobody takes the notes.
        let _ = writeln!(notes, "note: {note}");
    }
    printed(out.write_all(pages::show(&config, &origins).as_bytes()).and_then(|()| out.flush()))
}

#[cfg(test)]
mod tests {
    use super::super::printed::Refusing;
    use super::*;
    use crate::config::keys::KEYS;
    use std::io::ErrorKind;

    fn sources(sets: &[&str]) -> Sources {
        Sources { sets: sets.iter().map(|&set| set.to_owned()).collect(), ..Sources::default() }
    }

    #[test]
    fn every_key_is_shown_and_notes_go_elsewhere() {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        page(&sources(&["parallelism=3", "seed=9"]), &mut out, &mut notes).unwrap();
        let (out, notes) = (String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap());
        assert_eq!(out.lines().count(), KEYS.len() + 1);
        let seed = out.lines().find(|line| line.starts_with("seed ")).unwrap();
        assert!(seed.contains(" 9 ") && seed.ends_with("--set"), "{seed}");
        assert!(notes.starts_with("note: parallelism = 3") && notes.lines().count() == 1, "{notes}");
        assert!(!out.contains("note:"), "{out}");
    }

    #[test]
    fn a_mistake_prints_nothing_and_keeps_its_exit_code() {
        let variable = Sources { variables: vec![("GOAI_SEDE".into(), "1".into())], ..Sources::default() };
        for (sources, code, part) in [(sources(&["sede=1"]), 2, "seed"), (variable, 3, "GOAI_SEED")] {
            let (mut out, mut notes) = (Vec::new(), Vec::new());
            let failure = page(&sources, &mut out, &mut notes).unwrap_err();
            assert_eq!((failure.code, out.len(), notes.len()), (code, 0, 0));
            assert!(failure.message.contains(part), "{failure}");
        }
    }

    #[test]
    fn keys_lists_them_all() {
        let mut out = Vec::new();
        keys(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(KEYS.iter().all(|key| text.contains(key.name)));
        assert_eq!(keys(&mut Refusing(ErrorKind::BrokenPipe)), Ok(()));
        assert_eq!(keys(&mut Refusing(ErrorKind::StorageFull)).unwrap_err().code, 4);
    }
}
