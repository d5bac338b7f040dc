//! The charts of a run: loss.svg and accuracy.svg, and stages.svg of a pipeline.

use super::svg::{Chart, Series};
use crate::event::StageRecord;
use crate::run::metrics::Row;

/// loss.svg: training and validation loss over the epochs.
pub fn loss(rows: &[Row]) -> Chart {
    Chart {
        title: "Loss".into(),
        x_label: "epoch".into(),
        y_label: "mean loss".into(),
        series: lines(rows, [("training", |row| row.train_loss), ("validation", |row| row.val_loss)]),
        y_includes: vec![0.0],
    }
}

/// accuracy.svg: training and validation accuracy over the epochs.
pub fn accuracy(rows: &[Row]) -> Chart {
    Chart {
        title: "Accuracy".into(),
        x_label: "epoch".into(),
        y_label: "share classified right".into(),
        series: lines(rows, [("training", |row| row.train_acc), ("validation", |row| row.val_acc)]),
        y_includes: vec![0.0, 1.0],
    }
}

type Figure = fn(&Row) -> Option<f64>;

/// A line for each figure that was measured at all: no legend for an empty validation part.
fn lines(rows: &[Row], figures: [(&str, Figure); 2]) -> Vec<Series> {
    let line = |(name, figure): (&str, Figure)| Series {
        name: name.to_owned(),
        points: rows.iter().map(|row| (row.epoch as f64, figure(row))).collect(),
        reference: false,
    };
    let measured = |series: &Series| series.points.iter().any(|(_, y)| y.is_some());
    figures.into_iter().map(line).filter(measured).collect()
}

/// The accuracy of every stage's own head after an epoch: on the validation part, and while training.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageAccuracies {
    epoch: u64,
    validation: Vec<Option<f64>>,
    training: Vec<Option<f64>>,
}

impl StageAccuracies {
    /// Those of an epoch; the replicas of a stage count as one, their mean.
    pub fn of(epoch: u64, stages: &[StageRecord]) -> Self {
        let number = stages.iter().map(|stage| stage.stage + 1).max().unwrap_or(0);
        let means = |figure: fn(&StageRecord) -> Option<f64>| {
            let mean = |stage: usize| {
                let of_stage = stages.iter().filter(|record| record.stage == stage).filter_map(figure);
                let values: Vec<f64> = of_stage.collect();
                (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
            };
            (0..number).map(mean).collect()
        };
        Self { epoch, validation: means(|stage| stage.val_acc), training: means(|stage| stage.train_acc) }
    }
}

/// stages.svg: the accuracy of each stage's head over the epochs, on the validation part where there is one; nothing
/// where no stage has a head.
pub fn stages(epochs: &[StageAccuracies]) -> Option<Chart> {
    type Part = fn(&StageAccuracies) -> &[Option<f64>];
    let parts: [(&str, Part); 2] = [("validation", |row| &row.validation), ("training", |row| &row.training)];
    let measured = |part: &Part| epochs.iter().any(|row| part(row).iter().any(Option::is_some));
    let (name, part) = parts.into_iter().find(|(_, part)| measured(part))?;
    let number = epochs.iter().map(|row| part(row).len()).max().unwrap_or(0);
    let line = |stage: usize| Series {
        name: format!("stage {stage}"),
        points: epochs.iter().map(|row| (row.epoch as f64, part(row).get(stage).copied().flatten())).collect(),
        reference: false,
    };
    let has_head = |series: &Series| series.points.iter().any(|(_, y)| y.is_some());
    Some(Chart {
        title: "Accuracy of the stages".into(),
        x_label: "epoch".into(),
        y_label: format!("share classified right ({name})"),
        series: (0..number).map(line).filter(has_head).collect(),
        y_includes: vec![0.0, 1.0],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_a_line_where_they_have_a_head() {
        let record = |stage, val_acc, train_acc| StageRecord { stage, val_acc, train_acc, ..StageRecord::default() };
        let epoch = |epoch, val_acc: Option<f64>| {
            let other = val_acc.map(|share| share / 2.0);
            let stages = [record(0, None, None), record(1, val_acc, Some(0.9)), record(1, other, Some(0.7))];
            StageAccuracies::of(epoch, &stages)
        };
        let chart = stages(&[epoch(1, Some(0.5)), epoch(2, None)]).unwrap();
        assert_eq!(chart.series.iter().map(|series| series.name.as_str()).collect::<Vec<_>>(), ["stage 1"]);
        assert_eq!(chart.series[0].points, [(1.0, Some(0.375)), (2.0, None)]);
        assert_eq!(chart.y_label, "share classified right (validation)");
        let training = stages(&[epoch(1, None)]).unwrap();
        assert_eq!(training.series[0].points, [(1.0, Some((0.9 + 0.7) / 2.0))]);
        assert_eq!(training.y_label, "share classified right (training)");
        assert!(stages(&[StageAccuracies::of(1, &[record(0, None, None)])]).is_none() && stages(&[]).is_none());
    }

    #[test]
    fn lines_are_what_was_measured() {
        let row = |epoch, val_loss| Row {
            epoch,
            train_loss: Some(1.0 / epoch as f64),
            train_acc: Some(0.5),
            val_loss,
            ..Row::default()
        };
        let rows = [row(1, None), row(2, Some(0.7))];
        let chart = loss(&rows);
        assert_eq!(chart.series[0].points, [(1.0, Some(1.0)), (2.0, Some(0.5))]);
        assert_eq!(chart.series[1].points, [(1.0, None), (2.0, Some(0.7))]);
        let names: Vec<_> = accuracy(&rows).series.into_iter().map(|series| series.name).collect();
        assert_eq!(names, ["training"]);
        assert!(loss(&[]).render().contains("no data"));
    }
}
