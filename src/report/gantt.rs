//! Who did what when, as one self-contained SVG: a row a rank, a bar a task, an arrow a message.
//!
//! Bars have the colour of their request; the critical path of the slowest request is marked. What is too small to be seen
//! beside what is drawn already is left out, so that a chart of fifty thousand tasks is a file that opens.

use super::axis::Axis;
use super::svg::{escape, label};
use super::text::{count, percent, quantity};
use crate::plan::placement::TaskGraph;
use crate::plan::placement::critical::{Doing, Record, Step, shares};
use crate::plan::placement::simulate::{Act, Message, Script};
use std::fmt::Write;

/// A chart of what was done, or of what would be.
pub struct Gantt<'a> {
    /// The line above.
    pub title: String,
    /// The tasks.
    pub graph: &'a TaskGraph,
    /// What the ranks did.
    pub script: &'a Script,
    /// By rank: its name.
    pub names: &'a [String],
    /// Whether all of it is modelled; else it was measured.
    pub modelled: bool,
}

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 1180.0;
const TOP: f64 = 64.0;
/// Of a row, and of the bar in it.
const ROW: f64 = 46.0;
const BAR: f64 = 24.0;
/// Below the rows: ticks, the axis's name, the legend.
const FOOT: f64 = 112.0;
/// A bar, or a gap between two, that is narrower than this is not seen.
const LEAST: f64 = 0.25;
/// The longest of more messages are drawn.
const MOST_ARROWS: usize = 3000;
/// With more bars than this none says on its own what it is: the file would be mostly that.
const MOST_HINTS: usize = 5000;
/// Requests that the legend names.
const NAMED: usize = 10;
const MARK: &str = "#111";

impl Gantt<'_> {
    /// The SVG text. It is valid for any script, also for an empty one.
    pub fn render(&self) -> String {
        let ranks = self.script.acts.len();
        let bottom = TOP + ROW * ranks.max(1) as f64;
        let height = bottom + FOOT;
        let arrivals = self.script.answers.iter().map(|answer| answer.arrival.0);
        let acts = || self.script.acts.iter().flatten();
        let times = acts().flat_map(|act| [act.start.0, act.end.0]).chain(arrivals);
        let axis = Axis::over(times, 0.0, LEFT, RIGHT);
        let mut out = String::new();
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222\">\n\
             <defs><marker id=\"tip\" viewBox=\"0 0 6 6\" refX=\"6\" refY=\"3\" markerWidth=\"5\" markerHeight=\"5\" orient=\"auto\"><path d=\"M0 0L6 3L0 6z\" fill=\"#666\"/></marker></defs>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>"
        );
        self.frame(&mut out, &axis, bottom);
        let record = Record::new(self.graph, self.script);
        let slowest = self.slowest();
        let path = slowest.map(|request| record.path(request)).unwrap_or_default();
        let drawn = self.arrows(&mut out, &axis);
        self.bars(&mut out, &axis);
        self.mark(&mut out, &axis, &path);
        self.legend(&mut out, bottom, slowest, &path, drawn);
        if acts().next().is_none() {
            label(&mut out, (LEFT + RIGHT) / 2.0, (TOP + bottom) / 2.0, "middle", "no tasks");
        }
        out.push_str("</svg>\n");
        out
    }

    /// Titles, rows with their names, ticks.
    fn frame(&self, out: &mut String, axis: &Axis, bottom: f64) {
        let title = escape(&self.title);
        let _ = writeln!(
            out,
            "<text x=\"{LEFT}\" y=\"24\" font-size=\"16\" font-weight=\"bold\">{title}</text>\n\
             <text x=\"{LEFT}\" y=\"44\" fill=\"#555\">{}, {}</text>\n<g stroke=\"#e4e4e4\">",
            if self.modelled { "modelled" } else { "measured" },
            count(self.script.answers.len(), "request"),
        );
        for tick in &axis.ticks {
            let _ = writeln!(out, "<path d=\"M{:.1} {TOP}V{bottom}\"/>", axis.pixel(*tick));
        }
        for row in 0..=self.script.acts.len() {
            let _ = writeln!(out, "<path d=\"M{LEFT} {0}H{RIGHT}\"/>", TOP + ROW * row as f64);
        }
        let _ = writeln!(out, "</g>\n<path d=\"M{LEFT} {TOP}V{bottom}H{RIGHT}\" fill=\"none\" stroke=\"#444\"/>");
        for rank in 0..self.script.acts.len() {
            let name = self.names.get(rank).map_or("", String::as_str);
            let (name, middle) = (cut(&format!("{rank} {name}"), 20), bar_top(rank) + BAR / 2.0 + 4.0);
            label(out, LEFT - 8.0, middle, "end", &name);
        }
        for tick in &axis.ticks {
            label(out, axis.pixel(*tick), bottom + 18.0, "middle", &axis.text(*tick));
        }
        label(out, (LEFT + RIGHT) / 2.0, bottom + 36.0, "middle", "seconds");
    }

    /// The request that took longest, the first of several.
    fn slowest(&self) -> Option<usize> {
        let times = self.script.answers.iter().enumerate().filter(|(_, answer)| answer.time().0.is_finite());
        times.reduce(|a, b| if b.1.time() > a.1.time() { b } else { a }).map(|(request, _)| request)
    }

    fn bars(&self, out: &mut String, axis: &Axis) {
        let hints = self.script.acts.iter().map(Vec::len).sum::<usize>() <= MOST_HINTS;
        for (rank, acts) in self.script.acts.iter().enumerate() {
            let mut covered = f64::NEG_INFINITY;
            for act in acts {
                let (from, to) = (axis.pixel(act.start.0), axis.pixel(act.end.0));
                // Nothing takes no time and is seen, and nothing is seen that lies under the bar before it.
                if act.end <= act.start || to < covered + LEAST {
                    continue;
                }
                covered = to;
                self.bar(out, rank, act, (from, (to - from).max(LEAST).min(RIGHT - from)), hints);
            }
        }
    }

    fn bar(&self, out: &mut String, rank: usize, act: &Act, (x, width): (f64, f64), hint: bool) {
        let (y, name, colour) = (bar_top(rank), &self.graph.tasks()[act.task].name, colour(act.request));
        let _ = write!(
            out,
            "<rect class=\"task\" x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{BAR}\" fill=\"{colour}\""
        );
        let _ = match hint {
            false => writeln!(out, "/>"),
            true => writeln!(
                out,
                "><title>request {}, {}: {:.6} s to {:.6} s</title></rect>",
                act.request,
                escape(name),
                act.start.0,
                act.end.0
            ),
        };
        // About 5.6 pixels a character at this size.
        let room = ((width - 6.0) / 5.6) as usize;
        if room >= name.chars().count() {
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{}\" font-size=\"10\" text-anchor=\"middle\">{}</text>",
                x + width / 2.0,
                y + BAR / 2.0 + 3.5,
                escape(name)
            );
        }
    }

    /// Messages from row to row; gives how many are drawn.
    fn arrows(&self, out: &mut String, axis: &Axis) -> usize {
        let mut messages: Vec<&Message> = self.script.messages.iter().collect();
        messages.sort_by(|a, b| (b.arrival - b.sent).0.total_cmp(&(a.arrival - a.sent).0));
        messages.truncate(MOST_ARROWS);
        let opacity = if messages.len() > 200 { 0.3 } else { 0.8 };
        let _ = writeln!(out, "<g fill=\"none\" stroke-width=\"1.2\" stroke-opacity=\"{opacity}\">");
        for message in &messages {
            let (from, to) = ends(message.from, message.to);
            let (x, end) = (axis.pixel(message.sent.0), axis.pixel(message.arrival.0));
            let tip = if messages.len() > 200 { "" } else { " marker-end=\"url(#tip)\"" };
            let _ = writeln!(
                out,
                "<path class=\"transfer\" d=\"M{x:.2} {from}L{end:.2} {to}\" stroke=\"{}\"{tip}/>",
                colour(message.request)
            );
        }
        out.push_str("</g>\n");
        messages.len()
    }

    /// The critical path: frames around tasks, heavy lines along messages, dashed ones where it waits.
    fn mark(&self, out: &mut String, axis: &Axis, path: &[Step]) {
        let _ = writeln!(out, "<g class=\"critical\" fill=\"none\" stroke=\"{MARK}\" stroke-width=\"2\">");
        for step in path {
            let (x, end) = (axis.pixel(step.start.0), axis.pixel(step.end.0));
            let _ = match step.doing {
                Doing::Task { rank, .. } => writeln!(
                    out,
                    "<rect x=\"{x:.2}\" y=\"{}\" width=\"{:.2}\" height=\"{BAR}\"/>",
                    bar_top(rank),
                    end - x
                ),
                Doing::Transfer { from, to, .. } => {
                    let (from, to) = ends(from, to);
                    writeln!(out, "<path d=\"M{x:.2} {from}L{end:.2} {to}\"/>")
                }
                Doing::Waiting { rank } => {
                    let y = bar_top(rank) + BAR + 5.0;
                    writeln!(out, "<path d=\"M{x:.2} {y}H{end:.2}\" stroke-dasharray=\"4 3\"/>")
                }
            };
        }
        out.push_str("</g>\n");
    }

    /// What the colours and the marks mean.
    fn legend(&self, out: &mut String, bottom: f64, slowest: Option<usize>, path: &[Step], drawn: usize) {
        let (first, second) = (bottom + 62.0, bottom + 86.0);
        let requests = self.script.answers.len();
        for request in 0..requests.min(NAMED) {
            let x = LEFT + request as f64 * 90.0;
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"12\" fill=\"{}\"/>",
                first - 10.0,
                colour(request)
            );
            label(out, x + 20.0, first, "start", &format!("request {request}"));
        }
        if requests > NAMED {
            label(out, LEFT + NAMED as f64 * 90.0, first, "start", &format!("and {} more", requests - NAMED));
        }
        if let Some(request) = slowest {
            let took = quantity(self.script.answers[request].time().0, "s");
            let spent = shares(path);
            let share = |share| percent(Some(share));
            let text = format!(
                "critical path of request {request}, the slowest: {took}, of it {} execution, {} transfer, {} waiting (dashed)",
                share(spent.execution),
                share(spent.transfer),
                share(spent.waiting)
            );
            let _ = writeln!(
                out,
                "<rect x=\"{LEFT}\" y=\"{}\" width=\"14\" height=\"12\" fill=\"none\" stroke=\"{MARK}\" stroke-width=\"2\"/>",
                second - 10.0
            );
            label(out, LEFT + 20.0, second, "start", &text);
        }
        let messages = self.script.messages.len();
        if drawn < messages {
            label(out, LEFT + 20.0, second + 18.0, "start", &format!("the longest {drawn} of {messages} messages"));
        }
    }
}

/// The upper edge of a rank's bars.
fn bar_top(rank: usize) -> f64 {
    TOP + ROW * rank as f64 + (ROW - BAR) / 2.0
}

/// Where a message leaves one row and comes to another: at the edges that face each other.
fn ends(from: usize, to: usize) -> (f64, f64) {
    match from < to {
        true => (bar_top(from) + BAR, bar_top(to)),
        false => (bar_top(from), bar_top(to) + BAR),
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// A light colour for a request: each is a golden angle from the one before, so that neighbours differ.
fn colour(request: usize) -> String {
    let hue = (request as f64 * 137.508 + 205.0) % 360.0;
    let lightness = [0.68, 0.78, 0.6][request / 8 % 3];
    let chroma = (1.0 - (2.0 * lightness - 1.0_f64).abs()) * 0.62;
    let channel = |turn: f64| {
        // The part of a channel that a hue gives: 0 to 1 and back over 240 degrees.
        let apart = ((hue - turn + 540.0) % 360.0 - 180.0).abs();
        let part = (2.0 - apart / 60.0).clamp(0.0, 1.0);
        ((lightness - chroma / 2.0 + chroma * part) * 255.0).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", channel(0.0), channel(120.0), channel(240.0))
}

#[cfg(test)]
pub(super) mod tests;
