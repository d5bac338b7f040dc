//! What a resumed training may have otherwise than its checkpoint, and what not.
//!
//! A key that decides which numbers training computes has to stay; one that decides where, how fast or how long it
//! computes may change. The learning rate may change although it decides numbers: after a divergence a smaller one is
//! the cure.

use super::checked::Config;
use super::choices::Mode;
use super::keys::{KEYS, OFFLOAD_KEYS};
use super::origin::Origins;
use super::values::GlobalBatch;

/// Keys that may change from job to job.
const FREE: &[&str] = &[
    "numEpochs",
    "learningRate",
    "parallelism",
    "mode",
    "dataDir",
    "cacheDir",
    "delay",
    "checkpointEvery",
    "requireCheckpoint",
    "heartbeat",
    "stallWarn",
    "stallAbort",
    // The network says whether another cut changes it: exit heads are part of it.
    "stages",
    "cuts",
    "pipelineSchedule",
    "microBatches",
    "window",
    "exitRule",
    "exitThreshold",
    // Where a network is split changes who computes, and not what.
    "split",
    "alpha",
    "deadline",
    "energyBudget",
    "smoothing",
    "hysteresis",
    "leastCut",
    "devices",
    "clock",
    "powerSensor",
    "threads",
];

/// One thing that may not change, and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub key: String,
    /// What the checkpoint says.
    pub then: String,
    /// What is said now.
    pub now: String,
    /// Who says it now.
    pub origin: String,
}

/// What `now` has otherwise than `then`, the configuration of a checkpoint whose steps took `global_batch` samples.
pub fn differences(then: &Config, now: &Config, origins: &Origins, global_batch: u64) -> Vec<Difference> {
    // What is placed and asked in mode offload trains nothing.
    let fixed = KEYS.iter().filter(|key| !FREE.contains(&key.name) && !OFFLOAD_KEYS.contains(&key.name));
    let mut found = Vec::new();
    for key in fixed {
        let same = match key.name {
            "globalBatch" => match now.global_batch {
                GlobalBatch::Fixed(batch) => batch as u64 == global_batch,
                // Ranks x batch of then, or all samples: whether there are as many is seen when they are counted.
                other => other == then.global_batch,
            },
            // Nobody reads these in another mode; whether a chain of exit heads was trained says the network.
            "learn" | "preempt" | "replay" if [then, now].iter().any(|config| config.mode != Some(Mode::Pipeline)) => {
                true
            }
            "protocol" | "roundSteps" | "nonIid"
                if [then, now].iter().any(|config| config.mode != Some(Mode::Split)) =>
            {
                true
            }
            _ => then.value(key.name) == now.value(key.name),
        };
        if !same {
            let shown = |config: &Config| match config.value(key.name) {
                None => "unset".to_owned(),
                Some(serde_json::Value::String(text)) => text,
                Some(value) => value.to_string(),
            };
            let then = match (key.name, then.global_batch) {
                ("globalBatch", GlobalBatch::PerRank) => global_batch.to_string(),
                _ => shown(then),
            };
            let origin = origins.of(key.name).to_string();
            found.push(Difference { key: key.name.to_owned(), then, now: shown(now), origin });
        }
    }
    found
}

/// Differences as a table, a line each behind that of the headings.
pub fn table(differences: &[Difference]) -> Vec<String> {
    let head = ["key", "checkpoint", "now", "given by"].map(str::to_owned);
    let rows = differences.iter().map(|d| [d.key.clone(), d.then.clone(), d.now.clone(), d.origin.clone()]);
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let line = |row: &[String; 4]| {
        let cells = (0..3).map(|i| format!("{:<width$}  ", row[i], width = widths[i])).collect::<String>();
        format!("  {cells}{}", row[3])
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn config(sets: &[&str]) -> (Config, Origins) {
        let sources = Sources { sets: sets.iter().map(|set| (*set).to_owned()).collect(), ..Sources::default() };
        sources.load().unwrap()
    }

    #[test]
    fn every_free_key_is_a_key() {
        assert!(FREE.iter().all(|name| super::super::keys::key(name).is_some()));
    }

    #[test]
    fn what_decides_numbers_has_to_stay() {
        let (then, _) = config(&[]);
        for (set, key) in [
            ("hiddenLayerNeurons=30", "hiddenLayerNeurons"),
            ("batchSize=8", "batchSize"),
            ("globalBatch=8", "globalBatch"),
            ("seed=2", "seed"),
            ("optimizer=sgd", "optimizer"),
            ("deterministic=true", "deterministic"),
            ("schedule=constant", "schedule"),
            ("sync=k-sync", "sync"),
            ("localSteps=2", "localSteps"),
            ("dataSplit=0.6/0.2/0.2", "dataSplit"),
        ] {
            let (now, origins) = config(&[set]);
            let found = differences(&then, &now, &origins, 16);
            assert_eq!(found.iter().map(|d| d.key.as_str()).collect::<Vec<_>>(), [key], "{set}");
            assert_eq!(found[0].origin, "--set");
        }
        for set in ["numEpochs=200", "mode=sendrecv", "threads=2", "globalBatch=16", "learningRate=0.5", "stallWarn=3"]
        {
            let (now, origins) = config(&[set]);
            assert_eq!(differences(&then, &now, &origins, 16), [], "{set}");
        }
    }

    #[test]
    fn who_averages_what_has_to_stay_and_who_holds_what_may_change() {
        let (then, _) = config(&["mode=split"]);
        for (set, fixed) in [
            ("protocol=sequential", true),
            ("roundSteps=5", true),
            ("nonIid=0.1", true),
            ("split=3", false),
            ("alpha=0.5", false),
            ("deadline=2", false),
            ("energyBudget=3", false),
            ("smoothing=1", false),
            ("hysteresis=0", false),
        ] {
            let (now, origins) = config(&["mode=split", set]);
            assert_eq!(differences(&then, &now, &origins, 16).len(), usize::from(fixed), "{set}");
        }
        let (elsewhere, origins) = config(&["mode=allreduce"]);
        let (then, _) = config(&["mode=split", "protocol=sequential", "nonIid=0.1"]);
        assert_eq!(differences(&then, &elsewhere, &origins, 16), [], "nobody reads them there");
    }

    #[test]
    fn the_table_has_a_column_for_each_side() {
        let (then, _) = config(&[]);
        let (now, origins) = config(&["hiddenLayerNeurons=30", "globalBatch=8", "label=x"]);
        let lines = table(&differences(&then, &now, &origins, 16));
        let golden = [
            "  key                 checkpoint  now  given by",
            "  hiddenLayerNeurons  20          30   --set",
            "  label               unset       x    --set",
            "  globalBatch         16          8    --set",
        ];
        assert_eq!(lines, golden);
    }
}
