//! What a finished training leaves: its model, its charts, its figures.

use super::failure::Failure;
use super::output::Output;
use super::prepare::Prepared;
use super::task::{Parts, Scale};
use crate::config::BadImage;
use crate::data::AnyData;
use crate::run::model_file::{self, ModelMeta, PicturesMeta};
use crate::run::state::{Final, hex_hash};
use crate::strategy::{Cursor, Fit};
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// Writes model.safetensors and the charts, and enters the final figures.
///
/// Rates and times are those of this job: its steps, its loops. What an earlier one did that it goes on from is in
/// metrics.csv.
///
/// # Errors
/// When a file cannot be written.
pub fn save(
    output: &mut Output,
    prepared: &Prepared,
    parts: &Parts,
    fit: &Fit,
    started: Instant,
) -> Result<(), Failure> {
    let network = &prepared.network;
    let hash = xxh3_64(bytemuck::cast_slice(&fit.theta));
    let before = prepared.resume.as_ref().map_or(Cursor::default(), |resume| resume.cursor);
    let samples = fit.cursor.samples - before.samples;
    let weights = network.tensors().map(|t| (t, &fit.theta[t.span.range()]));
    let statistics = network.statistics().map(|t| (t, &fit.sigma[t.span.range()]));
    let tensors: Vec<(String, Vec<usize>, &[f32])> =
        weights.chain(statistics).map(|(t, values)| (t.name.clone(), t.shape.clone(), values)).collect();
    let meta = ModelMeta { weights_hash: hex_hash(hash), ..meta(prepared, &parts.scale) };
    model_file::save(&output.dir.file("model.safetensors"), &tensors, &meta)?;
    output.draw()?;
    // A job that had no epoch left to train has no record of its own.
    let epoch = output.last_row().cloned();
    let epoch = epoch.as_ref();
    output.run.final_figures = Some(Final {
        train_loss: fit.last.as_ref().map(|last| last.train_loss).or(epoch.and_then(|row| row.train_loss)),
        val_acc: fit.last.as_ref().map_or(epoch.and_then(|row| row.val_acc), |last| last.val_acc),
        test_acc: fit.test.accuracy(),
        test_size: fit.test.samples as usize,
        samples_per_s: (fit.loop_s > 0.0).then(|| samples as f64 / fit.loop_s),
        elapsed_s: Some(started.elapsed().as_secs_f64()),
        comm_share: Some(fit.comm_share),
        energy_j: None,
        modelled_s: None,
        modelled_energy_j: None,
        stages: Vec::new(),
        weights_hash: hex_hash(hash),
    });
    Ok(())
}

/// What stands in the model's file beside the tensors, but for the hash of these.
pub fn meta(prepared: &Prepared, scale: &Scale) -> ModelMeta {
    let (config, data) = (&prepared.config, &prepared.data);
    let common = ModelMeta {
        network: serde_json::to_value(prepared.network.spec()).expect("a network is JSON"),
        dataset: config.dataset.to_string(),
        classes: data.classes().to_vec(),
        data_dir: config.data_dir.clone(),
        seed: config.seed,
        label: config.label.clone(),
        ..ModelMeta::default()
    };
    let (columns, label_column) = match data {
        AnyData::Table(table) => (table.columns.clone(), table.label_column.clone()),
        AnyData::Pictures(_) => Default::default(),
    };
    match scale {
        Scale::Columns(scale) => ModelMeta {
            columns,
            label_column,
            means: scale.means.clone(),
            deviations: scale.deviations.clone(),
            data_split: config.data_split.unwrap_or_default().to_string(),
            ..common
        },
        Scale::Pixels(scale) => ModelMeta {
            means: scale.means.clone(),
            deviations: scale.deviations.clone(),
            data_split: config.data_split.map_or(String::new(), |split| split.to_string()),
            pictures: data.shape().map(|shape| PicturesMeta {
                shape,
                skip_bad: config.bad_image == BadImage::Skip,
                cache_dir: config.cache_dir.clone(),
            }),
            ..common
        },
    }
}
