//! The graph as a Mermaid flowchart.

use std::fmt::Write;

use super::fold::Head;
use super::{Edge, Graph, Group, Join, Mark, grouped};
use crate::output::style::visible;

/// The flowchart. Names stand in quotes, with what Mermaid would read written as its entities.
pub(crate) fn text(id: &str, graph: &Graph<'_>) -> String {
    let mut out = format!("%% {}\nflowchart TD\n", visible(id).replace(['{', '}'], "_"));
    for (at, group) in graph.groups.iter().enumerate() {
        let _ = writeln!(out, "  g{at}[\"{}\"]:::{}", label(graph, group), class(group.mark()));
        for (number, join) in group.joins.iter().enumerate() {
            let _ = writeln!(out, "  j{at}_{number}{{{{\"{}\"}}}}:::waiting", join_label(join));
        }
    }
    for arrow in graph.arrows() {
        let to = match arrow.to {
            Head::Group(to) => format!("g{to}"),
            Head::Join(group, join) => format!("j{group}_{join}"),
        };
        let line = match (arrow.edge, arrow.again) {
            (_, again @ 1..) => format!("-. \"again ×{}\" .->", grouped(again)),
            (Edge::Next, 0) => "-->".to_owned(),
            (Edge::FanOut, 0) => "==>".to_owned(),
            (Edge::Join, 0) => "-- join -->".to_owned(),
        };
        let _ = writeln!(out, "  g{} {line} {to}", arrow.from);
    }
    for (name, style) in CLASSES {
        let _ = writeln!(out, "  classDef {name} {style}");
    }
    out
}

const CLASSES: [(&str, &str); 5] = [
    ("done", "fill:#d7f0dd,stroke:#2e7d46,color:#123"),
    ("busy", "fill:#d6ecfa,stroke:#1f6fa8,color:#123"),
    ("waiting", "fill:#fdf1cf,stroke:#a87b1f,color:#123"),
    ("bad", "fill:#fadbd8,stroke:#a8321f,color:#123"),
    ("dim", "fill:#eeeeee,stroke:#888888,color:#555"),
];

fn class(mark: Mark) -> &'static str {
    match mark {
        Mark::Done => "done",
        Mark::Ready => "busy",
        Mark::Failed | Mark::Delayed | Mark::Blocked => "waiting",
        Mark::GivenUp => "bad",
        Mark::Left => "dim",
    }
}

fn label(graph: &Graph<'_>, group: &Group<'_>) -> String {
    if graph.single(group).is_some() {
        return format!("{} #35;{}<br/>{}", escaped(group.node), group.first, group.mark().word());
    }
    format!("{} ×{}<br/>{}", escaped(group.node), grouped(group.tasks), counts(group))
}

fn join_label(join: &Join<'_>) -> String {
    format!("{}<br/>waits for {} of {}", escaped(join.node), grouped(join.open), grouped(join.total))
}

/// `9,812 done · 3 ready`.
pub(super) fn counts(group: &Group<'_>) -> String {
    let counted = Mark::ALL.into_iter().filter(|mark| group.count(*mark) > 0);
    counted.map(|mark| format!("{} {}", grouped(group.count(mark)), mark.word())).collect::<Vec<_>>().join(" · ")
}

/// Text that stands in quotes. Everything but letters, digits and a few harmless signs is written as its number, so that no name is markup.
fn escaped(text: &str) -> String {
    visible(text).chars().fold(String::new(), |mut out, c| {
        if c.is_alphanumeric() || " -_./:".contains(c) {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
        out
    })
}
