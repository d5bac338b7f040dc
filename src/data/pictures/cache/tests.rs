//! The phases as ranks run them, torn files, bad pictures, two jobs at once.

use super::*;
use crate::data::pictures::folder;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

const WANTED: Wanted = Wanted { height: 8, width: 6, pixel_limit: 1000 };

fn picture(seed: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 6, 8);
    encoder.set_color(png::ColorType::Rgb);
    let pixels: Vec<u8> = (0..144).map(|i| (i * (seed + 3) % 256) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

/// A folder of pictures and a place beside it for the decoded ones.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// Two classes of so many pictures each, and a test set of 2.
    fn new(each: usize) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        for i in 0..2 * each {
            world.write(&format!("train/{}/{i:03}.png", ["a", "b"][i % 2]), &picture(i));
        }
        world.write("test/a/x.png", &picture(1000));
        world.write("test/b/y.png", &picture(1001));
        world
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.dir.path().join("data").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn place(&self) -> PathBuf {
        self.dir.path().join("place")
    }

    fn plan(&self, policy: BadImage) -> Result<Plan, DataError> {
        let folder = folder::open(&self.dir.path().join("data")).unwrap();
        Plan::new(folder, WANTED, policy, Some(&self.place()))
    }

    fn make(&self, plan: &Plan, parts: usize) -> Result<Vec<PartReport>, DataError> {
        let temporary = plan.begin("job 1").unwrap();
        let parts = (0..parts).map(|part| plan.decode(&temporary, part, parts, &|_| ()));
        let reports = parts.collect::<Result<Vec<_>, _>>().inspect_err(|_| plan.discard(&temporary))?;
        plan.publish(&temporary)?;
        Ok(reports)
    }

    /// The names of the files in the place.
    fn kept(&self) -> Vec<String> {
        let entries = fs::read_dir(self.place()).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn pictures_are_the_same_from_any_number_of_parts_and_from_memory() {
    let world = World::new(10);
    let plan = world.plan(BadImage::Fail).unwrap();
    let seen = AtomicUsize::new(0);
    let (reference, report) = plan.in_memory(&|more| _ = seen.fetch_add(more, Ordering::Relaxed)).unwrap();
    assert_eq!((reference.len(), report.good, seen.into_inner()), (22, 22, 22));
    assert_eq!((reference.own_test, reference.shape), (2, [3, 8, 6]));
    let all: Vec<u32> = (0..22).collect();
    for parts in [1, 2, 3, 30] {
        assert!(plan.cached().unwrap().is_none());
        world.make(&plan, parts).unwrap();
        let mapped = plan.cached().unwrap().unwrap();
        assert!(matches!(mapped.pixels, Pixels::Mapped(_)));
        assert_eq!((&mapped.labels, mapped.own_test), (&reference.labels, reference.own_test));
        assert!((0..22).all(|i| mapped.pixels(i) == reference.pixels(i)));
        assert_eq!(mapped.fingerprint(), reference.fingerprint());
        use crate::data::pictures::{Moments, PixelScale};
        assert_eq!(Moments::of(&mapped, &all), Moments::of(&reference, &all));
        assert_eq!(PixelScale::fit(&mapped, &[3, 4]), PixelScale::fit(&reference, &[3, 4]));
        assert_eq!(world.kept().len(), 1);
        fs::remove_dir_all(world.place()).unwrap();
    }
}

#[test]
fn a_changed_folder_or_size_is_decoded_anew() {
    let world = World::new(2);
    let plan = world.plan(BadImage::Fail).unwrap();
    world.make(&plan, 1).unwrap();
    assert!(world.plan(BadImage::Skip).unwrap().cached().unwrap().is_some());
    let larger = Plan::new(plan.folder.clone(), Wanted { height: 9, ..WANTED }, BadImage::Fail, Some(&world.place()));
    assert!(larger.unwrap().cached().unwrap().is_none());
    let file = fs::File::options().write(true).open(world.dir.path().join("data/test/a/x.png")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(5)).unwrap();
    assert!(world.plan(BadImage::Fail).unwrap().cached().unwrap().is_none());
    // Written to between listing and decoding.
    world.write("test/a/x.png", &[picture(3), picture(4)].concat());
    let message = world.make(&plan, 2).unwrap_err().to_string();
    assert!(message.contains("x.png: has changed since its folder was listed"), "{message}");
}

#[test]
fn a_torn_file_is_never_trusted_and_is_replaced() {
    let world = World::new(3);
    let plan = world.plan(BadImage::Fail).unwrap();
    world.make(&plan, 1).unwrap();
    let path = plan.published(&world.place());
    let whole = fs::read(&path).unwrap();
    for length in [0, 1, 127, 128, 600, 4095, 4096, 5000, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(plan.cached().unwrap().is_none(), "{length}");
        // A hole where the rest should be.
        fs::File::options().write(true).open(&path).unwrap().set_len(whole.len() as u64).unwrap();
        assert!(plan.cached().unwrap().is_none(), "{length} and a hole");
    }
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    assert!(plan.cached().unwrap().is_none());
    let index_end = 8 * (16 + 8 * 8);
    for at in (0..index_end).chain(4096..whole.len()) {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        fs::write(&path, &flipped).unwrap();
        assert!(plan.cached().unwrap().is_none(), "byte {at}");
    }
    world.make(&plan, 2).unwrap();
    assert!(plan.cached().unwrap().is_some() && world.kept().len() == 1);
    let Pixels::Mapped(mapped) = plan.cached().unwrap().unwrap().pixels else { unreachable!() };
    assert_eq!((mapped.verify(0, 2), mapped.verify(1, 2)), (Ok(()), Ok(())));
}

#[test]
fn a_changed_pixel_between_the_probes_is_found_and_its_file_replaced() {
    let world = World::new(60);
    let plan = world.plan(BadImage::Fail).unwrap();
    world.make(&plan, 1).unwrap();
    let path = plan.published(&world.place());
    let mut flipped = fs::read(&path).unwrap();
    // The second picture: every second one is compared when the file is opened.
    let at = flipped.len() - (plan.folder.files.len() - 1) * WANTED.bytes();
    flipped[at] ^= 4;
    fs::write(&path, &flipped).unwrap();
    let mapped = plan.cached().unwrap().expect("the probes do not see it");
    assert_eq!([0, 1].map(|part| plan.is_intact(&mapped, part, 2)), [false, true]);
    // Nor does publishing take it for whole.
    let temporary = plan.begin("again/1").unwrap();
    plan.decode(&temporary, 0, 1, &|_| ()).unwrap();
    plan.publish(&temporary).unwrap();
    let mapped = plan.cached().unwrap().unwrap();
    assert!(plan.is_intact(&mapped, 0, 1));
    plan.forget(&mapped);
    assert!(plan.cached().unwrap().is_none());
}

#[test]
fn an_unfinished_file_is_not_published() {
    let world = World::new(3);
    let plan = world.plan(BadImage::Fail).unwrap();
    let temporary = plan.begin("host/7").unwrap();
    assert_eq!(plan.temporary("host/7").as_ref(), Some(&temporary));
    assert_eq!(plan.temporary("host/8"), None);
    plan.decode(&temporary, 0, 2, &|_| ()).unwrap();
    let message = plan.publish(&temporary).unwrap_err().to_string();
    assert!(message.contains("is not complete: train/b/") && !message.contains('\n'), "{message}");
    assert!(plan.cached().unwrap().is_none());
}

#[test]
fn two_jobs_at_once_do_not_disturb_each_other() {
    let world = World::new(3);
    let plan = world.plan(BadImage::Fail).unwrap();
    let [one, two] = ["one", "two"].map(|token| plan.begin(token).unwrap());
    for path in [&one, &two] {
        plan.decode(path, 0, 1, &|_| ()).unwrap();
    }
    plan.publish(&one).unwrap();
    let first = plan.cached().unwrap().unwrap();
    plan.publish(&two).unwrap();
    assert_eq!(first.fingerprint(), plan.cached().unwrap().unwrap().fingerprint());
    assert_eq!(world.kept().len(), 1);
    // What a dead job left is removed, what a living one is writing stays.
    let [dead, living] = ["dead", "living"].map(|token| plan.begin(token).unwrap());
    let file = fs::File::options().write(true).open(&dead).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    plan.begin("next").unwrap();
    assert!(!dead.exists() && living.exists());
}

#[test]
fn bad_pictures_are_named_or_counted() {
    let world = World::new(100);
    world.write("train/b/bad.png", &picture(0)[..50]);
    let plan = world.plan(BadImage::Fail).unwrap();
    let message = world.make(&plan, 3).unwrap_err().to_string();
    assert!(message.contains("train/b/bad.png: does not end with the end mark of a PNG"), "{message}");
    assert!(message.contains("--bad-image skip") && !message.contains('\n'), "{message}");
    assert!(world.kept().is_empty());
    let skip = world.plan(BadImage::Skip).unwrap();
    let reports = world.make(&skip, 3).unwrap();
    let bad: Vec<_> = reports.iter().flat_map(|report| &report.bad).collect();
    assert!(bad.len() == 1 && bad[0].0.ends_with("train/b/bad.png"), "{bad:?}");
    let pictures = skip.cached().unwrap().unwrap();
    assert_eq!((pictures.len(), pictures.own_test), (202, 2));
    let (owned, _) = skip.in_memory(&|_| ()).unwrap();
    assert!((0..202).all(|i| owned.pixels(i) == pictures.pixels(i)));
    assert_eq!(owned.fingerprint(), pictures.fingerprint());
    // The kept file was made by a job that left it out: this one must not.
    assert!(plan.cached().unwrap_err().to_string().contains("bad.png"));
    // 2 of 205 are fewer than 1 %, 3 are not, wherever they are.
    world.write("train/a/worse.jpg", b"no");
    fs::create_dir(world.dir.path().join("data/train/a/worst.jpg")).unwrap();
    let plan = world.plan(BadImage::Skip).unwrap();
    for parts in [1, 4] {
        let message = world.make(&plan, parts).unwrap_err().to_string();
        assert!(message.starts_with("3 of 205 pictures are bad, more than the 1 %"), "{message}");
    }
    let message = world.plan(BadImage::Fail).unwrap_err().to_string();
    assert!(message.contains("worst.jpg: is a directory, not a regular file"), "{message}");
}

#[test]
fn where_nothing_can_be_written_an_error_says_so() {
    let world = World::new(1);
    // A file where the directory should be: not even root can write below it.
    fs::write(world.place(), "").unwrap();
    let plan = world.plan(BadImage::Fail).unwrap();
    let message = plan.begin("x").unwrap_err().to_string();
    assert!(message.contains("the file of decoded pictures cannot be made") && !message.contains('\n'), "{message}");
    assert!(plan.temporary("x").is_none() && plan.cached().unwrap().is_none());
    assert_eq!(plan.in_memory(&|_| ()).unwrap().0.len(), 4);
}
