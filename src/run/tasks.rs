//! tasks.csv and requests.csv: what mode offload adds to a run directory.
//!
//! Measured and modelled figures have columns of their own, the modelled ones by name; where a request's task was done by
//! the same rank in both, they share a row. Measured seconds end at the microsecond, modelled figures keep every digit.
//! Joules of tasks are those of computing; those of a request are these and what its messages draw above idling, so waiting
//! is in neither: run.json's energy_j has it.

use super::error::RunError;
use super::file::write_atomic;
use super::metrics::{csv_lines, micros};
use crate::device::Devices;
use crate::plan::placement::critical::{Record, shares};
use crate::plan::placement::simulate::{Act, Message, Script};
use crate::plan::placement::{TaskGraph, TaskId};
use crate::units::{Joules, Seconds, Watts};
use std::collections::BTreeMap;
use std::path::Path;

/// A task that a rank did, and how long it waited: measured and modelled.
type Did = [Option<(Act, Seconds)>; 2];

/// The header of tasks.csv.
pub const TASKS_HEADER: &str =
    "request,task,name,rank,device,start_s,end_s,wait_s,modelled_start_s,modelled_end_s,modelled_wait_s,modelled_j";
/// The header of requests.csv.
pub const REQUESTS_HEADER: &str = "request,source,arrival_s,begun_s,done_s,time_s,execution_share,transfer_share,waiting_share,plan,deadline_met,modelled_arrival_s,modelled_begun_s,modelled_done_s,modelled_time_s,modelled_execution_share,modelled_transfer_share,modelled_waiting_share,modelled_plan,modelled_deadline_met,modelled_j,answer";

/// What the two files are about.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The tasks.
    pub graph: &'a TaskGraph,
    /// What the ranks did, where it was measured.
    pub measured: Option<&'a Script>,
    /// What they did on emulated machines.
    pub modelled: Option<&'a Script>,
    /// The machines: names, and joules of what is modelled.
    pub devices: Option<&'a Devices>,
    /// The longest that a request may take.
    pub deadline: Option<Seconds>,
    /// By request: the network's last output, where it was computed.
    pub outputs: &'a [Option<Vec<f32>>],
}

impl Answered<'_> {
    /// Writes both files into a run directory.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn write(&self, dir: &Path) -> Result<(), RunError> {
        let text =
            |header: &str, rows: Vec<Vec<String>>| [format!("{header}\n").into_bytes(), csv_lines(rows)].concat();
        write_atomic(&dir.join("tasks.csv"), &text(TASKS_HEADER, self.task_rows()))?;
        write_atomic(&dir.join("requests.csv"), &text(REQUESTS_HEADER, self.request_rows()))
    }

    fn task_rows(&self) -> Vec<Vec<String>> {
        let mut rows: BTreeMap<(usize, TaskId, usize), Did> = BTreeMap::new();
        for (kind, script) in [self.measured, self.modelled].into_iter().enumerate() {
            let Some(script) = script else { continue };
            let record = Record::new(self.graph, script);
            for (rank, act) in
                script.acts.iter().enumerate().flat_map(|(rank, acts)| acts.iter().map(move |a| (rank, a)))
            {
                let waited = record.waited(act.request, act.task);
                rows.entry((act.request, act.task, rank)).or_default()[kind] = Some((*act, waited));
            }
        }
        let row = |((request, task, rank), [measured, modelled]): ((usize, TaskId, usize), Did)| {
            let times = |of: Option<(Act, Seconds)>, told: fn(f64) -> String| {
                let figures = of.map(|(act, waited)| [act.start.0, act.end.0, waited.0].map(told));
                figures.unwrap_or_default()
            };
            let joules = modelled.and_then(|(act, _)| self.computing(rank, &act));
            let name = self.graph.tasks()[task].name.clone();
            let first = [request.to_string(), task.to_string(), name, rank.to_string(), self.device(rank)];
            let figures = times(measured, micros).into_iter().chain(times(modelled, |value| value.to_string()));
            first
                .into_iter()
                .chain(figures)
                .chain([joules.map_or(String::new(), |joules| joules.0.to_string())])
                .collect()
        };
        rows.into_iter().map(row).collect()
    }

    fn request_rows(&self) -> Vec<Vec<String>> {
        let both = [self.measured, self.modelled];
        let count = both.into_iter().flatten().map(|script| script.answers.len()).max().unwrap_or(0);
        let records = both.map(|script| script.map(|script| (script, Record::new(self.graph, script))));
        let joules = self.joules_by_request();
        let row = |request: usize| {
            let source = both.into_iter().flatten().find_map(|script| script.answers.get(request)).map(|it| it.source);
            let mut cells = vec![request.to_string(), source.map_or(String::new(), |source| source.to_string())];
            for (record, told) in records.iter().zip([micros as fn(f64) -> String, |value| value.to_string()]) {
                cells.extend(record.as_ref().map_or(Default::default(), |it| self.fared(it, request, told)));
            }
            cells.push(joules.get(request).map_or(String::new(), |joules| joules.0.to_string()));
            let output = self.outputs.get(request).and_then(Option::as_ref);
            cells.push(output.and_then(|output| largest(output)).map_or(String::new(), |at| at.to_string()));
            cells
        };
        (0..count).map(row).collect()
    }

    /// The nine cells of how a request fared.
    fn fared(&self, (script, record): &(&Script, Record), request: usize, told: fn(f64) -> String) -> [String; 9] {
        // A source that was lost has no answers.
        let answer = script.answers.get(request).filter(|answer| answer.time().0.is_finite());
        let Some(answer) = answer else { return Default::default() };
        let spent = shares(&record.path(request));
        let [arrival, begun, done] = [answer.arrival, answer.begun, answer.end].map(|time| told(time.0));
        let [execution, transfer, waiting] = [spent.execution, spent.transfer, spent.waiting].map(told);
        let met = self.deadline.map_or(String::new(), |most| (answer.time().0 <= most.0).to_string());
        let plan = answer.plan.to_string();
        [arrival, begun, done, told(answer.time().0), execution, transfer, waiting, plan, met]
    }

    fn device(&self, rank: usize) -> String {
        self.devices.and_then(|devices| devices.profiles().get(rank)).map_or(String::new(), |it| it.name.clone())
    }

    /// What a rank draws for a task, in the power mode that it begins in.
    fn computing(&self, rank: usize, act: &Act) -> Option<Joules> {
        let profile = self.devices?.profiles().get(rank)?;
        Some(profile.at(act.start).power.compute * (act.end - act.start))
    }

    /// What a message draws at both ends above idling.
    fn messaging(&self, devices: &Devices, message: &Message) -> Joules {
        let link = devices.link(message.from, message.to);
        let busy = link.bandwidth.transmission_until(message.arrival - link.latency, message.bytes);
        let power = |rank: usize, at: Seconds| devices.profile(rank).at(at).power;
        let above = |watts: Watts, idle: Watts| Watts((watts - idle).0.max(0.0)) * busy;
        let (sender, receiver) = (power(message.from, message.sent), power(message.to, message.arrival));
        above(sender.send, sender.idle) + above(receiver.receive, receiver.idle)
    }

    /// Empty, where nobody knows.
    fn joules_by_request(&self) -> Vec<Joules> {
        let (Some(script), Some(devices)) = (self.modelled, self.devices) else { return Vec::new() };
        let mut joules = vec![Joules(0.0); script.answers.len()];
        for (rank, act) in script.acts.iter().enumerate().flat_map(|(rank, acts)| acts.iter().map(move |a| (rank, a))) {
            joules[act.request] += self.computing(rank, act).unwrap_or(Joules(0.0));
        }
        script.messages.iter().for_each(|message| joules[message.request] += self.messaging(devices, message));
        joules
    }
}

/// Where the largest number is: the class that an output says; nothing where one is no number.
fn largest(output: &[f32]) -> Option<usize> {
    let sure = output.iter().all(|value| value.is_finite());
    sure.then(|| (0..output.len()).max_by(|a, b| output[*a].total_cmp(&output[*b]).then(b.cmp(a)))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Link, Power, Profile};
    use crate::plan::placement::simulate::{EmulatedRanks, Request, Scene, simulate};
    use crate::plan::placement::{Plan, Problem, Task};
    use crate::units::{Bytes, Flops};

    fn graph() -> TaskGraph {
        let task = |name: &str, flops| Task { name: name.into(), flops: Flops(flops), memory: Bytes(1) };
        let tasks = vec![task("input", 0), task("conv, pool", 40), task("answer", 10)];
        TaskGraph::of_edges("chain", tasks, &[(0, 1, Bytes(10)), (1, 2, Bytes(5))]).unwrap()
    }

    /// A board of 10 FLOP/s and a server of 40 FLOP/s, 10 B/s and half a second between them.
    fn devices() -> Devices {
        let watts = |compute, idle, send, receive| Power {
            compute: Watts(compute),
            idle: Watts(idle),
            send: Watts(send),
            receive: Watts(receive),
        };
        let profile = |name, speed, power| Profile { power, ..Profile::new(name, speed) };
        let board = profile("board", 10.0, watts(6.0, 2.0, 3.0, 2.5));
        let server = profile("server", 40.0, watts(100.0, 50.0, 60.0, 55.0));
        Devices::new("toy.toml", vec![board, server], Link::new(10.0, Seconds(0.5)))
    }

    fn script(requests: usize) -> Script {
        let (graph, devices) = (graph(), devices());
        let problem = Problem::on_devices(&graph, &devices, 0, Bytes(0), Seconds(0.0));
        let plan = Plan::in_order(&problem, vec![0, 1, 0]);
        let requests = vec![Request { source: 0, arrival: Seconds(1.0) }; requests];
        let scene = Scene { graph: &graph, requests: &requests, queue: 1, header: Bytes(0) };
        simulate(&scene, &mut EmulatedRanks::new(&graph, &devices), &mut vec![plan], &mut |_, _| 0)
    }

    fn written(measured: Option<&Script>, modelled: Option<&Script>, deadline: Option<f64>) -> [Vec<Vec<String>>; 2] {
        let (dir, graph, devices) = (tempfile::tempdir().unwrap(), graph(), devices());
        let deadline = deadline.map(Seconds);
        let outputs = [Some(vec![0.5, 2.0, -1.0])];
        let answered =
            Answered { graph: &graph, measured, modelled, devices: Some(&devices), deadline, outputs: &outputs };
        answered.write(dir.path()).unwrap();
        ["tasks.csv", "requests.csv"].map(|name| {
            let mut reader = csv::Reader::from_path(dir.path().join(name)).unwrap();
            let head: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
            let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect());
            std::iter::once(head).chain(rows).collect()
        })
    }

    fn cell<'a>(table: &'a [Vec<String>], row: usize, column: &str) -> &'a str {
        let at = table[0].iter().position(|name| name == column).unwrap_or_else(|| panic!("{column}"));
        &table[row + 1][at]
    }

    /// By hand: taken up at 1 s, the picture is there at 1 + 1 + 0.5 s, conv until 3.5 s, its result is there at 4.5 s, and
    /// the answer at 5.5 s. Joules: 1 s at 100 W and 1 s at 6 W of computing; 1 s of sending up at 1 W and 5 W above
    /// idling, half a second down at 10 W and 0.5 W.
    #[test]
    fn files_by_hand() {
        let script = script(2);
        let [tasks, requests] = written(None, Some(&script), Some(5.0));
        assert_eq!((tasks.len(), requests.len()), (1 + 6, 1 + 2));
        let row = "0,1,conv, pool,1,server,,,,2.5,3.5,0,100";
        assert_eq!(tasks[2].join(","), row);
        let row = "0,0,,,,,,,,,,1,1,5.5,4.5,0.4444444444444444,0.5555555555555556,0,0,true,117.25,1";
        assert_eq!(requests[1].join(","), row);
        assert_eq!(cell(&requests, 1, "modelled_begun_s"), "5.5", "one at a time");
        assert_eq!(cell(&requests, 1, "modelled_deadline_met"), "false");
        let waiting: f64 = cell(&requests, 1, "modelled_waiting_share").parse().unwrap();
        assert_eq!(waiting, 0.5);
    }

    #[test]
    fn measured_and_modelled_share_rows_and_never_columns() {
        let modelled = script(1);
        let mut measured = modelled.clone();
        for act in measured.acts.iter_mut().flatten() {
            (act.start, act.end) = (Seconds(act.start.0 / 3.0), Seconds(act.end.0 / 3.0));
        }
        let [tasks, requests] = written(Some(&measured), Some(&modelled), None);
        assert_eq!((tasks.len(), requests.len()), (1 + 3, 1 + 1));
        assert_eq!((cell(&tasks, 1, "start_s"), cell(&tasks, 1, "modelled_start_s")), ("0.833333", "2.5"));
        assert_eq!(cell(&requests, 0, "deadline_met"), "");
        // Another rank did it: rows of their own.
        let act = measured.acts[1].remove(0);
        measured.acts[0].push(act);
        let [tasks, _] = written(Some(&measured), Some(&modelled), None);
        assert_eq!(tasks.len(), 1 + 4);
        assert_eq!((cell(&tasks, 1, "rank"), cell(&tasks, 1, "modelled_start_s")), ("0", ""));
        let [tasks, requests] = written(Some(&measured), None, None);
        assert!(tasks.iter().skip(1).all(|row| row.last().is_some_and(String::is_empty)));
        assert_eq!((cell(&requests, 0, "modelled_j"), cell(&requests, 0, "answer")), ("", "1"));
    }

    #[test]
    fn rows_add_up() {
        let script = script(5);
        let [tasks, requests] = written(None, Some(&script), None);
        let column = |table: &[Vec<String>], name: &str| -> f64 {
            (0..table.len() - 1).map(|row| cell(table, row, name).parse::<f64>().unwrap()).sum()
        };
        let busy = column(&tasks, "modelled_end_s") - column(&tasks, "modelled_start_s");
        let computing: f64 = script.ledgers.iter().map(|ledger| ledger.computing.0).sum();
        assert!((busy - computing).abs() < 1e-9);
        // All that is not waiting is in the requests: 1.5 s of messages each.
        assert!((column(&requests, "modelled_j") - column(&tasks, "modelled_j") - 5.0 * 11.25).abs() < 1e-9);
        let shares = ["modelled_execution_share", "modelled_transfer_share", "modelled_waiting_share"];
        assert!((shares.map(|name| column(&requests, name)).iter().sum::<f64>() - 5.0).abs() < 1e-12);
        for (header, table) in [(TASKS_HEADER, &tasks), (REQUESTS_HEADER, &requests)] {
            assert!(table.iter().all(|row| row.len() == header.split(',').count()));
        }
    }
}
