//! Who did what when, in the Trace Event Format that Perfetto and chrome://tracing open.
//!
//! A process a rank, its tasks as complete events, messages as asynchronous events of their sender with an arrow (a flow)
//! from the task that made the tensor to the one that it was for. Times are microseconds.
//!
//! # References
//! Google, *Trace Event Format*, 2016.

use crate::plan::placement::simulate::{Act, Message, RequestId, Script};
use crate::plan::placement::{TaskGraph, TaskId};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What is to be written down.
pub struct ChromeTrace<'a> {
    /// The tasks.
    pub graph: &'a TaskGraph,
    /// What the ranks did.
    pub script: &'a Script,
    /// By rank: its name.
    pub names: &'a [String],
    /// Whether all of it is modelled; else it was measured.
    pub modelled: bool,
}

/// By request and task: the rank that did it, and when.
type Places<'a> = HashMap<(RequestId, TaskId), (usize, &'a Act)>;

/// The thread of a rank's tasks: a rank does one thing at a time.
const TASKS: u32 = 1;

impl ChromeTrace<'_> {
    /// The JSON text.
    pub fn render(&self) -> String {
        let mut events = self.metadata();
        let acts = self.script.acts.iter().enumerate();
        events.extend(acts.flat_map(|(rank, acts)| acts.iter().map(move |act| self.task(rank, act))));
        let all = self.script.acts.iter().enumerate().flat_map(|(rank, acts)| acts.iter().map(move |act| (rank, act)));
        let places: Places = all.map(|(rank, act)| ((act.request, act.task), (rank, act))).collect();
        for (id, message) in self.script.messages.iter().enumerate() {
            events.extend(self.transfer(id, message));
            events.extend(self.flow(id, message, &places));
        }
        let clock = if self.modelled { "modelled" } else { "measured" };
        let other = json!({"graph": self.graph.name(), "clock": clock, "requests": self.script.answers.len()});
        let all = json!({"displayTimeUnit": "ms", "otherData": other, "traceEvents": events});
        serde_json::to_string(&all).expect("numbers, words and texts are JSON") + "\n"
    }

    /// Names and order of the rows.
    fn metadata(&self) -> Vec<Value> {
        let meta = |name: &str, rank: usize, args: Value| json!({"ph": "M", "name": name, "pid": rank, "tid": TASKS, "args": args});
        let of_rank = |rank: usize| {
            let name = self.names.get(rank).map_or("", String::as_str);
            let name = format!("rank {rank} {name}");
            [
                meta("process_name", rank, json!({"name": name.trim_end()})),
                meta("process_sort_index", rank, json!({"sort_index": rank})),
                meta("thread_name", rank, json!({"name": "tasks"})),
            ]
        };
        (0..self.script.acts.len()).flat_map(of_rank).collect()
    }

    fn task(&self, rank: usize, act: &Act) -> Value {
        json!({
            "ph": "X", "cat": "task", "name": self.graph.tasks()[act.task].name, "pid": rank, "tid": TASKS,
            "ts": micros(act.start.0), "dur": micros((act.end - act.start).0.max(0.0)),
            "args": {"request": act.request, "task": act.task},
        })
    }

    fn transfer(&self, id: usize, message: &Message) -> [Value; 2] {
        let name = &self.graph.tasks()[self.graph.tensors()[message.tensor].from].name;
        let event = |phase: &str, time: f64| {
            json!({
                "ph": phase, "cat": "transfer", "name": format!("{name} to rank {}", message.to), "id": id,
                "pid": message.from, "tid": TASKS, "ts": micros(time),
                "args": {"request": message.request, "bytes": message.bytes.0},
            })
        };
        [event("b", message.sent.0), event("e", message.arrival.0)]
    }

    /// The arrow from the maker of a tensor to the first on the receiver's side that needs it. An arrow's ends belong to the
    /// tasks that they lie in: in the middle of them there is no doubt.
    fn flow(&self, id: usize, message: &Message, places: &Places) -> Vec<Value> {
        let tensor = &self.graph.tensors()[message.tensor];
        let of = |task: &TaskId| places.get(&(message.request, *task)).copied();
        let Some((_, maker)) = of(&tensor.from) else { return Vec::new() };
        let readers = tensor.to.iter().filter_map(of).filter(|(rank, _)| *rank == message.to).map(|(_, act)| act);
        let Some(reader) = readers.reduce(|a, b| if b.start < a.start { b } else { a }) else { return Vec::new() };
        let event = |phase: &str, rank: usize, act: &Act| {
            let middle = (act.start.0 + act.end.0) / 2.0;
            json!({
                "ph": phase, "bp": "e", "cat": "message", "name": "tensor", "id": id, "pid": rank, "tid": TASKS,
                "ts": micros(middle),
            })
        };
        vec![event("s", message.from, maker), event("f", message.to, reader)]
    }
}

/// To the nanosecond.
fn micros(seconds: f64) -> f64 {
    (seconds * 1e9).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::gantt::tests::{diamond, script};

    fn trace(requests: usize) -> (Script, Vec<Value>) {
        let graph = diamond();
        let script = script(&graph, requests);
        let names = ["a \"pi\"".to_owned(), "b".to_owned()];
        let text = ChromeTrace { graph: &graph, script: &script, names: &names, modelled: true }.render();
        let all: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&all["otherData"]["clock"], &all["otherData"]["requests"]), (&json!("modelled"), &json!(requests)));
        let events = all["traceEvents"].as_array().unwrap().clone();
        (script, events)
    }

    fn of<'a>(events: &'a [Value], phase: &str) -> Vec<&'a Value> {
        events.iter().filter(|event| event["ph"] == phase).collect()
    }

    #[test]
    fn every_task_appears_once_with_its_rank_and_times() {
        let (script, events) = trace(3);
        let tasks = of(&events, "X");
        let mut seen: Vec<(u64, u64)> = tasks
            .iter()
            .map(|e| (e["args"]["request"].as_u64().unwrap(), e["args"]["task"].as_u64().unwrap()))
            .collect();
        seen.sort_unstable();
        let expected: Vec<(u64, u64)> = (0..3).flat_map(|request| (0..4).map(move |task| (request, task))).collect();
        assert_eq!(seen, expected);
        for (rank, acts) in script.acts.iter().enumerate() {
            let own: Vec<_> = tasks.iter().filter(|event| event["pid"] == rank).collect();
            assert_eq!(own.len(), acts.len());
            let ends = own.iter().map(|e| e["ts"].as_f64().unwrap() + e["dur"].as_f64().unwrap());
            assert!(ends.zip(acts).all(|(end, act)| (end - act.end.0 * 1e6).abs() < 1e-2));
        }
        let names: Vec<&Value> =
            of(&events, "M").iter().filter(|e| e["name"] == "process_name").map(|e| &e["args"]["name"]).collect();
        assert_eq!(names, [&json!("rank 0 a \"pi\""), &json!("rank 1 b")]);
    }

    #[test]
    fn every_message_begins_ends_and_has_an_arrow_between_tasks() {
        let (script, events) = trace(2);
        let count = script.messages.len();
        assert_eq!(count, 4);
        assert_eq!(["b", "e", "s", "f"].map(|phase| of(&events, phase).len()), [count; 4]);
        for phase in ["s", "f"] {
            for event in of(&events, phase) {
                let inside = |task: &&&Value| {
                    let (ts, dur) = (task["ts"].as_f64().unwrap(), task["dur"].as_f64().unwrap());
                    task["pid"] == event["pid"] && (ts..=ts + dur).contains(&event["ts"].as_f64().unwrap())
                };
                assert!(of(&events, "X").iter().any(|task| inside(&task)), "{event}");
            }
        }
        let bytes: Vec<u64> = of(&events, "b").iter().map(|event| event["args"]["bytes"].as_u64().unwrap()).collect();
        assert_eq!(bytes.iter().sum::<u64>(), 2 * 15);
    }
}
