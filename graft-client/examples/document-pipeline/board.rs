//! Draws the workflows as they run: on a terminal one line for each that grows in place, elsewhere one line for each event.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use graft_client::proto::{Event, event::Happened};

/// What is drawn.
pub struct Board {
    rows: BTreeMap<String, Row>,
    live: bool,
    drawn: usize,
}

#[derive(Default)]
struct Row {
    /// Tasks that have resolved, in order; those that ran side by side stand together.
    path: Vec<Vec<String>>,
    /// Tasks that are open, by number, and the place on the path that they share with their siblings.
    open: BTreeMap<u32, (String, Option<usize>)>,
    end: Option<&'static str>,
}

impl Board {
    /// A board for these workflows.
    pub fn new(ids: impl IntoIterator<Item = String>) -> Self {
        let rows = ids.into_iter().map(|id| (id, Row::default())).collect();
        Self { rows, live: std::io::stdout().is_terminal(), drawn: 0 }
    }

    /// Something has happened.
    pub fn event(&mut self, id: &str, event: &Event) {
        let Some(row) = self.rows.get_mut(id) else { return };
        let line = row.event(event);
        if self.live {
            self.draw();
        } else if let Some(line) = line {
            println!("{id:<12} {line}");
        }
    }

    fn draw(&mut self) {
        let mut out = std::io::stdout().lock();
        if self.drawn > 0 {
            let _ = write!(out, "\x1b[{}A", self.drawn);
        }
        for (id, row) in &self.rows {
            let _ = writeln!(out, "\x1b[2K{} {id:<12} {}", row.mark(), row.line());
        }
        let _ = out.flush();
        self.drawn = self.rows.len();
    }
}

impl Row {
    /// Takes an event in; says what there is to say about it.
    fn event(&mut self, event: &Event) -> Option<String> {
        match event.happened.as_ref()? {
            Happened::Started(started) => {
                self.open.extend(started.created.iter().map(|task| (task.task, (task.node.clone(), None))));
                Some("started".to_owned())
            }
            Happened::TaskCompleted(done) => {
                let (node, shared) = self.open.remove(&done.task).unwrap_or_else(|| (done.node.clone(), None));
                match shared.and_then(|place| self.path.get_mut(place)) {
                    Some(siblings) => siblings.push(node),
                    None => self.path.push(vec![node]),
                }
                let shared = (!done.opened.is_empty()).then_some(self.path.len());
                self.open.extend(done.created.iter().map(|task| (task.task, (task.node.clone(), shared))));
                let next: Vec<&str> = done.created.iter().map(|task| task.node.as_str()).collect();
                let next = if next.is_empty() { String::new() } else { format!(" → {}", next.join(" ∥ ")) };
                Some(format!("{}{next}", done.node))
            }
            Happened::ScopeClosed(closed) => {
                let next = closed.continuation.as_ref()?;
                self.open.insert(next.task, (next.node.clone(), None));
                Some(format!("joined → {}", next.node))
            }
            Happened::TaskFailed(failed) => Some(format!("{} failed: {}", failed.node, failed.message)),
            Happened::Completed(_) => {
                self.end = Some("completed");
                Some("completed".to_owned())
            }
            Happened::Failed(ended) => {
                self.end = Some("failed");
                Some(format!("failed: {}", ended.reason))
            }
            _ => None,
        }
    }

    fn line(&self) -> String {
        let side_by_side = |group: &Vec<String>| if group.len() == 1 { group[0].clone() } else { format!("({})", group.join(" ∥ ")) };
        let mut parts: Vec<String> = self.path.iter().map(side_by_side).collect();
        if !self.open.is_empty() {
            parts.push(format!("\x1b[33m{}…\x1b[0m", self.open.values().map(|(node, _)| node.as_str()).collect::<Vec<_>>().join(" ∥ ")));
        }
        parts.join(" → ")
    }

    fn mark(&self) -> &'static str {
        match self.end {
            Some("completed") => "\x1b[32m✓\x1b[0m",
            Some(_) => "\x1b[31m✗\x1b[0m",
            None => "·",
        }
    }
}
