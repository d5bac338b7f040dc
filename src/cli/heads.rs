//! What the exit heads of a trained network say about a part of the data: each alone, and together where samples leave
//! at the first that is sure enough.

use super::args::EvalArgs;
use super::failure::{DATA, Failure};
use super::model::LoadedModel;
use super::stages;
use crate::device::Devices;
use crate::event::SweepRow;
use crate::nn::{Output, Tally, argmax};
use crate::report::text::table;
use crate::strategy::{Answer, Exits, Sureness, Way, answer, cuts_behind_heads, lone_sample, sweep};
use ndarray::{ArrayView2, s};
use serde_json::{Map, Value, json};

/// The heads of a network, what is asked about them, and what was seen.
pub(super) struct Heads {
    names: Vec<String>,
    outputs: Vec<Output>,
    exits: Option<Exits>,
    sureness: Sureness,
    swept: bool,
    /// The device file, and what it takes a lone sample on it to come to each head.
    modelled: Option<(String, Vec<Way>)>,
    /// Every head on every sample.
    tallies: Vec<Tally>,
    /// Samples that left at each head.
    left: Vec<u64>,
    /// All of them, each where it left.
    tally: Tally,
    /// Every head's answer to every sample, `[S][N]`, where a sweep needs them.
    answers: Vec<Vec<Answer>>,
}

impl Heads {
    /// The heads of a model, and what the command line asks about them.
    ///
    /// # Errors
    /// Options that do not fit the model (2), a device file that is bad or has another number of devices (4).
    pub fn new(args: &EvalArgs, model: &LoadedModel) -> Result<Self, Failure> {
        let outputs = model.network.outputs().to_vec();
        let names = outputs.iter().map(|output| model.network.value_name(output.value).to_owned()).collect();
        let heads = outputs.len();
        Ok(Self {
            exits: args.exits.exits(heads, args.exit_sweep)?,
            sureness: args.exits.sureness(),
            swept: args.exit_sweep,
            modelled: args.devices.as_ref().map(|file| ways(file, model)).transpose()?,
            names,
            outputs,
            tallies: vec![Tally::default(); heads],
            left: vec![0; heads],
            tally: Tally::default(),
            answers: vec![Vec::new(); heads],
        })
    }

    /// Takes a block of samples; tells the guess for each of them.
    pub fn see(
        &mut self,
        outputs: &[ArrayView2<f32>],
        tallies: &[Tally],
        labels: &[u32],
        mut guessed: impl FnMut(u32, usize),
    ) {
        self.tallies.iter_mut().zip(tallies).for_each(|(sum, block)| *sum += *block);
        let last = outputs.len() - 1;
        if self.exits.is_none() {
            self.tally += tallies[last];
        }
        let row = |head: usize, b: usize| outputs[head].row(b).to_slice().expect("rows are contiguous").to_vec();
        for (b, &label) in labels.iter().enumerate() {
            let mut head = last;
            if self.exits.is_some() || self.swept {
                let answers: Vec<Answer> =
                    (0..=last).map(|head| answer(self.outputs[head].loss, &row(head, b), label)).collect();
                if let Some(exits) = &self.exits {
                    head = exits.head(&answers);
                    let own = outputs[head].slice(s![b..=b, ..]);
                    self.tally += self.outputs[head].loss.evaluate(own, &[label], None);
                }
                if self.swept {
                    self.answers.iter_mut().zip(answers).for_each(|(all, answer)| all.push(answer));
                }
            }
            self.left[head] += 1;
            guessed(label, argmax(&row(head, b)));
        }
    }

    /// All samples, each where it left.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Shares of the samples that left at each head.
    fn shares(&self) -> Vec<f64> {
        let all = self.left.iter().sum::<u64>().max(1) as f64;
        self.left.iter().map(|left| *left as f64 / all).collect()
    }

    /// What a sample takes in the mean, modelled.
    fn expected(&self) -> Option<Way> {
        let (_, ways) = self.modelled.as_ref()?;
        let mean = |of: fn(&Way) -> f64| self.shares().iter().zip(ways).map(|(share, way)| share * of(way)).sum();
        Some(Way { latency_s: mean(|way| way.latency_s), energy_j: mean(|way| way.energy_j) })
    }

    fn sweep(&self) -> Vec<SweepRow> {
        if !self.swept {
            return Vec::new();
        }
        let answers: Vec<&[Answer]> = self.answers.iter().map(Vec::as_slice).collect();
        let ways = self.modelled.as_ref().map(|(_, ways)| ways.as_slice());
        sweep(&answers, self.sureness, self.sureness.thresholds(), ways)
    }

    /// What the measured samples were asked, before their figures: nothing without thresholds.
    pub fn rule_line(&self) -> Option<String> {
        let exits = self.exits.as_ref()?;
        let thresholds: Vec<String> = exits.thresholds.iter().map(f64::to_string).collect();
        let (name, thresholds) = (exits.sureness.name(), thresholds.join(", "));
        Some(match exits.sureness {
            Sureness::Confidence => format!("exits     where the {name} is at least {thresholds}"),
            Sureness::Entropy => format!("exits     where the {name} is at most {thresholds}"),
        })
    }

    /// The mean sample's latency and joules: nothing without devices.
    pub fn modelled_line(&self) -> Option<String> {
        let ((file, _), way) = (self.modelled.as_ref()?, self.expected()?);
        let (latency, energy) = (short(way.latency_s, "s"), short(way.energy_j, "J"));
        Some(format!("modelled  {latency} and {energy} for a sample alone on the devices of {file}, in the mean"))
    }

    /// The tables of heads and thresholds: nothing for one head.
    pub fn tables(&self) -> String {
        if self.names.len() < 2 {
            return String::new();
        }
        let ways = self.modelled.as_ref().map(|(_, ways)| ways);
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let shares = self.shares();
        let behind = |mut line: Vec<String>, more: Option<[String; 2]>| {
            line.extend(more.into_iter().flatten());
            line
        };
        let modelled = ways.map(|_| ["modelled time", "modelled energy"].map(str::to_owned));
        let mut header = words(&["head", "node", "loss", "accuracy", "right"]);
        header.extend(self.exits.is_some().then(|| "left here".to_owned()));
        let mut lines = vec![behind(header, modelled.clone())];
        for (head, (name, tally)) in self.names.iter().zip(&self.tallies).enumerate() {
            let mut figures = vec![
                head.to_string(),
                name.clone(),
                format!("{:.4}", tally.mean_loss().unwrap_or(f64::NAN)),
                format!("{:.1} %", 100.0 * tally.accuracy().unwrap_or(f64::NAN)),
                format!("{} of {}", tally.correct, tally.samples),
            ];
            figures.extend(self.exits.is_some().then(|| format!("{:.1} %", 100.0 * shares[head])));
            let way = ways.map(|ways| [short(ways[head].latency_s, "s"), short(ways[head].energy_j, "J")]);
            lines.push(behind(figures, way));
        }
        let mut text = format!("\n{}", table(&lines));
        if self.swept {
            let heads: Vec<String> = (0..self.names.len()).map(|head| format!("left at {head}")).collect();
            let header = [words(&["threshold", "accuracy"]), heads].concat();
            let mut lines = vec![behind(header, modelled)];
            for row in self.sweep() {
                let percent = |share: &f64| format!("{:.1} %", 100.0 * share);
                let mut line = vec![row.threshold.to_string(), percent(&row.accuracy)];
                line.extend(row.exit_shares.iter().map(percent));
                let way = row.latency_s.zip(row.energy_j).map(|(time, energy)| [short(time, "s"), short(energy, "J")]);
                lines.push(behind(line, way));
            }
            text.push_str(&format!("\n{} at every head\n{}", self.sureness.name(), table(&lines)));
        }
        text
    }

    /// The same as JSON; what was not asked for is null, and one head has no tables.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut all = Map::new();
        let mut add = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
        if let (Some((file, _)), Some(way)) = (&self.modelled, self.expected()) {
            add("devices", json!(file));
            add("modelled_latency_s", json!(way.latency_s));
            add("modelled_energy_j", json!(way.energy_j));
        }
        if self.names.len() < 2 {
            return all;
        }
        let rule = self.exits.is_some() || self.swept;
        add("exit_rule", json!(rule.then(|| self.sureness.name())));
        add("exit_threshold", json!(self.exits.as_ref().map(|exits| &exits.thresholds)));
        let shares = self.shares();
        let head = |head: usize| {
            let (tally, way) = (self.tallies[head], self.modelled.as_ref().map(|(_, ways)| ways[head]));
            json!({
                "head": head,
                "node": self.names[head],
                "loss": tally.mean_loss(),
                "accuracy": tally.accuracy(),
                "rows": tally.samples,
                "exit_share": self.exits.is_some().then_some(shares[head]),
                "modelled_latency_s": way.map(|way| way.latency_s),
                "modelled_energy_j": way.map(|way| way.energy_j),
            })
        };
        add("heads", (0..self.names.len()).map(head).collect());
        let row = |row: &SweepRow| {
            json!({
                "threshold": row.threshold,
                "accuracy": row.accuracy,
                "exit_shares": row.exit_shares,
                "modelled_latency_s": row.latency_s,
                "modelled_energy_j": row.energy_j,
            })
        };
        add("exit_sweep", self.swept.then(|| self.sweep().iter().map(row).collect::<Vec<_>>()).into());
        all
    }
}

/// The ways of a lone sample through a chain that has a device for each head.
fn ways(file: &str, model: &LoadedModel) -> Result<(String, Vec<Way>), Failure> {
    let devices = Devices::load(file).map_err(|error| Failure::new(DATA, error))?;
    let network = &model.network;
    let (name, heads, count) = (devices.name().to_owned(), network.outputs().len(), devices.profiles().len());
    let Some(cuts) = cuts_behind_heads(network) else {
        let text =
            format!("{name}: the heads of this model are not one behind the other, as in a chain; leave --devices out");
        return Err(Failure::new(DATA, text));
    };
    if count != heads {
        let plural = |count: usize, noun: &str| crate::report::text::count(count, noun);
        let (count, cure) = (plural(count, "device"), format!("list {}", plural(heads, "device")));
        return Err(Failure::new(DATA, format!("{name}: {count} for {} of this model; {cure}", plural(heads, "head"))));
    }
    stages::check_tables(&network.spec().name, Some(&devices), network.cuts().len() + 1)?;
    Ok((name, lone_sample(network, &cuts, &devices)))
}

/// A figure with three digits and the prefix that suits it.
fn short(value: f64, unit: &str) -> String {
    let (scaled, prefix) = match value {
        small if small < 1e-3 => (value * 1e6, "µ"),
        small if small < 1.0 => (value * 1e3, "m"),
        _ => (value, ""),
    };
    let digits = match scaled {
        large if large >= 100.0 => 0,
        large if large >= 10.0 => 1,
        _ => 2,
    };
    format!("{scaled:.digits$} {prefix}{unit}")
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
