//! The chart as XML: what is in it, and where.

use super::*;
use crate::plan::placement::simulate::{FixedRanks, Request, Scene, simulate};
use crate::plan::placement::{Plan, Problem, Task};
use crate::units::{Bytes, Flops, Seconds};
use roxmltree::{Document, Node};

/// A diamond of four tasks.
pub(in crate::report) fn diamond() -> TaskGraph {
    let task = |name: &str, flops| Task { name: name.into(), flops: Flops(flops), memory: Bytes(1) };
    let tasks = vec![task("input", 0), task("left <&>", 4), task("right", 6), task("answer", 2)];
    let edges = [(0, 1, 10), (0, 2, 10), (1, 3, 5), (2, 3, 5)].map(|(from, to, bytes)| (from, to, Bytes(bytes)));
    TaskGraph::of_edges("diamond", tasks, &edges).unwrap()
}

/// So many requests at it, a second from each other, on two ranks and a link of 10 B/s.
pub(in crate::report) fn script(graph: &TaskGraph, requests: usize) -> Script {
    let time = |task: &Task| vec![Seconds(task.flops.0 as f64), Seconds(task.flops.0 as f64 / 2.0)];
    let mut problem = Problem::textbook(graph, graph.tasks().iter().map(time).collect());
    problem.between.iter_mut().flatten().for_each(|between| between.bytes_per_s = 10.0);
    let plan = Plan::in_order(&problem, vec![0, 1, 0, 0]);
    let requests: Vec<Request> = (0..requests).map(|at| Request { source: 0, arrival: Seconds(at as f64) }).collect();
    let scene = Scene { graph, requests: &requests, queue: 4, header: Bytes(0) };
    simulate(&scene, &mut FixedRanks::new(&problem), &mut vec![plan], &mut |_, _| 0)
}

fn names() -> Vec<String> {
    vec!["raspberry_pi".to_owned(), "a server with \"a\" name <that is> long".to_owned()]
}

fn chart(graph: &TaskGraph, script: &Script) -> String {
    let title = "diamond & co, policy <heft>".to_owned();
    Gantt { title, graph, script, names: &names(), modelled: true }.render()
}

fn number(node: &Node, name: &str) -> f64 {
    node.attribute(name).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} of {node:?}"))
}

fn of_class<'a>(document: &'a Document<'a>, class: &'a str) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.attribute("class") == Some(class)).collect()
}

#[test]
fn every_task_that_takes_time_has_a_bar_inside_the_chart_and_every_message_an_arrow() {
    let graph = diamond();
    for requests in [1, 3, 50] {
        let script = script(&graph, requests);
        let text = chart(&graph, &script);
        let document = Document::parse(&text).unwrap();
        let bars = of_class(&document, "task");
        // The input takes no time.
        assert_eq!(bars.len(), 3 * requests);
        let bottom = TOP + 2.0 * ROW;
        for bar in &bars {
            let (x, y) = (number(bar, "x"), number(bar, "y"));
            let (width, height) = (number(bar, "width"), number(bar, "height"));
            assert!(x >= LEFT - 0.01 && x + width <= RIGHT + 0.01 && width > 0.0, "{bar:?}");
            assert!(y >= TOP && y + height <= bottom, "{bar:?}");
        }
        assert_eq!(of_class(&document, "transfer").len(), 2 * requests);
        let texts: Vec<&str> = document.descendants().filter_map(|node| node.text()).collect();
        let says = |part: &str| texts.iter().any(|text| text.contains(part));
        assert!(says("diamond & co, policy <heft>") && says("modelled, ") && says("critical path of request"));
        assert!(says("0 raspberry_pi") && says("1 a server with \"a\"…"));
        assert_eq!(says("and 40 more"), requests == 50);
        assert!(text.len() < 400 * 1000, "{} bytes", text.len());
    }
}

#[test]
fn bars_of_a_rank_do_not_overlap_and_the_longest_task_is_the_widest() {
    let graph = diamond();
    let script = script(&graph, 1);
    let text = chart(&graph, &script);
    let document = Document::parse(&text).unwrap();
    let bars = of_class(&document, "task");
    let extent = |bar: &Node| (number(bar, "x"), number(bar, "width"), number(bar, "y"));
    let mut all: Vec<_> = bars.iter().map(extent).collect();
    all.sort_by(|a, b| a.2.total_cmp(&b.2).then(a.0.total_cmp(&b.0)));
    assert!(all.windows(2).all(|pair| pair[0].2 != pair[1].2 || pair[0].0 + pair[0].1 <= pair[1].0 + 0.02), "{all:?}");
    // right (6 s) and answer (2 s) on rank 0, left (2 s) on rank 1.
    assert!((all[0].1 / all[1].1 - 3.0).abs() < 0.01 && (all[1].1 - all[2].1).abs() < 0.02, "{all:?}");
    // Names stand where they fit.
    assert!(document.descendants().any(|node| node.has_tag_name("text") && node.text() == Some("right")));
}

#[test]
fn the_critical_path_is_marked_from_arrival_to_answer() {
    let graph = diamond();
    let script = script(&graph, 2);
    let text = chart(&graph, &script);
    let document = Document::parse(&text).unwrap();
    let marks = of_class(&document, "critical");
    let marked: Vec<Node> = marks[0].children().filter(Node::is_element).collect();
    let steps = Record::new(&graph, &script).path(1);
    assert_eq!(marked.len(), steps.len());
    assert!(steps.len() >= 3, "{steps:?}");
}

#[test]
fn a_script_of_nothing_and_one_of_very_much_are_charts() {
    let graph = diamond();
    let nothing = Script { acts: vec![Vec::new(); 2], messages: Vec::new(), answers: Vec::new(), ledgers: Vec::new() };
    assert!(
        Document::parse(&chart(&graph, &nothing)).unwrap().descendants().any(|node| node.text() == Some("no tasks"))
    );
    let much = script(&graph, 20_000);
    let text = chart(&graph, &much);
    assert!(text.len() < 2_000_000, "{} bytes", text.len());
    let document = Document::parse(&text).unwrap();
    assert!(of_class(&document, "task").len() > 500 && text.contains("the longest 3000 of 40000 messages"));
}

#[test]
fn neighbours_have_colours_that_differ() {
    let all: std::collections::HashSet<String> = (0..50).map(colour).collect();
    assert_eq!(all.len(), 50);
    assert!(all.iter().all(|colour| colour.len() == 7 && u32::from_str_radix(&colour[1..], 16).is_ok()));
}
