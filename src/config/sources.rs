//! Where configuration comes from, and which source wins:
//! flag > GOAI_ variable > `--set` > `--config` file > checkpoint to go on from > env file > preset.

use super::checked::Config;
use super::choices::{Learn, Mode, OptimizerKind};
use super::error::ConfigError;
use super::keys::{self, Data, KEYS, Preset, VARIABLE_PREFIX};
use super::kind::Problem;
use super::origin::{Origin, Origins};
use super::raw::Raw;
use super::text_file::read_text;
use super::values::{Dataset, Model};
use super::{env_file, toml_file};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Everything that can say something about the configuration, before any of it is read.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Key, value and flag of every key that was given as a flag.
    pub flags: Vec<(&'static str, String, String)>,
    /// The environment; only what begins with GOAI_ is looked at.
    pub variables: Vec<(OsString, OsString)>,
    /// The arguments of `--set`, KEY=VALUE each.
    pub sets: Vec<String>,
    /// The argument of `--config`.
    pub config_file: Option<PathBuf>,
    /// Name and text of the config.toml in the checkpoint that training goes on from.
    pub checkpoint: Option<(String, String)>,
    /// The argument of `--env`.
    pub env_file: Option<PathBuf>,
    /// Where relative paths begin, and the first place for an env file; an empty path is the
    /// working directory of the process, and without a path no env file is looked for there.
    pub working_dir: Option<PathBuf>,
    /// The folder of the binary, the second place for an env file.
    pub binary_dir: Option<PathBuf>,
}

impl Sources {
    /// Adds what the process has: its environment, working directory and the binary's folder.
    pub fn of_process(mut self) -> Self {
        self.variables = std::env::vars_os().collect();
        self.working_dir = Some(PathBuf::new());
        let binary = std::env::current_exe().ok();
        self.binary_dir = binary.and_then(|path| path.parent().map(Path::to_owned));
        self
    }

    /// Reads all sources and checks the result: [`Sources::gather`], then [`super::resolve()`].
    ///
    /// # Errors
    /// The first mistake, in the order of precedence.
    pub fn load(&self) -> Result<(Config, Origins), ConfigError> {
        super::resolve(&self.gather()?)
    }

    /// Reads all sources. Touches the file system; under MPI only rank 0 calls it.
    ///
    /// # Errors
    /// The first mistake, in the order of precedence.
    pub fn gather(&self) -> Result<Raw, ConfigError> {
        let mut raw = Raw::default();
        self.read_flags(&mut raw)?;
        self.read_variables(&mut raw)?;
        self.read_sets(&mut raw)?;
        if let Some(path) = &self.config_file {
            let shown = path.to_string_lossy();
            toml_file::read(&shown, &self.named_file(path, "--config")?, &mut raw)?;
        }
        if let Some((name, text)) = &self.checkpoint {
            toml_file::read(name, text, &mut raw)?;
        }
        let data = self.read_env_file(&mut raw)?;
        let word = |key: &str| raw.get(key).map(|entry| entry.text.as_str());
        let chain = word("mode") == Some(Mode::Pipeline.word()) && word("learn") != Some(Learn::Backprop.word());
        let sampled = word("optimizer") == Some(OptimizerKind::Mcmc.word());
        let text = word("model").unwrap_or(data.model(chain));
        let model = Model::try_from(text.to_owned()).expect("its text was read, or is a default");
        let preset = Preset::of(&dataset_of(&raw), &model, chain, sampled);
        for key in KEYS {
            if let Some(text) = key.default_for(preset) {
                raw.offer(key, text, Origin::Preset)?;
            }
        }
        Ok(raw)
    }

    fn read_flags(&self, raw: &mut Raw) -> Result<(), ConfigError> {
        for (name, text, flag) in &self.flags {
            let origin = Origin::Flag(flag.clone());
            match keys::key(name) {
                Some(key) => raw.offer(key, text, origin)?,
                None => return Err(unknown(name, origin)),
            }
        }
        Ok(())
    }

    fn read_variables(&self, raw: &mut Raw) -> Result<(), ConfigError> {
        // In a fixed order, so that of two mistakes every run tells the same one.
        let mut ours: Vec<_> = self
            .variables
            .iter()
            .map(|(name, value)| (name.to_string_lossy(), value))
            .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
            .filter(|(name, _)| !keys::is_other_variable(name))
            .collect();
        ours.sort();
        for (name, value) in ours {
            let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
                return Err(ConfigError::UnknownVariable { name: name.into_owned() });
            };
            let origin = Origin::Variable(name.into_owned());
            let Some(text) = value.to_str() else {
                return Err(ConfigError::BadValue {
                    key: key.name.to_owned(),
                    text: value.to_string_lossy().into_owned(),
                    origin,
                    problem: Box::new(Problem {
                        why: "is not UTF-8".to_owned(),
                        cure: "set it again in UTF-8".to_owned(),
                    }),
                });
            };
            raw.offer(key, text, origin)?;
        }
        Ok(())
    }

    fn read_sets(&self, raw: &mut Raw) -> Result<(), ConfigError> {
        let mut seen = Vec::new();
        for set in &self.sets {
            let Some((name, text)) = set.split_once('=') else {
                return Err(ConfigError::Syntax {
                    text: set.clone(),
                    origin: Origin::Set,
                    problem: Box::new(Problem { why: "has no =".to_owned(), cure: "write --set KEY=VALUE".to_owned() }),
                });
            };
            let key = keys::key(name.trim()).ok_or_else(|| unknown(name.trim(), Origin::Set))?;
            if seen.contains(&key.name) {
                return Err(ConfigError::Duplicate { key: key.name.to_owned(), origin: Origin::Set, first: None });
            }
            seen.push(key.name);
            raw.offer(key, text.trim(), Origin::Set)?;
        }
        Ok(())
    }

    /// Reads the env file, and says for which kind of data the presets come after it.
    fn read_env_file(&self, raw: &mut Raw) -> Result<Data, ConfigError> {
        if let Some(path) = &self.env_file {
            let text = self.named_file(path, "--env")?;
            env_file::read(&text, &env_line(&path.to_string_lossy()), raw)?;
            return Ok(Data::of(&dataset_of(raw)));
        }
        let data = Data::of(&dataset_of(raw));
        let (name, built_in) = match data {
            Data::Iris => (".irisenv", include_str!("../../.irisenv")),
            Data::Img => (".imgenv", include_str!("../../.imgenv")),
            Data::Cifar10 | Data::Mnist | Data::Table | Data::Folder => return Ok(data),
        };
        for folder in [&self.working_dir, &self.binary_dir].into_iter().flatten() {
            let path = folder.join(name);
            let shown = path.to_string_lossy();
            if let Some(text) = read_text(&path, &shown)? {
                env_file::read(&text, &env_line(&shown), raw)?;
                return same_data(raw, data, name);
            }
        }
        let origin = |line| Origin::BuiltInEnvFile { path: name.to_owned(), line };
        env_file::read(built_in, &origin, raw)?;
        Ok(data)
    }

    /// The text of a file that the command line names; it has to be there.
    fn named_file(&self, path: &Path, flag: &str) -> Result<String, ConfigError> {
        let shown = path.to_string_lossy();
        let folder = self.working_dir.clone().unwrap_or_default();
        read_text(&folder.join(path), &shown)?.ok_or_else(|| ConfigError::File {
            path: shown.into_owned(),
            why: "there is no such file".to_owned(),
            cure: format!("check the path given with {flag}"),
        })
    }
}

fn unknown(name: &str, origin: Origin) -> ConfigError {
    ConfigError::UnknownKey { key: name.to_owned(), origin }
}

fn env_line(path: &str) -> impl Fn(usize) -> Origin {
    move |line| Origin::EnvFile { path: path.to_owned(), line }
}

/// The data set that the sources read so far name; iris when they name none.
fn dataset_of(raw: &Raw) -> Dataset {
    let text = raw.get("dataset").map(|entry| entry.text.clone());
    text.and_then(|text| Dataset::try_from(text).ok()).unwrap_or(Dataset::Iris)
}

/// An env file that was chosen by the data set cannot choose another data set.
fn same_data(raw: &Raw, data: Data, name: &str) -> Result<Data, ConfigError> {
    if Data::of(&dataset_of(raw)) == data {
        return Ok(data);
    }
    let entry = raw.get("dataset").expect("another preset comes from this key");
    Err(ConfigError::Contradiction {
        origin: entry.origin.clone(),
        what: format!("dataset = {} in a file that is read for another one", entry.text),
        cure: format!("give --dataset {}, or name this file: --env {name}", entry.text),
    })
}
