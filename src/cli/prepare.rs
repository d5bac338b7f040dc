//! What happens before training, on all ranks together: configuration, data, agreement.

use super::args::TrainArgs;
use super::failure::Failure;
use super::ranks::{Ended, agreed};
use super::task;
use crate::comm::{Communicator, Identity, Values, compare, gather_texts};
use crate::config::{Config, Dataset as DatasetName, Origins};
use crate::data::{Dataset, source};
use crate::nn::kernels::Isa;
use crate::strategy::Strategy;
use std::path::Path;

/// Everything that the ranks agreed on.
pub struct Prepared {
    /// The checked configuration, with the mode filled in.
    pub config: Config,
    /// The strategy.
    pub strategy: Strategy,
    /// How many ranks compute gradients.
    pub trainers: usize,
    /// The whole data set, as read.
    pub data: Dataset,
    /// What the reader should know about how the ranks came together.
    pub notes: Vec<String>,
}

/// Agrees on configuration and data.
///
/// # Collective
/// Every rank must call it. Only rank 0 reads configuration files; every rank reads the data.
pub fn prepare(comm: &dyn Communicator, args: &Result<TrainArgs, Failure>) -> Result<Prepared, Ended> {
    // First of all: what other versions exchange after the handshake's first frame may be of another form.
    same(comm, &Identity::default())?;
    let args = agreed(comm, args.as_ref().map_err(Failure::clone))?;
    same(comm, &launch_identity())?;
    let (mut config, origins) = shared_configuration(comm, args)?;
    let strategy = task::strategy(config.mode, comm.size());
    let trainers = strategy.trainers(comm.size()).map_err(|message| Ended::all(2, message))?;
    config.mode = Some(task::mode(strategy));
    let data = agreed(comm, load(&config, &origins))?;
    let identity = Identity::default().with("the data set", format!("{:016x}", data.fingerprint()));
    let (isa, mixed) = common_instruction_set(comm)?;
    let identity = match config.deterministic {
        true => identity.with("the instruction set", isa),
        false => identity,
    };
    same(comm, &identity)?;
    let mixed = mixed
        .then(|| format!("the ranks have different instruction sets: all use the {} kernels", Isa::detect().name()));
    let notes = mixed.into_iter().chain(many_classes(&data)).collect();
    Ok(Prepared { config, strategy, trainers, data, notes })
}

/// A hint for whoever gives a column of measurements as the label: each number becomes a class of its own.
fn many_classes(data: &Dataset) -> Option<String> {
    let (rows, classes) = (data.len(), data.num_classes());
    (rows >= 20 && classes * 4 > rows).then(|| {
        let column = &data.label_column;
        format!(
            "column {column:?} has {classes} classes in {rows} rows; every value is a class, none a quantity to predict"
        )
    })
}

/// This rank's instruction set, and whether the ranks differ; if they do, all are held to the best that all have.
fn common_instruction_set(comm: &dyn Communicator) -> Result<(String, bool), Ended> {
    let mine = format!("{} {}", std::env::consts::ARCH, Isa::detect().name());
    let all = gather_texts(comm, &mine)?;
    let mixed = all.iter().any(|other| *other != all[0]);
    if mixed {
        // An instruction set that another rank has and this one does not, or of another architecture, is not named here.
        let named = all.iter().map(|text| text.split_once(' ').map_or("", |(_, name)| name));
        let one_kind = all.iter().all(|text| text.starts_with(std::env::consts::ARCH));
        let least = named.map(|name| Isa::named(name).unwrap_or(Isa::detect())).min().filter(|_| one_kind);
        least.unwrap_or(Isa::portable()).hold_to();
    }
    Ok((mine, mixed))
}

/// What was typed and what the environment says: equal on all ranks, or the job does not start.
fn launch_identity() -> Identity {
    let typed: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let variables = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with("GOAI_"));
    let identity = Identity::default().with("the command line", typed.join(" "));
    #[cfg(feature = "mpi")]
    let identity = identity.with("the MPI library", crate::comm::mpi::library());
    variables.fold(identity, |identity, (name, value)| identity.with(name, value))
}

fn same(comm: &dyn Communicator, identity: &Identity) -> Result<(), Ended> {
    let differences = compare(comm, identity)?;
    let Some(first) = differences.first() else { return Ok(()) };
    // One line: where rank 0 is the odd one out, every other rank differs in the same way.
    let more = match differences.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Err(Ended::all(5, format!("{first}{more}; start all ranks alike (mpirun -x NAME passes a variable on)")))
}

/// Rank 0 reads the configuration, everybody gets it.
fn shared_configuration(comm: &dyn Communicator, args: &TrainArgs) -> Result<(Config, Origins), Ended> {
    let mine = match comm.rank() {
        0 => args.sources().of_process().load().map(Some).map_err(Failure::from),
        _ => Ok(None),
    };
    let mine = agreed(comm, mine)?;
    let mut text = serde_json::to_vec(&mine).expect("a configuration is JSON");
    let mut len = [text.len() as i64];
    comm.broadcast(0, Values::I64(&mut len))?;
    text.resize(len[0] as usize, 0);
    comm.broadcast(0, Values::U8(&mut text))?;
    let shared: Option<(Config, Origins)> = serde_json::from_slice(&text).expect("rank 0 sent a configuration");
    Ok(shared.expect("rank 0 has a configuration"))
}

fn load(config: &Config, origins: &Origins) -> Result<Dataset, Failure> {
    let name = match &config.dataset {
        DatasetName::Iris => "iris".to_string(),
        DatasetName::Img => "img".to_string(),
        DatasetName::Csv(path) => path.display().to_string(),
    };
    let data = source::load(&name, Path::new(&config.data_dir), config.label.as_deref())?;
    config.check_data(origins, data.dims(), data.num_classes())?;
    config.check_rows(origins, data.len())?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_many_values_is_noted() {
        for (classes, noted) in [(2, false), (5, false), (6, true), (20, true)] {
            let data = Dataset {
                name: "t".into(),
                features: ndarray::Array2::zeros((20, 1)),
                labels: (0..20).map(|row| row % classes).collect(),
                classes: (0..classes).map(|class| class.to_string()).collect(),
                columns: vec!["x".into()],
                label_column: "quality".into(),
            };
            let note = many_classes(&data);
            assert_eq!(note.is_some(), noted, "{classes}");
            assert!(
                note.is_none_or(
                    |note| note.starts_with(&format!("column \"quality\" has {classes} classes in 20 rows"))
                )
            );
        }
    }
}
