//! Loading the data on all ranks: every rank reads tables and small sets by itself, a folder of pictures is decoded
//! by all ranks of a node together.

use super::decoding::Decoding;
use super::failure::{DATA, Failure};
use super::host::Place;
use super::prepare::same;
use super::ranks::{Ended, agreed};
use crate::comm::{Communicator, Identity, Values, gather_texts};
use crate::config::{BadImage, Config, Dataset, ImageSize};
use crate::data::pictures::cache::{self, PartReport, Plan};
use crate::data::pictures::decode::{self, Wanted};
use crate::data::pictures::folder::{self, Folder};
use crate::data::pictures::{Pictures, Pixels};
use crate::data::{AnyData, DataError, sets, source};
use crate::run::error::show;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};
use xxhash_rust::xxh3::Xxh3;

/// What is to be loaded.
#[derive(Debug, Clone)]
pub struct Request {
    /// The data set.
    pub dataset: Dataset,
    /// Where sets with a name are looked for.
    pub data_dir: PathBuf,
    /// The label column of a table.
    pub label: Option<String>,
    /// The size that pictures of a folder are brought to; none: the one that most of them have.
    pub size: Option<ImageSize>,
    /// What becomes of a picture that cannot be read.
    pub bad_image: BadImage,
    /// Where decoded pictures are kept; none: beside them.
    pub cache_dir: Option<PathBuf>,
}

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The data.
    pub data: AnyData,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// The longest side that is taken from the pictures themselves: a camera's pictures would fill the memory.
const MOST_COMMON: usize = 512;

/// Pictures whose size is looked at, spread over the folder.
const LOOKS: usize = 64;

impl From<&Config> for Request {
    fn from(config: &Config) -> Self {
        Self {
            dataset: config.dataset.clone(),
            data_dir: PathBuf::from(&config.data_dir),
            label: config.label.clone(),
            size: config.image_size,
            bad_image: config.bad_image,
            cache_dir: config.cache_dir.as_ref().map(PathBuf::from),
        }
    }
}

/// Loads a data set; `places` says which ranks share a node.
///
/// # Collective
/// Every rank must call it with an equal request.
///
/// # Errors
/// What is wrong with the data, agreed on by all ranks.
pub fn load(
    comm: &dyn Communicator,
    request: &Request,
    places: &[Place],
    decoding: &Decoding,
) -> Result<Loaded, Ended> {
    let arrays = |path: &Path| sets::npy::holds_pairs(path).map_err(Failure::from);
    match &request.dataset {
        Dataset::Img => pictures(comm, request, places, decoding, || folder::find("img", &request.data_dir)),
        Dataset::Folder(path) => {
            let path = if path.exists() { path.clone() } else { existing(request.data_dir.join(path), path) };
            match agreed(comm, arrays(&path))? {
                true => whole(comm, request, &path.to_string_lossy()),
                false => pictures(comm, request, places, decoding, || folder::open(&path)),
            }
        }
        other => whole(comm, request, &other.to_string()),
    }
}

fn existing(below: PathBuf, path: &Path) -> PathBuf {
    if below.exists() { below } else { path.to_owned() }
}

/// A set that every rank reads by itself.
fn whole(comm: &dyn Communicator, request: &Request, name: &str) -> Result<Loaded, Ended> {
    let data = source::load_any(name, &request.data_dir, request.label.as_deref());
    let data = agreed(comm, data.map_err(Failure::from).and_then(|data| fixed_size(request, data)))?;
    let notes = match &data {
        AnyData::Pictures(pictures) if pictures.own_test == 0 => {
            vec![format!("{} has no test set of its own, so a part of it is kept for testing", pictures.name)]
        }
        _ => Vec::new(),
    };
    Ok(Loaded { data, notes })
}

/// Only pictures of a folder are resized.
fn fixed_size(request: &Request, data: AnyData) -> Result<AnyData, Failure> {
    let Some(size) = request.size else { return Ok(data) };
    let what = match data.shape() {
        Some([_, height, width]) if [height, width] == [size.height, size.width] => return Ok(data),
        Some([_, height, width]) => format!("has pictures of {height}x{width}"),
        None => "is a table".to_owned(),
    };
    let text = format!(
        "imageSize = {size}, but {} {what}, and only pictures of a folder are resized; leave it out",
        request.dataset
    );
    Err(Failure::new(3, text))
}

/// Which of its node's ranks this one is.
struct Node {
    /// This rank among those of its node.
    local: usize,
    /// The ranks of this node.
    ranks: Vec<usize>,
    /// A name that is this job's and this node's own.
    token: String,
}

impl Node {
    fn of(comm: &dyn Communicator, places: &[Place]) -> Result<Self, Ended> {
        let host = |rank: usize| places.get(rank).map_or("", |place| place.host.as_str());
        let mine = host(comm.rank());
        let ranks: Vec<usize> = (0..comm.size()).filter(|&rank| host(rank) == mine).collect();
        let local = ranks.iter().position(|&rank| rank == comm.rank()).unwrap_or(0);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut time = [since.as_nanos() as i64];
        comm.broadcast(0, Values::I64(&mut time))?;
        let pid = ranks.first().and_then(|&rank| places.get(rank)).map_or(0, |place| place.pid);
        Ok(Self { local, ranks, token: format!("{mine}-{pid}-{:x}", time[0]) })
    }

    /// Whether all ranks of this node say so.
    fn all(&self, comm: &dyn Communicator, mine: bool) -> Result<bool, Ended> {
        let said = gather_texts(comm, if mine { "1" } else { "0" })?;
        Ok(self.ranks.iter().all(|&rank| said[rank] == "1"))
    }
}

/// A folder of pictures: mapped where it was decoded before, else decoded by the ranks of each node together.
fn pictures(
    comm: &dyn Communicator,
    request: &Request,
    places: &[Place],
    decoding: &Decoding,
    list: impl Fn() -> Result<Folder, DataError>,
) -> Result<Loaded, Ended> {
    let folder = agreed(comm, list().map_err(Failure::from))?;
    same(comm, &Identity::default().with("the list of pictures", format!("{:016x}", fingerprint(&folder))))?;
    let size = match request.size {
        Some(size) => size,
        None => common_size(comm, &folder)?,
    };
    let policy = match request.bad_image {
        BadImage::Fail => cache::BadImage::Fail,
        BadImage::Skip => cache::BadImage::Skip,
    };
    let mut notes = folder.notes.clone();
    let wanted = Wanted::size(size.height, size.width);
    let plan = Plan::new(folder, wanted, policy, request.cache_dir.as_deref()).map_err(Failure::from);
    let plan = agreed(comm, plan)?;
    let node = Node::of(comm, places)?;
    let done = intact(comm, &plan, &node)?;
    let everywhere = agreed_all(comm, done.is_some())?;
    let pictures = match (everywhere, done) {
        (true, Some(pictures)) => {
            notes.push(format!("mapped {}", source_of(&pictures)));
            pictures
        }
        (_, done) => decode_together(comm, &plan, &node, done, decoding, &mut notes)?,
    };
    let left_out = plan.folder().total() - pictures.len();
    if left_out > 0 {
        notes.push(format!(
            "{left_out} of {} pictures cannot be read and are left out; goai-rs data inspect names them",
            plan.folder().total()
        ));
    }
    Ok(Loaded { data: AnyData::Pictures(pictures), notes })
}

/// The decoded pictures that this node has kept: where all its ranks map them, and each finds its part as it was decoded.
fn intact(comm: &dyn Communicator, plan: &Plan, node: &Node) -> Result<Option<Pictures>, Ended> {
    let cached = agreed(comm, plan.cached().map_err(Failure::from))?;
    let part = cached.as_ref().is_some_and(|pictures| plan.is_intact(pictures, node.local, node.ranks.len()));
    let everywhere = node.all(comm, cached.is_some())?;
    if node.all(comm, part)? {
        return Ok(cached);
    }
    match (&cached, node.local) {
        (Some(pictures), 0) if everywhere => plan.forget(pictures),
        _ => {}
    }
    Ok(None)
}

/// Whether all ranks of the job say so.
fn agreed_all(comm: &dyn Communicator, mine: bool) -> Result<bool, Ended> {
    let said = gather_texts(comm, if mine { "1" } else { "0" })?;
    Ok(said.iter().all(|word| word == "1"))
}

/// The phases of [`cache`]; the ranks of a node that has the pictures already (`done`) only keep step.
fn decode_together(
    comm: &dyn Communicator,
    plan: &Plan,
    node: &Node,
    done: Option<Pictures>,
    decoding: &Decoding,
    notes: &mut Vec<String>,
) -> Result<Pictures, Ended> {
    let started = Instant::now();
    let begun = match (node.local, &done) {
        (0, None) => plan.begin(&node.token).map(|_| ()),
        _ => Ok(()),
    };
    agreed_all(comm, true)?; // a barrier: the file is there
    let (local, parts) = (node.local, node.ranks.len());
    let part = match (&done, plan.temporary(&node.token)) {
        (None, Some(temporary)) => {
            let total = plan.folder().files.len().div_ceil(parts);
            let progress = decoding.begin(total);
            let report = plan.decode(&temporary, local, parts, &|more| progress.advance(more));
            Some((temporary, report))
        }
        _ => None,
    };
    let whole = node.all(comm, part.as_ref().is_some_and(|(_, report)| report.is_ok()))?;
    let published = match (&part, local) {
        (Some((temporary, _)), 0) if whole => plan.publish(temporary),
        (Some((temporary, _)), 0) => {
            plan.discard(temporary);
            Ok(())
        }
        _ => Ok(()),
    };
    // Where the file cannot be kept, the pictures can still be held in memory.
    let part = part.map_or(Ok(PartReport::default()), |(_, report)| report);
    let troubles: Vec<DataError> = [begun.err(), part.err(), published.err()].into_iter().flatten().collect();
    let (kept, fatal): (Vec<_>, Vec<_>) =
        troubles.into_iter().partition(|error| matches!(error, DataError::PictureCache { .. }));
    agreed(comm, fatal.into_iter().next().map_or(Ok(()), |error| Err(Failure::from(error))))?;
    // By all ranks, also those of a node that was done: it is collective.
    let again = intact(comm, plan, node)?;
    let cached = done.or(again);
    let in_memory = cached.is_none();
    let pictures = match cached {
        Some(pictures) => Ok(pictures),
        None => {
            let progress = decoding.begin(plan.folder().files.len());
            plan.in_memory(&|more| progress.advance(more)).map(|(pictures, _)| pictures)
        }
    };
    let pictures = agreed(comm, pictures.map_err(Failure::from))?;
    let seconds = started.elapsed().as_secs_f64();
    let count = pictures.len();
    notes.push(match in_memory {
        false => format!("decoded {count} pictures in {seconds:.1} s into {}", source_of(&pictures)),
        true => {
            let why =
                kept.first().map_or("no whole file of decoded pictures can be kept".to_owned(), ToString::to_string);
            format!("{why}. Every rank has decoded {count} pictures into its memory, in {seconds:.1} s")
        }
    });
    Ok(pictures)
}

/// Where pixels come from, for a note.
fn source_of(pictures: &Pictures) -> String {
    match &pictures.pixels {
        Pixels::Mapped(mapped) => show(mapped.path()),
        Pixels::Owned(_) => "memory".to_owned(),
    }
}

/// What the ranks must agree on about a folder; times may differ where each node has a copy of its own.
fn fingerprint(folder: &Folder) -> u64 {
    let mut hash = Xxh3::new();
    let mut text = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    folder.classes.iter().for_each(|class| text(class.as_bytes()));
    for file in &folder.files {
        text(file.path.as_os_str().as_encoded_bytes());
        text(&file.size.to_le_bytes());
        text(&file.label.to_le_bytes());
    }
    text(&folder.own_test.to_le_bytes());
    hash.digest()
}

/// The size that most of some pictures have; of equally frequent ones the smallest.
fn common_size(comm: &dyn Communicator, folder: &Folder) -> Result<ImageSize, Ended> {
    let found = match comm.rank() {
        0 => most_frequent(folder),
        _ => Ok([0, 0]),
    };
    let [height, width] = agreed(comm, found)?;
    let mut size = [height as i64, width as i64];
    comm.broadcast(0, Values::I64(&mut size))?;
    Ok(ImageSize { height: size[0] as usize, width: size[1] as usize })
}

fn most_frequent(folder: &Folder) -> Result<[usize; 2], Failure> {
    let step = folder.files.len().div_ceil(LOOKS).max(1);
    let mut counts: HashMap<[usize; 2], usize> = HashMap::new();
    for file in folder.files.iter().step_by(step) {
        if let Some(header) = header_of(&folder.root.join(&file.path)) {
            *counts.entry([header.height, header.width]).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|&(size, count)| (count, std::cmp::Reverse(size)));
    match most.map(|(size, _)| size) {
        Some(size) if size.iter().all(|side| (1..=MOST_COMMON).contains(side)) => Ok(size),
        Some([height, width]) => Err(Failure::new(
            3,
            format!(
                "{}: its pictures are large, {height}x{width}; say to which size they are brought: --image-size 128",
                show(&folder.root)
            ),
        )),
        None => Err(Failure::new(
            DATA,
            format!(
                "{}: none of the pictures looked at can be read; goai-rs data inspect names them",
                show(&folder.root)
            ),
        )),
    }
}

/// What a picture's header says, if it is a picture; a bad one is told of when it is decoded.
fn header_of(path: &Path) -> Option<decode::Header> {
    const MOST: u64 = 16 << 20;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    decode::header(&bytes).ok()
}
