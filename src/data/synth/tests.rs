//! What is written is read back by the loaders, and differs from class to class but not from run to run.

use super::*;
use crate::data::AnyData;
use crate::data::pictures::Pictures;
use std::collections::BTreeMap;

const FEW: PerClass = PerClass { train: 3, test: 2 };

/// Every file below a folder, with its bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(path).unwrap());
            }
        }
    }
    found
}

fn written(kind: Kind, seed: u64) -> (tempfile::TempDir, Report) {
    let dir = tempfile::tempdir().unwrap();
    let report = synth(kind, &dir.path().join("new/set"), seed, Some(FEW)).unwrap();
    (dir, report)
}

fn check(kind: Kind, load: fn(&Path) -> Result<Pictures, DataError>) {
    let (_dir, report) = written(kind, 1);
    assert_eq!((report.train, report.test, report.classes), (30, 20, 10));
    let set = load(&report.folder).unwrap();
    assert_eq!((set.len(), set.own_test, set.shape), (50, 20, kind.shape()));
    for i in 0..set.len() {
        assert_eq!(set.labels[i], i as u32 % 10);
        assert_eq!(set.pixels(i), picture(kind, 1, i), "picture {i}");
    }
}

#[test]
fn the_loaders_read_what_was_drawn() {
    check(Kind::Cifar10, cifar10::load);
    check(Kind::Mnist, mnist::load);
}

#[test]
fn img_is_laid_out_as_the_archive_unpacks() {
    let (_dir, report) = written(Kind::Img, 1);
    let files = tree(&report.folder);
    assert_eq!((files.len(), report.files), (6 * 5 + 1, 6 * 5 + 1));
    assert_eq!(report.bytes, files.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    for class in IMG_CLASSES {
        for name in [format!("seg_train/seg_train/{class}/0002.jpg"), format!("seg_test/seg_test/{class}/0001.jpg")] {
            let bytes = &files[Path::new(&name)];
            // SOI at the beginning; EOI at the end: not cut short.
            assert!(bytes.starts_with(&[0xff, 0xd8, 0xff]) && bytes.ends_with(&[0xff, 0xd9]), "{name}");
            assert!((3_000..30_000).contains(&bytes.len()), "{name}: {} bytes", bytes.len());
        }
    }
}

#[test]
fn the_seed_decides_every_byte() {
    for kind in [Kind::Img, Kind::Cifar10, Kind::Mnist] {
        let [a, b, c] = [1, 1, 2].map(|seed| written(kind, seed));
        let [a, b, c] = [a, b, c].map(|(_dir, report)| tree(&report.folder));
        assert!(a == b && a != c, "{kind:?}");
        let text = String::from_utf8(a[Path::new("README.txt")].clone()).unwrap();
        assert!(text.starts_with("SYNTHETIC DATA") && text.contains("seed 1"), "{text}");
    }
}

#[test]
fn a_folder_that_holds_something_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("photo.jpg");
    fs::write(&file, "mine").unwrap();
    for (out, expected) in [(dir.path(), "is not an empty folder"), (&file, "is not an empty folder")] {
        let message = synth(Kind::Cifar10, out, 1, Some(FEW)).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("--out"), "{message}");
    }
    let below_file = synth(Kind::Mnist, &file.join("set"), 1, Some(FEW)).unwrap_err().to_string();
    assert!(below_file.contains("photo.jpg"), "{below_file}");
    assert_eq!(tree(dir.path()).len(), 1);
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    synth(Kind::Mnist, &empty, 1, Some(FEW)).unwrap();
}

#[test]
fn sizes_out_of_range_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (train, test) in [(0, 1), (1, 0), (MOST_PER_CLASS + 1, 1), (1, usize::MAX)] {
        let message = synth(Kind::Img, dir.path(), 1, Some(PerClass { train, test })).unwrap_err().to_string();
        assert!(message.contains("choose 1 to 10000 a class"), "{message}");
    }
    assert!(tree(dir.path()).is_empty());
}

/// Nearest class by the energy of each class's own grating: what a convolution and a mean can see. Raw pixels hardly
/// tell: their nearest class mean is wrong more often than not.
#[test]
fn classes_can_be_learned_but_not_from_single_pixels() {
    let dir = tempfile::tempdir().unwrap();
    synth(Kind::Mnist, &dir.path().join("set"), 5, Some(PerClass { train: 40, test: 20 })).unwrap();
    let set = AnyData::Pictures(mnist::load(&dir.path().join("set")).unwrap());
    let AnyData::Pictures(pictures) = &set else { unreachable!() };
    let train = set.len() - set.own_test();
    let mut means = vec![vec![0.0; set.dims()]; 10];
    for i in 0..train {
        let mean = &mut means[i % 10];
        mean.iter_mut().zip(pictures.pixels(i)).for_each(|(mean, &pixel)| *mean += f64::from(pixel) / 40.0);
    }
    let (mut by_mean, mut by_energy) = (0, 0);
    for i in train..set.len() {
        let pixels = pictures.pixels(i);
        let far = |class: &usize| -> f64 {
            means[*class].iter().zip(pixels).map(|(mean, &pixel)| (mean - f64::from(pixel)).powi(2)).sum()
        };
        let nearest = (0..10).min_by(|a, b| far(a).total_cmp(&far(b)));
        by_mean += usize::from(nearest == Some(i % 10));
        let strongest = (0..10).max_by(|&a, &b| energy(pixels, a).total_cmp(&energy(pixels, b)));
        by_energy += usize::from(strongest == Some(i % 10));
    }
    assert!(by_energy > 180, "{by_energy} of 200 by energy");
    assert!(by_mean < 120, "{by_mean} of 200 by pixels");
}

/// How much of a class's grating is in a picture, whatever its phase.
fn energy(pixels: &[u8], class: usize) -> f64 {
    let direction = std::f64::consts::PI * class as f64 / 10.0;
    let k = std::f64::consts::TAU * if class.is_multiple_of(2) { 4.0 } else { 6.5 } / 28.0;
    let mean = pixels.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / pixels.len() as f64;
    let (mut cosine, mut sine) = (0.0, 0.0);
    for (at, &pixel) in pixels.iter().enumerate() {
        let phase = k * ((at % 28) as f64 * direction.cos() + (at / 28) as f64 * direction.sin());
        cosine += (f64::from(pixel) - mean) * phase.cos();
        sine += (f64::from(pixel) - mean) * phase.sin();
    }
    cosine * cosine + sine * sine
}
