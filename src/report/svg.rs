//! A line chart as one self-contained SVG text: no library, no script, no font to load.

use super::axis::Axis;
use std::fmt::Write;

/// A chart, 800 by 500.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chart {
    /// The line above.
    pub title: String,
    /// What runs to the right, with its unit.
    pub x_label: String,
    /// What runs upwards, with its unit.
    pub y_label: String,
    /// The lines, in the order of the legend.
    pub series: Vec<Series>,
    /// Values that the y axis shows in any case, as 0 and 1 for shares.
    pub y_includes: Vec<f64>,
}

/// One line of a chart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points, from left to right. A value that is absent or not finite is a gap.
    pub points: Vec<(f64, Option<f64>)>,
    /// Drawn thin, grey and dashed: a line to compare with, not a measurement.
    pub reference: bool,
}

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 500.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 610.0; // the legend stands to the right of it
const TOP: f64 = 44.0;
const BOTTOM: f64 = 444.0;
const COLOURS: [&str; 10] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#7b3294", "#404040", "#a50026", "#5aae61"];
/// A second and third round through the colours is told apart by its dashes.
const DASHES: [&str; 3] = ["", "7 3", "2 3"];

impl Chart {
    /// The SVG text. It is valid for any data, also for none.
    pub fn render(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points).filter_map(|&(x, y)| finite(x, y));
        // Epochs and ranks are counted: no tick between two of them.
        let whole = if points().all(|(x, _)| x.fract() == 0.0) { 1.0 } else { 0.0 };
        let x_axis = Axis::over(points().map(|(x, _)| x), whole, LEFT, RIGHT);
        let y_axis = Axis::over(points().map(|(_, y)| y).chain(self.y_includes.iter().copied()), 0.0, BOTTOM, TOP);
        let mut out = String::new();
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222\">"
        );
        let _ = writeln!(out, "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>");
        self.frame(&mut out, &x_axis, &y_axis);
        let mut coloured = 0;
        for (place, series) in self.series.iter().enumerate() {
            let style = if series.reference {
                "stroke=\"#888\" stroke-width=\"1.2\" stroke-dasharray=\"5 4\"".to_owned()
            } else {
                coloured += 1;
                style(coloured - 1)
            };
            let _ = writeln!(out, "<g fill=\"none\" stroke-linejoin=\"round\" {style}>");
            for run in runs(&series.points) {
                draw(&mut out, &thinned(&run, &x_axis, &y_axis));
            }
            legend(&mut out, place, self.series.len(), &series.name);
        }
        if points().next().is_none() {
            label(&mut out, (LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0, "middle", "no data");
        }
        out.push_str("</svg>\n");
        out
    }

    /// Title, grid, ticks and axis names.
    fn frame(&self, out: &mut String, x_axis: &Axis, y_axis: &Axis) {
        let centre = (LEFT + RIGHT) / 2.0;
        let _ = writeln!(
            out,
            "<text x=\"{centre}\" y=\"26\" text-anchor=\"middle\" font-size=\"16\" font-weight=\"bold\">{}</text>",
            escape(&self.title)
        );
        out.push_str("<g stroke=\"#e4e4e4\">\n");
        for tick in &x_axis.ticks {
            let x = x_axis.pixel(*tick);
            let _ = writeln!(out, "<path d=\"M{x:.1} {TOP}V{BOTTOM}\"/>");
        }
        for tick in &y_axis.ticks {
            let y = y_axis.pixel(*tick);
            let _ = writeln!(out, "<path d=\"M{LEFT} {y:.1}H{RIGHT}\"/>");
        }
        let _ = writeln!(out, "</g>\n<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" fill=\"none\" stroke=\"#444\"/>");
        for tick in &x_axis.ticks {
            label(out, x_axis.pixel(*tick), BOTTOM + 18.0, "middle", &x_axis.text(*tick));
        }
        for tick in &y_axis.ticks {
            label(out, LEFT - 8.0, y_axis.pixel(*tick) + 4.0, "end", &y_axis.text(*tick));
        }
        label(out, centre, BOTTOM + 42.0, "middle", &self.x_label);
        let middle = (TOP + BOTTOM) / 2.0;
        let _ = writeln!(
            out,
            "<text transform=\"translate(18 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escape(&self.y_label)
        );
    }
}

fn finite(x: f64, y: Option<f64>) -> Option<(f64, f64)> {
    y.filter(|y| x.is_finite() && y.is_finite()).map(|y| (x, y))
}

/// The points between two gaps, for each such stretch.
fn runs(points: &[(f64, Option<f64>)]) -> Vec<Vec<(f64, f64)>> {
    let whole: Vec<_> = points.iter().map(|&(x, y)| finite(x, y)).collect();
    let stretches = whole.split(Option::is_none).filter(|stretch| !stretch.is_empty());
    stretches.map(|stretch| stretch.iter().flatten().copied().collect()).collect()
}

/// To pixels; of points that share a column half a pixel wide only first, lowest, highest and last
/// are kept, which draws the same picture: a million epochs stay a small file.
fn thinned(run: &[(f64, f64)], x_axis: &Axis, y_axis: &Axis) -> Vec<(f64, f64)> {
    let pixels: Vec<_> = run.iter().map(|&(x, y)| (x_axis.pixel(x), y_axis.pixel(y))).collect();
    let column = |point: &(f64, f64)| (point.0 * 2.0).round();
    let mut kept = Vec::new();
    for group in pixels.chunk_by(|a, b| column(a) == column(b)) {
        let by_height = |&a: &usize, &b: &usize| group[a].1.total_cmp(&group[b].1);
        let (lowest, highest) = ((0..group.len()).min_by(by_height), (0..group.len()).max_by(by_height));
        let mut places = vec![0, lowest.unwrap_or(0), highest.unwrap_or(0), group.len() - 1];
        places.sort_unstable();
        places.dedup();
        kept.extend(places.into_iter().map(|place| group[place]));
    }
    kept
}

/// A line through the points, with dots where they are few: a single point is seen, too.
fn draw(out: &mut String, points: &[(f64, f64)]) {
    let coordinates: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    if points.len() > 1 {
        let _ = writeln!(out, "<polyline points=\"{}\"/>", coordinates.join(" "));
    }
    if points.len() <= 24 {
        for (x, y) in points {
            let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.4\" stroke-dasharray=\"none\"/>");
        }
    }
}

fn style(place: usize) -> String {
    let dash = DASHES[place / COLOURS.len() % DASHES.len()];
    format!("stroke=\"{}\" stroke-width=\"1.8\" stroke-dasharray=\"{dash}\"", COLOURS[place % COLOURS.len()])
}

/// The legend's line for one series; it closes the group that the series opened, to share its style.
fn legend(out: &mut String, place: usize, of: usize, name: &str) {
    let spacing = ((BOTTOM - TOP) / of as f64).min(18.0);
    let y = TOP + 8.0 + place as f64 * spacing;
    let _ = writeln!(out, "<path d=\"M{} {y:.1}h24\"/>\n</g>", RIGHT + 14.0);
    let mut short: String = name.chars().take(20).collect();
    if name.chars().nth(20).is_some() {
        short.push('…');
    }
    label(out, RIGHT + 44.0, y + 4.0, "start", &short);
}

pub(super) fn label(out: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(text));
}

/// Text for XML; control characters, which XML does not allow at all, become spaces.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(series: &[&[Option<f64>]]) -> Chart {
        let line = |values: &&[Option<f64>]| Series {
            name: "a".into(),
            points: values.iter().enumerate().map(|(x, &y)| (x as f64, y)).collect(),
            reference: false,
        };
        Chart { series: series.iter().map(line).collect(), ..Chart::default() }
    }

    fn count(text: &str, part: &str) -> usize {
        text.matches(part).count()
    }

    #[test]
    fn any_data_gives_finite_coordinates() {
        let table: &[&[Option<f64>]] = &[
            &[],
            &[None, Some(f64::NAN), Some(f64::INFINITY)],
            &[Some(3.0); 5],
            &[Some(0.0)],
            &[Some(f64::MAX), Some(f64::MIN)],
            &[Some(f64::MIN_POSITIVE), Some(5e-324), Some(0.0)],
            &[Some(1e16), Some(1e16 + 2.0)],
        ];
        for values in table {
            let text = chart(&[values]).render();
            assert!(!text.contains("NaN") && !text.contains("inf"), "{values:?}: {text}");
            assert!(count(&text, "<path") < 40, "{values:?}");
        }
        assert_eq!(count(&chart(&[&[]]).render(), "no data"), 1);
    }

    #[test]
    fn gaps_split_the_line_and_a_single_point_is_seen() {
        let text = chart(&[&[Some(1.0), Some(2.0), None, Some(4.0), Some(f64::NAN), Some(1.0), Some(2.0)]]).render();
        assert_eq!((count(&text, "<polyline"), count(&text, "<circle")), (2, 5));
        assert_eq!(count(&chart(&[&[Some(7.0)]]).render(), "<circle"), 1);
    }

    #[test]
    fn thirty_series_have_styles_of_their_own_and_the_legend_fits() {
        let values: &[Option<f64>] = &[Some(1.0), Some(2.0)];
        let text = chart(&vec![values; 30]).render();
        let styles: std::collections::HashSet<_> = (0..30).map(style).collect();
        assert_eq!((styles.len(), count(&text, "<polyline")), (30, 30));
        let lowest = text.lines().filter(|line| line.starts_with("<text")).filter(|line| line.ends_with(">a</text>"));
        let y = |line: &str| line.split("y=\"").nth(1).and_then(|rest| rest.split('"').next()?.parse::<f64>().ok());
        assert!(lowest.filter_map(y).fold(0.0, f64::max) < BOTTOM);
    }

    #[test]
    fn a_million_points_stay_a_small_file_with_their_extremes() {
        let mut values = vec![Some(0.5); 1_000_000];
        values[777_777] = Some(9.0);
        let text = chart(&[&values]).render();
        assert!(text.len() < 100_000, "{}", text.len());
        let axis = Axis::over([0.5, 9.0].into_iter(), 0.0, BOTTOM, TOP);
        assert!(text.contains(&format!(",{:.1} ", axis.pixel(9.0))));
    }

    #[test]
    fn text_is_escaped() {
        let chart = Chart { title: "a<b> & \"c\"\u{1b}".into(), ..Chart::default() };
        assert!(chart.render().contains(">a&lt;b&gt; &amp; &quot;c&quot; </text>"));
    }
}
