//! Where the ranks of a pipeline show their live figures: rank 0 made the run directory, the others are told of it.

use crate::comm::{CommError, Communicator, gather_texts};
use crate::run::live::Live;
use std::path::Path;

/// This rank's file of live figures in rank 0's run directory: none where this rank does not see that directory. With
/// `stages` stages, ranks that follow each other are replicas of one.
///
/// # Collective
/// Every rank must call it; only rank 0 has a run directory.
///
/// # Errors
/// When communication fails.
pub fn open(comm: &dyn Communicator, stages: usize, run_dir: Option<&Path>) -> Result<Option<Live>, CommError> {
    // Whole, since another rank may have been started elsewhere.
    let whole = run_dir.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let text = whole.map_or(String::new(), |path| path.to_string_lossy().into_owned());
    let texts = gather_texts(comm, &text)?;
    let replicas = (comm.size() / stages.max(1)).max(1);
    Ok(Live::open(Path::new(&texts[0]), comm.rank(), comm.rank() % replicas))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::{ThreadOptions, run_threads};
    use crate::event::StageLive;

    #[test]
    fn every_rank_shows_its_stage_in_the_directory_of_rank_0() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("run.json"), "{}").unwrap();
        run_threads(4, ThreadOptions::default(), |comm| {
            let path = (comm.rank() == 0).then(|| dir.path());
            let mut live = open(comm, 2, path).unwrap().expect("one file system");
            let figures = StageLive {
                stage: comm.rank() / 2,
                epoch: 1,
                batches: 1,
                loss: None,
                accuracy: None,
                queue: 0,
                latency_s: 0.0,
                wait_s: 0.0,
                proposals_per_s: None,
                acceptance_conv: None,
                acceptance_dense: None,
                exit_share: None,
            };
            live.write(&figures).unwrap();
        });
        let mut names: Vec<String> = std::fs::read_dir(dir.path().join("live"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["stage0.json", "stage0_1.json", "stage1.json", "stage1_3.json"]);
    }

    #[test]
    fn without_a_run_directory_nothing_is_shown() {
        let shown = run_threads(2, ThreadOptions::default(), |comm| open(comm, 2, None).unwrap().is_some());
        assert_eq!(shown, [false, false]);
    }
}
