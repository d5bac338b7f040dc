//! A line chart as one self-contained SVG text: no library, no script, no font to load.

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
const COLOURS: [&str; 10] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#7b3294", "#404040",
    "#a50026", "#5aae61",
];
/// A second and third round through the colours is told apart by its dashes.
const DASHES: [&str; 3] = ["", "7 3", "2 3"];

impl Chart {
    /// The SVG text. It is valid for any data, also for none.
    pub fn render(&self) -> String {
        let points = || {
            self.series
                .iter()
                .flat_map(|series| &series.points)
                .filter_map(|&(x, y)| finite(x, y))
        };
        // Epochs and ranks are counted: no tick between two of them.
        let whole = if points().all(|(x, _)| x.fract() == 0.0) {
            1.0
        } else {
            0.0
        };
        let x_axis = Axis::over(points().map(|(x, _)| x), whole, LEFT, RIGHT);
        let y_axis = Axis::over(
            points()
                .map(|(_, y)| y)
                .chain(self.y_includes.iter().copied()),
            0.0,
            BOTTOM,
            TOP,
        );
        let mut out = String::new();
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222\">"
        );
        let _ = writeln!(
            out,
            "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>"
        );
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
            label(
                &mut out,
                (LEFT + RIGHT) / 2.0,
                (TOP + BOTTOM) / 2.0,
                "middle",
                "no data",
            );
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
        let _ = writeln!(
            out,
            "</g>\n<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" fill=\"none\" stroke=\"#444\"/>"
        );
        for tick in &x_axis.ticks {
            label(
                out,
                x_axis.pixel(*tick),
                BOTTOM + 18.0,
                "middle",
                &x_axis.text(*tick),
            );
        }
        for tick in &y_axis.ticks {
            label(
                out,
                LEFT - 8.0,
                y_axis.pixel(*tick) + 4.0,
                "end",
                &y_axis.text(*tick),
            );
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

/// One axis: a range of values laid over a range of pixels, with round ticks.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
    ticks: Vec<f64>,
    from: f64,
    to: f64,
}

impl Axis {
    /// The smallest range with round ends that holds all finite values, and is never empty; its
    /// ticks are at least `least_step` apart.
    fn over(values: impl Iterator<Item = f64>, least_step: f64, from: f64, to: f64) -> Self {
        let values = values.filter(|value| value.is_finite());
        let (mut low, mut high) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // What is wider than this, or finer than its own rounding, cannot be divided by ticks.
        (low, high) = (low.clamp(-1e300, 1e300), high.clamp(-1e300, 1e300));
        let least = (low.abs().max(high.abs()) * 1e-9).max(1e-300);
        if high - low < least {
            let margin = if high == 0.0 { 1.0 } else { high.abs() * 0.1 };
            (low, high) = (low - margin, high + margin);
        }
        let step = round_step((high - low) / 6.0).max(least_step);
        let (first, last) = ((low / step + 1e-6).floor(), (high / step - 1e-6).ceil());
        let ticks = (0..=(last - first) as usize)
            .map(|tick| (first + tick as f64) * step)
            .collect();
        Self {
            low: first * step,
            high: last * step,
            step,
            ticks,
            from,
            to,
        }
    }

    fn pixel(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// A tick's text, with as many decimals as its step has.
    fn text(&self, tick: f64) -> String {
        let size = self.low.abs().max(self.high.abs());
        if size >= 1e7 || size < 1e-4 {
            return if tick == 0.0 {
                "0".to_owned()
            } else {
                short_exponent(tick)
            };
        }
        let decimals = (-self.step.log10().floor()).max(0.0) as usize;
        let text = format!("{tick:.decimals$}");
        if text.trim_start_matches(['-', '0', '.']).is_empty() {
            text.replace('-', "")
        } else {
            text
        }
    }
}

/// `1.25e-9`, without the tail that adding up steps leaves.
fn short_exponent(value: f64) -> String {
    let text = format!("{value:.4e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!(
        "{}e{exponent}",
        digits.trim_end_matches('0').trim_end_matches('.')
    )
}

/// The next of 1, 2, 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| step <= factor * power * (1.0 + 1e-9));
    factor.unwrap_or(10.0) * power
}

fn finite(x: f64, y: Option<f64>) -> Option<(f64, f64)> {
    y.filter(|y| x.is_finite() && y.is_finite()).map(|y| (x, y))
}

/// The points between two gaps, for each such stretch.
fn runs(points: &[(f64, Option<f64>)]) -> Vec<Vec<(f64, f64)>> {
    let whole: Vec<_> = points.iter().map(|&(x, y)| finite(x, y)).collect();
    let stretches = whole
        .split(Option::is_none)
        .filter(|stretch| !stretch.is_empty());
    stretches
        .map(|stretch| stretch.iter().flatten().copied().collect())
        .collect()
}

/// To pixels; of points that share a column half a pixel wide only first, lowest, highest and last
/// are kept, which draws the same picture: a million epochs stay a small file.
fn thinned(run: &[(f64, f64)], x_axis: &Axis, y_axis: &Axis) -> Vec<(f64, f64)> {
    let pixels: Vec<_> = run
        .iter()
        .map(|&(x, y)| (x_axis.pixel(x), y_axis.pixel(y)))
        .collect();
    let column = |point: &(f64, f64)| (point.0 * 2.0).round();
    let mut kept = Vec::new();
    for group in pixels.chunk_by(|a, b| column(a) == column(b)) {
        let by_height = |&a: &usize, &b: &usize| group[a].1.total_cmp(&group[b].1);
        let (lowest, highest) = (
            (0..group.len()).min_by(by_height),
            (0..group.len()).max_by(by_height),
        );
        let mut places = vec![
            0,
            lowest.unwrap_or(0),
            highest.unwrap_or(0),
            group.len() - 1,
        ];
        places.sort_unstable();
        places.dedup();
        kept.extend(places.into_iter().map(|place| group[place]));
    }
    kept
}

/// A line through the points, with dots where they are few: a single point is seen, too.
fn draw(out: &mut String, points: &[(f64, f64)]) {
    let coordinates: Vec<_> = points
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    if points.len() > 1 {
        let _ = writeln!(out, "<polyline points=\"{}\"/>", coordinates.join(" "));
    }
    if points.len() <= 24 {
        for (x, y) in points {
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.4\" stroke-dasharray=\"none\"/>"
            );
        }
    }
}

fn style(place: usize) -> String {
    let dash = DASHES[place / COLOURS.len() % DASHES.len()];
    format!(
        "stroke=\"{}\" stroke-width=\"1.8\" stroke-dasharray=\"{dash}\"",
        COLOURS[place % COLOURS.len()]
    )
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

fn label(out: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escape(text)
    );
}

/// Text for XML; control characters, which XML does not allow at all, become spaces.
fn escape(text: &str) -> String {
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
            points: values
                .iter()
                .enumerate()
                .map(|(x, &y)| (x as f64, y))
                .collect(),
            reference: false,
        };
        Chart {
            series: series.iter().map(line).collect(),
            ..Chart::default()
        }
    }

    fn count(text: &str, part: &str) -> usize {
        text.matches(part).count()
    }

    #[test]
    fn steps_are_round() {
        for (step, round) in [
            (0.17, 0.2),
            (1.0, 1.0),
            (2.1, 5.0),
            (6.0, 10.0),
            (3e-9, 5e-9),
            (0.05, 0.05),
        ] {
            let got = round_step(step);
            assert!(
                (got / round - 1.0).abs() < 1e-9,
                "{step}: {got}, not {round}"
            );
        }
    }

    #[test]
    fn ticks_are_round_and_hold_the_data() {
        for (values, expected) in [
            (vec![0.0, 1.0], "0.0 0.2 0.4 0.6 0.8 1.0"),
            (vec![1.0, 20.0], "0 5 10 15 20"),
            (vec![0.93, 1.0], "0.92 0.94 0.96 0.98 1.00"),
            (vec![-0.3, 0.3], "-0.3 -0.2 -0.1 0.0 0.1 0.2 0.3"),
            (vec![0.0, 2e9], "0 5e8 1e9 1.5e9 2e9"),
            (vec![5.0], "4.4 4.6 4.8 5.0 5.2 5.4 5.6"),
            (vec![], "0.0 0.2 0.4 0.6 0.8 1.0"),
        ] {
            let axis = Axis::over(values.iter().copied(), 0.0, 0.0, 1.0);
            let texts: Vec<_> = axis.ticks.iter().map(|&tick| axis.text(tick)).collect();
            assert_eq!(texts.join(" "), expected, "{values:?}");
            assert!(
                values
                    .iter()
                    .all(|value| (axis.low..=axis.high).contains(value))
            );
        }
    }

    #[test]
    fn what_is_counted_has_no_tick_between() {
        let axis = Axis::over([1.0].into_iter(), 1.0, 0.0, 1.0);
        assert_eq!(axis.ticks, [0.0, 1.0, 2.0]);
        assert_eq!(axis.text(1.0), "1");
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
            assert!(
                !text.contains("NaN") && !text.contains("inf"),
                "{values:?}: {text}"
            );
            assert!(count(&text, "<path") < 40, "{values:?}");
        }
        assert_eq!(count(&chart(&[&[]]).render(), "no data"), 1);
    }

    #[test]
    fn gaps_split_the_line_and_a_single_point_is_seen() {
        let text = chart(&[&[
            Some(1.0),
            Some(2.0),
            None,
            Some(4.0),
            Some(f64::NAN),
            Some(1.0),
            Some(2.0),
        ]])
        .render();
        assert_eq!((count(&text, "<polyline"), count(&text, "<circle")), (2, 5));
        assert_eq!(count(&chart(&[&[Some(7.0)]]).render(), "<circle"), 1);
    }

    #[test]
    fn thirty_series_have_styles_of_their_own_and_the_legend_fits() {
        let values: &[Option<f64>] = &[Some(1.0), Some(2.0)];
        let text = chart(&vec![values; 30]).render();
        let styles: std::collections::HashSet<_> = (0..30).map(style).collect();
        assert_eq!((styles.len(), count(&text, "<polyline")), (30, 30));
        let lowest = text
            .lines()
            .filter(|line| line.starts_with("<text"))
            .filter(|line| line.ends_with(">a</text>"));
        let y = |line: &str| {
            line.split("y=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next()?.parse::<f64>().ok())
        };
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
        let chart = Chart {
            title: "a<b> & \"c\"\u{1b}".into(),
            ..Chart::default()
        };
        assert!(
            chart
                .render()
                .contains(">a&lt;b&gt; &amp; &quot;c&quot; </text>")
        );
    }
}
