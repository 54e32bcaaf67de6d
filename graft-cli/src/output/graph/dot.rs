//! The graph in the language of Graphviz.

use std::fmt::Write;

use super::fold::Head;
use super::mermaid::counts;
use super::{Edge, Graph, Group, Mark, grouped};
use crate::output::style::visible;

/// The digraph. All names stand in quotes.
pub(crate) fn text(id: &str, graph: &Graph<'_>) -> String {
    let mut out =
        format!("digraph {} {{\n  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n", quoted(&[id]));
    for (at, group) in graph.groups.iter().enumerate() {
        let _ = writeln!(out, "  g{at} [label={}, fillcolor=\"{}\"];", label(graph, group), colour(group.mark()));
        for (number, join) in group.joins.iter().enumerate() {
            let waits = format!("waits for {} of {}", grouped(join.open), grouped(join.total));
            let _ = writeln!(out, "  j{at}_{number} [shape=hexagon, label={}, fillcolor=\"#fdf1cf\"];", quoted(&[join.node, &waits]));
        }
    }
    for arrow in graph.arrows() {
        let to = match arrow.to {
            Head::Group(to) => format!("g{to}"),
            Head::Join(group, join) => format!("j{group}_{join}"),
        };
        let attributes = match (arrow.edge, arrow.again) {
            (_, again @ 1..) => format!(" [style=dashed, constraint=false, label={}]", quoted(&[&format!("again ×{}", grouped(again))])),
            (Edge::Next, 0) => String::new(),
            (Edge::FanOut, 0) => " [style=bold]".to_owned(),
            (Edge::Join, 0) => " [label=\"join\"]".to_owned(),
        };
        let _ = writeln!(out, "  g{} -> {to}{attributes};", arrow.from);
    }
    out + "}\n"
}

fn colour(mark: Mark) -> &'static str {
    match mark {
        Mark::Done => "#d7f0dd",
        Mark::Ready => "#d6ecfa",
        Mark::Failed | Mark::Delayed | Mark::Blocked => "#fdf1cf",
        Mark::GivenUp => "#fadbd8",
        Mark::Left => "#eeeeee",
    }
}

fn label(graph: &Graph<'_>, group: &Group<'_>) -> String {
    match graph.single(group) {
        Some(_) => quoted(&[&format!("{} #{}", group.node, group.first), group.mark().word()]),
        None => quoted(&[&format!("{} ×{}", group.node, grouped(group.tasks)), &counts(group)]),
    }
}

/// Lines as one quoted text: quotes and backslashes are escaped, control characters written out.
fn quoted(lines: &[&str]) -> String {
    let escaped = |line: &&str| visible(line).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", lines.iter().map(escaped).collect::<Vec<_>>().join("\\n"))
}
