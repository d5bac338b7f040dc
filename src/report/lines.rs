//! The words of the terminal: what runs, how an epoch went, what came out.

use super::text::{count, quantity, quoted, short, with_unit};
use crate::event::EpochRecord;
use crate::run::state::{Final, RunJson, State};
use crate::units::Bytes;
use std::path::Path;

/// What the head lines say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Head {
    /// Version of goai-rs.
    pub version: String,
    /// Training mode.
    pub mode: String,
    /// Host of each rank, by rank.
    pub hosts: Vec<String>,
    /// Threads of each rank, by rank.
    pub threads: Vec<usize>,
    /// MPI library; absent where the ranks are threads or there is only one.
    pub mpi: Option<String>,
    /// Data set.
    pub dataset: String,
    /// Samples for training, validation and test.
    pub split: [usize; 3],
    /// Folds and repeats of a cross-validation, which uses all samples instead of the split.
    pub folds: Option<[usize; 2]>,
    /// What a sample is, in the plural: `rows`, `pictures`.
    pub unit: String,
    /// Channels, height and width of a picture.
    pub shape: Option<[usize; 3]>,
    /// Number of classes.
    pub classes: usize,
    /// How training pictures are varied; empty: not at all.
    pub augment: String,
    /// Memory that a training rank will ask for.
    pub memory: Bytes,
    /// Network.
    pub model: String,
    /// Its number of parameters.
    pub parameters: usize,
    /// Payload that one rank gives to the others in one step's exchange.
    pub bytes_per_exchange: Bytes,
    /// Epochs to train.
    pub epochs: u64,
}

/// The lines before training.
pub(super) fn head_lines(head: &Head) -> Vec<String> {
    let ranks = count(head.hosts.len(), "rank");
    let library = head.mpi.as_ref().map_or(String::new(), |mpi| format!(", {mpi}"));
    let [train, validation, test] = head.split;
    let (dataset, unit) = (&head.dataset, &head.unit);
    let exchange = match head.bytes_per_exchange {
        Bytes(0) => String::new(),
        Bytes(bytes) => format!(", {} a rank and step to exchange", with_unit(bytes as f64, "B")),
    };
    let memory = match head.memory {
        Bytes(0) => String::new(),
        Bytes(bytes) => format!(", memory about {} a rank (predicted)", with_unit(bytes as f64, "B")),
    };
    let mut lines = vec![
        format!(
            "goai-rs {}: {}, {ranks} on {}, {}{library}",
            head.version,
            head.mode,
            places(&head.hosts),
            threads(&head.threads)
        ),
        match head.folds {
            Some([folds, repeats]) => format!(
                "data   {dataset}: {} {unit}, {repeats} x stratified {folds}-fold: each fold is held out once",
                train + validation + test
            ),
            None => format!(
                "data   {dataset}: {train} {unit} for training, {validation} for validation, {test} for testing"
            ),
        },
        format!("model  {}, {}{exchange}{memory}", head.model, count(head.parameters, "parameter")),
    ];
    if let Some([channels, height, width]) = head.shape {
        let varied = match head.augment.as_str() {
            "" => "trained as they are".to_owned(),
            how => format!("trained with {how}"),
        };
        let colors = if channels == 1 { "grey" } else { "color" };
        lines.insert(2, format!("       {height}x{width} pixels in {colors}, {} classes, {varied}", head.classes));
    }
    lines
}

/// `vm`, or `a (8), b (4)`; of many hosts only the number.
fn places(hosts: &[String]) -> String {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for host in hosts {
        match counted.iter_mut().find(|(name, _)| name == host) {
            Some((_, ranks)) => *ranks += 1,
            None => counted.push((host, 1)),
        }
    }
    match counted.as_slice() {
        [(host, _)] => (*host).to_owned(),
        few if few.len() <= 4 => {
            few.iter().map(|(host, ranks)| format!("{host} ({ranks})")).collect::<Vec<_>>().join(", ")
        }
        many => count(many.len(), "host"),
    }
}

fn threads(threads: &[usize]) -> String {
    let (least, most) = (threads.iter().min().copied().unwrap_or(1), threads.iter().max().copied().unwrap_or(1));
    match threads {
        [one] => count(*one, "thread"),
        _ if least == most => format!("{} each", count(most, "thread")),
        _ => format!("{least} to {most} threads each"),
    }
}

/// The figures of an epoch, as far as they exist.
pub(super) fn figures(record: &EpochRecord) -> String {
    let mut parts = vec![format!("loss {:.4}", record.train_loss)];
    parts.extend(record.val_loss.map(|loss| format!("val loss {loss:.4}")));
    parts.extend(record.val_acc.map(|share| format!("val acc {share:.3}")));
    parts.push(format!("{} samples/s", short(record.samples_per_s)));
    let (talk, all) = (record.comm_s + record.wait_s, record.compute_s + record.comm_s + record.wait_s);
    if talk > 0.0 {
        parts.push(format!("comm {:.0} %", talk / all * 100.0));
    }
    parts.join("  ")
}

/// The lines after it.
pub(super) fn end_lines(run: &RunJson, dir: &Path, unit: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if run.state != State::Complete {
        lines.push(format!("the run is {}", run.state));
    }
    if let Some(cv) = &run.cv {
        let (folds, repeats) = (cv.folds, cv.repeats);
        lines.push(format!(
            "accuracy {:.3} ± {:.3} on {}, {repeats} x stratified {folds}-fold",
            cv.mean, cv.sd, run.dataset
        ));
    }
    let figures = run.final_figures.as_ref();
    if let Some(figures) = figures {
        lines.extend(result_lines(figures, run, unit));
    }
    let place = quoted(&dir.to_string_lossy());
    lines.push(format!("results in {place}"));
    lines.push(match (run.state, figures) {
        (State::Complete, _) if run.cv.is_some() => {
            "next: the same command without --folds trains a model to keep".into()
        }
        (State::Complete, Some(_)) => format!("next: ./goai-rs eval {place}{}", run.eval_options),
        (State::Checkpointed, _) => {
            let command = format!("the same command with --run-dir {place} --resume auto");
            format!("next: {}", run.resume_command.as_ref().unwrap_or(&command))
        }
        _ => format!("next: ./goai-rs state {place}"),
    });
    lines
}

/// The final figures, as far as they exist.
fn result_lines(figures: &Final, run: &RunJson, unit: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fit = Vec::new();
    fit.extend(figures.train_loss.map(|loss| format!("train loss {loss:.4}")));
    fit.extend(figures.val_acc.map(|share| format!("validation accuracy {share:.3}")));
    lines.push(fit.join(", "));
    lines.extend(figures.test_acc.map(|share| {
        let few = if figures.test_size < 100 { " (few: --single --folds 10 --repeats 5 says more)" } else { "" };
        format!("test accuracy {share:.3} on {} test, {} {unit}{few}", run.dataset, figures.test_size)
    }));
    let mut cost = Vec::new();
    cost.extend(figures.elapsed_s.map(|seconds| format!("{seconds:.2} s")));
    cost.extend(figures.samples_per_s.map(|speed| format!("{} samples/s", short(speed))));
    let share = figures.comm_share.filter(|_| run.ranks > 1);
    cost.extend(share.map(|share| format!("{:.0} % of the time in communication and waiting", share * 100.0)));
    lines.push(cost.join(", "));
    lines.extend(figures.energy_j.map(|joules| format!("measured: {}, all nodes together", quantity(joules, "J"))));
    if !figures.weights_hash.is_empty() {
        lines.push(format!("weights {}", figures.weights_hash));
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::run::state::Cv;

    /// A head like that of the first command of the README.
    pub(in crate::report) fn head(ranks: usize) -> Head {
        Head {
            version: "0.1.0".into(),
            mode: "allreduce".into(),
            hosts: vec!["vm".into(); ranks],
            threads: vec![1; ranks],
            mpi: Some("Open MPI 4.1.4".into()),
            dataset: "iris".into(),
            split: [120, 15, 15],
            folds: None,
            unit: "rows".into(),
            model: "iris_mlp".into(),
            parameters: 833,
            bytes_per_exchange: Bytes(3332),
            epochs: 100,
            ..Head::default()
        }
    }

    #[test]
    fn pictures_have_a_line_and_memory_has_a_place() {
        let pictures = |shape, augment: &str| {
            let shown = Head { shape: Some(shape), augment: augment.into(), classes: 6, ..head(1) };
            head_lines(&Head { memory: Bytes(12_000_000), ..shown })
        };
        let lines = pictures([3, 120, 150], "mirrored pictures");
        assert_eq!(lines[2], "       120x150 pixels in color, 6 classes, trained with mirrored pictures");
        assert!(lines[3].ends_with(", memory about 12.0 MB a rank (predicted)"), "{}", lines[3]);
        assert_eq!(pictures([1, 8, 8], "")[2], "       8x8 pixels in grey, 6 classes, trained as they are");
    }

    #[test]
    fn the_head_says_what_runs() {
        let expected = "\
goai-rs 0.1.0: allreduce, 20 ranks on vm, 1 thread each, Open MPI 4.1.4
data   iris: 120 rows for training, 15 for validation, 15 for testing
model  iris_mlp, 833 parameters, 3.3 kB a rank and step to exchange
";
        assert_eq!(head_lines(&head(20)).join("\n") + "\n", expected);
        let mut other = Head { mpi: None, bytes_per_exchange: Bytes(0), threads: vec![2, 4, 2], ..head(3) };
        other.hosts[1] = "b".into();
        let lines = head_lines(&other);
        assert!(lines[0].ends_with("3 ranks on vm (2), b (1), 2 to 4 threads each"), "{lines:?}");
        assert!(lines[2].ends_with("833 parameters"), "{lines:?}");
        let lines = head_lines(&Head { threads: vec![2], folds: Some([10, 5]), ..head(1) });
        assert!(lines[0].ends_with("1 rank on vm, 2 threads, Open MPI 4.1.4"), "{lines:?}");
        assert_eq!(lines[1], "data   iris: 150 rows, 5 x stratified 10-fold: each fold is held out once");
    }

    #[test]
    fn figures_that_exist_are_shown() {
        let mut record = EpochRecord {
            val_loss: Some(f64::NAN),
            val_acc: Some(0.9336),
            train_loss: 0.5,
            samples_per_s: 15_700.0,
            ..EpochRecord::default()
        };
        (record.compute_s, record.comm_s, record.wait_s) = (0.6, 0.1, 0.3);
        assert_eq!(figures(&record), "loss 0.5000  val loss NaN  val acc 0.934  15.7 k samples/s  comm 40 %");
    }

    #[test]
    fn the_end_says_what_came_out_and_what_to_do_next() {
        let mut run = RunJson { dataset: "iris".into(), state: State::Complete, ranks: 2, ..RunJson::default() };
        run.final_figures = Some(Final {
            train_loss: Some(0.04234),
            val_acc: Some(14.0 / 15.0),
            test_acc: Some(1.0),
            test_size: 15,
            samples_per_s: Some(123_456.0),
            elapsed_s: Some(0.25),
            comm_share: Some(0.337),
            weights_hash: "00000000000000ab".into(),
            ..Final::default()
        });
        let lines = end_lines(&run, Path::new("runs/a b"), "rows");
        let expected = "\
train loss 0.0423, validation accuracy 0.933
test accuracy 1.000 on iris test, 15 rows (few: --single --folds 10 --repeats 5 says more)
0.25 s, 123.5 k samples/s, 34 % of the time in communication and waiting
weights 00000000000000ab
results in 'runs/a b'
next: ./goai-rs eval 'runs/a b'
";
        assert_eq!(lines.join("\n") + "\n", expected);
        run.final_figures.as_mut().unwrap().energy_j = Some(35.25);
        let alone = end_lines(&RunJson { ranks: 1, ..run }, Path::new("r"), "rows");
        assert_eq!(alone[3], "measured: 35.2 J, all nodes together");
        assert_eq!(alone[2], "0.25 s, 123.5 k samples/s", "one rank talks to nobody");
    }

    #[test]
    fn other_ends_have_their_own_next_command() {
        let run = |state| RunJson { state, ..RunJson::default() };
        for (state, last) in [
            (State::Diverged, "next: ./goai-rs state r"),
            (State::Checkpointed, "next: the same command with --run-dir r --resume auto"),
        ] {
            let lines = end_lines(&run(state), Path::new("r"), "rows");
            assert_eq!(lines, [format!("the run is {state}"), "results in r".into(), last.into()]);
        }
        let cv = Some(Cv { mean: 0.9666, sd: 0.0211, folds: 10, repeats: 5 });
        let lines = end_lines(&RunJson { cv, dataset: "iris".into(), ..run(State::Complete) }, Path::new("r"), "rows");
        assert_eq!(lines[0], "accuracy 0.967 ± 0.021 on iris, 5 x stratified 10-fold");
    }
}
