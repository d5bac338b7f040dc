//! The command line as users type it.

use super::args::{Command, TrainArgs, UsageError, parse};
use crate::config::{Mode, PredictFormat, Progress, keys};
use std::ffi::OsString;

fn typed(line: &str) -> Result<Command, UsageError> {
    let words = std::iter::once("goai-rs").chain(line.split_whitespace());
    parse(words.map(OsString::from).collect())
}

fn train(line: &str) -> TrainArgs {
    match typed(line) {
        Ok(Command::Train(args)) => *args,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn training_is_the_default_and_flags_carry_text() {
    let args = train("--mode allreduce --lr -1 --batch 0 --seed 7 --deterministic --ranks 4");
    let flags = args.flag_values();
    for (key, value, flag) in [
        ("mode", "allreduce", "--mode"),
        ("learningRate", "-1", "--lr"),
        ("batchSize", "0", "--batch"),
        ("seed", "7", "--seed"),
        ("deterministic", "true", "--deterministic"),
    ] {
        let row = (key, value.to_owned(), flag.to_owned());
        assert!(flags.contains(&row), "{row:?} is not in {flags:?}");
    }
    assert_eq!(flags.len(), 5);
    assert_eq!(args.ranks.unwrap().get(), 4);
    assert_eq!(args.progress(), Progress::Auto);
    assert!(!args.is_single());
}

#[test]
fn every_flag_of_the_table_is_a_flag() {
    for key in keys::KEYS.iter().filter(|key| !key.flag.is_empty()) {
        let args = train(&format!("{} 1", key.flag));
        assert_eq!(args.flag_values(), [(key.name, "1".to_owned(), key.flag.to_owned())]);
    }
}

#[test]
fn single_names_mode_and_data_set() {
    for (line, dataset) in [
        ("--single", "iris"),
        ("--single iris", "iris"),
        ("--single x.csv --ranks 1", "x.csv"),
        ("--single --dataset x.csv", "x.csv"),
        ("--single img --dataset intel", "img"),
    ] {
        let args = train(line);
        let (config, _) = args.sources().load().unwrap();
        assert_eq!(config.mode, Some(Mode::Single), "{line}");
        assert_eq!(config.dataset.to_string(), dataset, "{line}");
        assert!(args.is_single());
    }
}

#[test]
fn the_other_commands() {
    let predict = typed("predict runs/latest a.csv b.csv --format jsonl").unwrap();
    let Command::Predict(predict) = predict else {
        panic!("{predict:?}");
    };
    assert_eq!(predict.files.len(), 2);
    assert_eq!(predict.format, PredictFormat::JsonLines);
    assert!(matches!(typed("eval runs/latest --json"), Ok(Command::Eval(args)) if args.json));
    assert!(matches!(typed("doctor"), Ok(Command::Doctor(_))));
    assert!(matches!(typed("config keys"), Ok(Command::ConfigKeys)));
    assert!(matches!(typed("state runs/x"), Ok(Command::State { .. })));
    assert!(matches!(typed("report a b --out s.svg"), Ok(Command::Report(args)) if args.runs.len() == 2));
    let Ok(Command::ConfigShow(args)) = typed("config show --lr 0.5 --set seed=2") else {
        panic!("config show takes the options of training");
    };
    assert_eq!(args.sources().load().unwrap().0.learning_rate, 0.5);
}

#[test]
fn help_and_version_print_and_succeed() {
    for (line, part) in [
        ("--version", "goai-rs "),
        ("--help", "--learning-rate"),
        ("config show --help", "--set"),
        ("predict --help", "jsonl"),
    ] {
        let Ok(Command::Print(text)) = typed(line) else {
            panic!("{line}");
        };
        let part = part.replace("--learning-rate", "--lr");
        assert!(text.contains(&part), "{text}");
    }
    let Ok(Command::Print(help)) = typed("--help") else {
        panic!("--help");
    };
    assert!(!help.contains("report"), "{help}");
}

#[test]
fn mistakes_are_one_line_with_the_cure() {
    for (line, parts) in [
        ("--epocs 3", ["unknown flag --epocs", "did you mean --epochs?"]),
        ("--learning-rate 1", ["unknown flag", "did you mean --lr?"]),
        ("--step-epochs 1", ["unknown flag", "--set stepEpochs=VALUE?"]),
        ("--verison", ["unknown flag --verison", "did you mean --version?"]),
        ("--colour", ["unknown flag --colour", "goai-rs --help"]),
        ("--lr", ["--lr", "missing"]),
        ("--lr 1 --lr 2", ["--lr is given twice", "keep one"]),
        ("--ranks 0", ["--ranks: 0 is zero", "from 1 to 1024"]),
        ("--ranks two", ["--ranks: two is not a number", "whole number"]),
        ("--progress bra", ["--progress: bra is none of", "did you mean bar?"]),
        ("-q -v", ["--quiet does not go together with --verbose;", "leave one"]),
        ("--single --ranks 4", ["--single and --ranks 4", "leave one"]),
        ("--single --mode sendrecv", ["--single and --mode sendrecv", "leave one"]),
        ("--single iris --dataset img", ["--single iris and --dataset img", "one data set"]),
        ("config show --single --ranks 2", ["--single and --ranks 2", "leave one"]),
        ("evla runs/x", ["unknown command evla", "did you mean eval?"]),
        ("iris", ["iris", "did you mean --dataset iris?"]),
        ("nonsense", ["unknown command nonsense", "goai-rs --help"]),
        ("config", ["config: a word is missing", "config show"]),
        ("config shwo", ["shwo", "did you mean config show?"]),
        ("eval", ["<RUN|CKPT>", "missing"]),
        ("predict runs/x", ["<FILE>", "missing"]),
        ("predict r f.csv --format cvs", ["--format: cvs is none of", "did you mean csv?"]),
        ("eval runs/x --part tset", ["--part: tset is none of", "did you mean test?"]),
        ("eval runs/x --jsn", ["unknown flag --jsn", "did you mean --json?"]),
        ("--lr 0.1 eval runs/x", ["--lr is given before a command", "command first"]),
        ("eval a b", ["unexpected argument b", "--help"]),
    ] {
        let error = match typed(line) {
            Err(error) => error,
            Ok(command) => panic!("{line}: {command:?}"),
        };
        let message = error.to_string();
        for part in parts {
            assert!(message.contains(part), "{line}: {part:?} is not in: {message}");
        }
        assert!(!message.contains('\n'), "{message:?}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
#[cfg(unix)]
fn arguments_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let args = vec!["goai-rs".into(), "--lr".into(), OsString::from_vec(vec![0xFF])];
    assert!(parse(args).unwrap_err().to_string().contains("UTF-8"));
}
