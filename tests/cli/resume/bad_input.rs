//! What users get wrong about `--resume`: the exit code, and one line or one table.

use super::older;
use crate::run::{Launch, Run};

#[test]
fn what_cannot_be_resumed_gets_one_line() {
    let mut outcome = Run::new("--run-dir r --epochs 6 --checkpoint-every 7").launch(Launch::Threads(2)).ok();
    let from = older(&outcome, "r");
    std::fs::create_dir(outcome.path("empty")).unwrap();
    std::fs::write(outcome.path("notes.txt"), "no checkpoint").unwrap();
    std::fs::copy(outcome.path("r/model.safetensors"), outcome.path("model.safetensors")).unwrap();
    for (args, code, parts) in [
        ("--resume auto", 2, &["--resume auto", "--run-dir"][..]),
        ("--resume none", 4, &["none", "nothing here to resume"]),
        ("--resume empty", 4, &["empty", "no checkpoint here", "--checkpoint-every"]),
        ("--resume notes.txt", 4, &["notes.txt", "a text file"]),
        ("--resume model.safetensors", 4, &["model.safetensors", "without the state of a training"]),
        ("--resume r --run-dir r2 --folds 5", 3, &["folds", "keeps no checkpoints"]),
        ("--run-dir r", 3, &["already holds a run", "--resume auto"]),
        (&format!("--resume {from} --run-dir empty2 --epochs x"), 2, &["--epochs"]),
        ("--resume r --run-dir p --mode pipeline", 4, &["another network"]),
    ] {
        outcome = outcome.again(args).launch(Launch::Threads(2));
        assert_eq!((outcome.code, outcome.errors().len()), (code, 1), "{args}: {}", outcome.stderr);
        let line = outcome.errors()[0].to_owned();
        assert!(parts.iter().all(|part| line.contains(part)), "{args}: {line}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{args}: {}", outcome.stderr);
    }
}

#[test]
fn another_training_is_refused_with_a_table() {
    let outcome = Run::new("--run-dir r --epochs 6 --checkpoint-every 7").launch(Launch::Threads(2)).ok();
    let from = older(&outcome, "r");
    let line = format!("--resume {from} --run-dir x --set hiddenLayerNeurons=30 --batch 8 --seed 2 --global-batch 9");
    let outcome = outcome.again(&line).env("GOAI_OPTIMIZER", "sgd").launch(Launch::Threads(2));
    assert_eq!(outcome.code, 3);
    let golden = format!(
        "error: {from}: this checkpoint is of another training (5 differences); leave them as they were, or train without --resume
  key                 checkpoint  now  given by
  hiddenLayerNeurons  20          30   --set
  batchSize           4           8    --batch
  globalBatch         8           9    --global-batch
  optimizer           adam        sgd  GOAI_OPTIMIZER
  seed                1           2    --seed
"
    );
    assert_eq!(outcome.stderr, golden);
    assert!(!outcome.path("x").exists(), "nothing was made");
}

#[test]
fn other_data_are_refused_with_a_table() {
    let iris = include_str!("../../../datasets/iris.csv");
    let run = Run::new("--dataset i.csv --run-dir r --epochs 6 --checkpoint-every 7").file("i.csv", iris);
    let outcome = run.launch(Launch::Threads(2)).ok();
    let from = older(&outcome, "r");
    let other = iris.replacen("5.1", "5.2", 1);
    assert_ne!(other, iris);
    let again = outcome.again(&format!("--resume {from} --run-dir x")).file("i.csv", other);
    let outcome = again.launch(Launch::Threads(2));
    assert_eq!(outcome.code, 3, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("(1 difference)") && outcome.stderr.contains("the data "), "{}", outcome.stderr);
}
