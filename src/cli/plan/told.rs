//! A plan as a table and as JSON; every figure with where it comes from.

use super::choice::{self, Row};
use super::rates::Rates;
use super::subject::Subject;
use crate::plan::scale::{Carrier, Fabric};
use crate::report::text::{count, quantity, table, with_unit};
use serde_json::{Value, json};

/// A plan to be printed.
pub struct Page {
    head: Vec<String>,
    origins: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    about: Value,
}

impl Page {
    /// Of these predictions.
    pub fn new(subject: &Subject, fabric: &Fabric, rates: &mut Rates, rows: Vec<Row>) -> Self {
        let (config, ranks) = (subject.config, subject.ranks);
        let sharing = subject.sharing(ranks);
        let nodes = ranks.div_ceil(sharing);
        let machines = match subject.devices {
            Some(devices) => format!("emulated machines of {}", devices.name()),
            None => {
                let each = match (subject.threads(ranks), subject.threads(1)) {
                    (here, alone) if here == alone => count(here, "thread"),
                    (here, _) if rates.of_job() => count(here, "thread"),
                    (here, alone) => format!("{} (one rank alone: {alone})", count(here, "thread")),
                };
                format!(
                    "{} like this one with {}, {} on each, {each} a rank",
                    count(nodes, "machine"),
                    count(subject.cores, "core"),
                    count(sharing, "rank")
                )
            }
        };
        let head = vec![
            format!(
                "{} on {}: {} parameters, {} samples to train on; {} on {machines}",
                config.model,
                config.dataset,
                subject.network.theta_len(),
                subject.samples(),
                count(ranks, "rank")
            ),
            "predicted for an epoch, without start-up and validation; nothing was trained. compute, talk and wait: mean over the \
             ranks; sent and memory: of the rank with most"
                .to_owned(),
        ];
        let tried =
            rows.iter().filter(|row| row.predicted.as_ref().is_ok_and(|found| found.modelled.is_some())).count();
        let origins = origins(subject, fabric, rates, tried);
        let wire = fabric.network.wire;
        let about = json!({
            "model": config.model.to_string(), "dataset": config.dataset.to_string(), "ranks": ranks,
            "per_node": sharing, "threads": subject.threads(ranks), "cores": subject.cores,
            "parameters": subject.network.theta_len(), "train_samples": subject.samples(),
            "network": {
                "name": fabric.network.name, "alpha_s": wire.alpha.0, "beta_s_per_byte": wire.beta,
                "gamma_s_per_byte": wire.gamma, "source": fabric.network.source,
            },
        });
        Self { head, origins, rows, about }
    }

    /// For people.
    pub fn table(&self) -> String {
        let head = ["mode", "epoch", "steps", "batch", "compute", "talk", "wait", "sent", "memory", "energy"];
        let mut lines = vec![head.map(str::to_owned).to_vec()];
        let mut reasons = Vec::new();
        for row in &self.rows {
            let mark = if row.candidate.same { "" } else { " *" };
            match &row.predicted {
                Ok(found) => lines.push(
                    [
                        format!("{}{mark}", row.candidate.flags),
                        quantity(found.epoch.epoch.0, "s"),
                        found.epoch.steps.to_string(),
                        found.global_batch.to_string(),
                        quantity(found.epoch.compute.0, "s"),
                        quantity(found.epoch.talk.0, "s"),
                        quantity(found.epoch.wait.0, "s"),
                        with_unit(found.epoch.sent.0 as f64, "B"),
                        with_unit(found.memory.0 as f64, "B"),
                        found.energy.map_or(String::new(), |energy| quantity(energy.0, "J")),
                    ]
                    .to_vec(),
                ),
                Err(failure) => reasons.push(format!("{}: not possible: {}", row.candidate.flags, failure.message)),
            }
        }
        if lines.iter().skip(1).all(|line| line.last().is_some_and(String::is_empty)) {
            lines.iter_mut().for_each(|line| drop(line.pop()));
        }
        let mut text = self.head.join("\n") + "\n\n" + &table(&lines) + "\n";
        reasons.iter().for_each(|reason| text += &format!("{reason}\n"));
        if self.rows.iter().any(|row| !row.candidate.same && row.predicted.is_ok()) {
            text += "* other steps than those of one rank with the same global batch: epochs count differently there\n";
        }
        for row in self.rows.iter().filter(|row| row.candidate.flags == "split") {
            if let Ok(found) = &row.predicted {
                text += &format!("split: {}\n", found.how);
            }
        }
        let idle = |row: &&Row| row.predicted.as_ref().is_ok_and(|found| found.global_batch < row.candidate.ranks);
        if let Some(Ok(found)) = self.rows.iter().find(idle).map(|row| &row.predicted) {
            let samples = count(found.global_batch, "sample");
            text +=
                &format!("fewer samples in a step than ranks ({samples}): the others wait; fewer ranks do as well\n");
        }
        if let Some((first, second)) = choice::best(&self.rows, None) {
            text += &format!("best: {}\n", choice::why(first, second));
        }
        self.origins.iter().for_each(|(what, origin)| text += &format!("{what}: {origin}\n"));
        text
    }

    /// For programs: one object.
    pub fn json(&self) -> String {
        let row = |row: &Row| {
            let mut value = json!({
                "mode": row.candidate.flags, "ranks": row.candidate.ranks, "same_gradient": row.candidate.same,
            });
            match &row.predicted {
                Err(failure) => value["not_possible"] = json!(failure.message),
                Ok(found) => {
                    let epoch = found.epoch;
                    value["predicted"] = json!({
                        "epoch_s": epoch.epoch.0, "steps": epoch.steps, "global_batch": found.global_batch,
                        "compute_s": epoch.compute.0, "talk_s": epoch.talk.0, "wait_s": epoch.wait.0,
                        "bytes_sent_most": epoch.sent.0, "memory_bytes": found.memory.0,
                        "energy_j": found.energy.map(|energy| energy.0), "how": found.how,
                        "model_epoch_s": found.modelled.map(|epoch| epoch.0),
                    });
                }
            }
            value
        };
        let mut whole = self.about.clone();
        whole["modes"] = self.rows.iter().map(row).collect();
        whole["origins"] = self
            .origins
            .iter()
            .map(|(what, origin)| ((*what).to_owned(), json!(origin)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let best = choice::best(&self.rows, None);
        whole["best"] = best.map_or(
            Value::Null,
            |(first, second)| json!({ "mode": first.candidate.flags, "why": choice::why(first, second) }),
        );
        serde_json::to_string_pretty(&whole).expect("numbers and texts are JSON") + "\n"
    }
}

/// Where each kind of figure comes from.
fn origins(subject: &Subject, fabric: &Fabric, rates: &mut Rates, tried: usize) -> Vec<(&'static str, String)> {
    let wire = fabric.network.wire;
    let compute = match subject.devices {
        Some(devices) => format!("modelled by the profiles of {}", devices.name()),
        None => {
            let [steps, stages, _] = rates.spent;
            let crowd = subject.crowd(subject.ranks);
            let alone = !rates.of_job();
            let shared = if crowd > 1.0 && alone {
                format!(", times {crowd:.1} for threads that share a core")
            } else {
                String::new()
            };
            format!("measured here, {steps:.1} s of training steps and {stages:.1} s of pipeline stages{shared}")
        }
    };
    let bandwidth = if wire.beta > 0.0 { with_unit(1.0 / wire.beta, "B/s") } else { "no limit".to_owned() };
    let sums = match fabric.carrier {
        Carrier::Library => "the fastest of ring, recursive doubling and Rabenseifner",
        Carrier::Threads => "measured, else at rank 0",
        Carrier::Emulated => "at rank 0",
    };
    let network = format!(
        "{}, {} a message and {bandwidth} ({}); sums: {sums}",
        fabric.network.name,
        quantity(wire.alpha.0, "s"),
        fabric.network.source
    );
    let energy = match (subject.devices, rates.watts()) {
        (Some(devices), _) => format!("modelled by the powers of {}, without those of sending", devices.name()),
        (None, Some(watts)) => format!("{watts:.1} W of this machine, measured while it computed"),
        (None, None) => "unknown: this machine has no energy counter that can be read".to_owned(),
    };
    let mut origins = vec![
        ("compute", compute),
        ("network", network),
        ("memory", "counted: weights, gradients, optimizer, workspaces; without data".to_owned()),
        ("energy", energy),
    ];
    if tried > 0 {
        let ways = count(tried, "mode");
        let text =
            format!("of {ways} by their own steps between ranks here, in {:.1} s; else by the model", rates.spent[2]);
        origins.push(("epoch", text));
    }
    let books = rates.books(subject, subject.ranks);
    if books.0 > 0.0 {
        let text = format!(
            "{} an epoch in which the others wait for rank 0 to write it down, measured here",
            quantity(books.0, "s")
        );
        origins.push(("records", text));
    }
    if let Some(delay) = &subject.config.delay {
        origins.push(("delays", format!("--delay {delay}, added to each task of mode sendrecv")));
    }
    origins
}
