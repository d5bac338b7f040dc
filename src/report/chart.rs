//! The charts of a run: loss.svg and accuracy.svg.

use super::svg::{Chart, Series};
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

#[cfg(test)]
mod tests {
    use super::*;

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
