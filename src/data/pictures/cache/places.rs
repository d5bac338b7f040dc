//! Where files of decoded pictures are kept.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The ending of a file that is being written.
const TEMPORARY: &str = "tmp";

/// A file that nobody has written to for so long belongs to a job that has died.
const STALE: Duration = Duration::from_secs(3600);

/// The directories in which a file is looked for and, in this order, made: the one that was chosen, else
/// `.goai-cache` in the data set's root (whoever may write there prepares it for all others), the user's cache directory
/// (`$XDG_CACHE_HOME/goai-rs`, else `~/.cache/goai-rs`), and `goai-rs-<user id>` in the directory for temporary files.
pub fn places(root: &Path, chosen: Option<&Path>) -> Vec<PathBuf> {
    if let Some(chosen) = chosen {
        return vec![chosen.to_owned()];
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".cache"));
    let user = absolute("XDG_CACHE_HOME").or_else(home).map(|cache| cache.join("goai-rs"));
    [Some(root.join(".goai-cache")), user, shared()].into_iter().flatten().collect()
}

/// The place that all users share; left out when it is not, or might not be, this user's own: whoever may write there
/// could put other pictures under our names.
fn shared() -> Option<PathBuf> {
    let user = fs::metadata("/proc/self").ok()?.uid();
    let place = std::env::temp_dir().join(format!("goai-rs-{user}"));
    match fs::symlink_metadata(&place) {
        Err(_) => Some(place),
        Ok(found) => (found.is_dir() && found.uid() == user && found.mode() & 0o022 == 0).then_some(place),
    }
}

/// The name of the file that a job writes to; `token` tells jobs and nodes apart.
pub fn temporary(published: &Path, token: &str) -> PathBuf {
    let token: String = token.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    published.with_extension(format!("{token}.{TEMPORARY}"))
}

/// Makes an empty file of this length, and its directory where it is missing; removes what dead jobs left there.
pub fn create(path: &Path, length: u64) -> std::io::Result<()> {
    if let Some(place) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(place)?;
        remove_stale(place);
    }
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let result = file.set_len(length);
    if result.is_err() {
        let _ = fs::remove_file(path);
    }
    result
}

fn remove_stale(place: &Path) {
    for path in fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let is_ours = path.extension().is_some_and(|ending| ending == TEMPORARY);
        let age = || fs::symlink_metadata(&path).ok()?.modified().ok()?.elapsed().ok();
        if is_ours && age().is_some_and(|age| age > STALE) {
            // Another job may have been faster, and a file that stays harms nobody.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Gives a finished file its name.
///
/// A file that is there already and `is_whole` stays: another node may have mapped it over the network, and would lose
/// it. Any other is replaced at once, by a rename.
pub fn publish(temporary: &Path, published: &Path, is_whole: impl Fn(&Path) -> bool) -> std::io::Result<()> {
    if fs::hard_link(temporary, published).is_ok() || is_whole(published) {
        fs::remove_file(temporary)?;
    } else {
        fs::rename(temporary, published)?;
    }
    // The name is on the disk when its directory is; not all file systems can say so.
    if let Some(place) = published.parent() {
        let _ = File::open(place).and_then(|place| place.sync_all());
    }
    Ok(())
}
