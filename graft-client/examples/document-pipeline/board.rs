//! Draws the workflows as they run: on a terminal one line for each that grows in place, elsewhere one line for each event.
//!
//! A line that the terminal wrapped would be two, and the next picture would not be drawn over it: what does not fit is cut. The end of a path
//! stays, where things happen.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use crossterm::terminal;
use graft_client::proto::{Event, event::Happened};

/// Columns of a terminal that does not tell.
const COLUMNS_FALLBACK: u16 = 80;
/// Columns of a document's name.
const NAME_WIDTH: usize = 12;

// Colours, as the terminal numbers them.
const PLAIN: &str = "0";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

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
        let rows: BTreeMap<String, Row> = ids.into_iter().map(|id| (id, Row::default())).collect();
        // What is higher than the terminal cannot be drawn over.
        let fits = terminal::size().is_ok_and(|(_, height)| height == 0 || usize::from(height) > rows.len());
        Self { rows, live: fits && std::io::stdout().is_terminal(), drawn: 0 }
    }

    /// Something has happened.
    pub fn event(&mut self, id: &str, event: &Event) {
        let Some(row) = self.rows.get_mut(id) else { return };
        let line = row.event(event);
        if self.live {
            self.draw();
        } else if let Some(line) = line {
            println!("{id:<NAME_WIDTH$} {line}");
        }
    }

    fn draw(&mut self) {
        // A terminal that was given no size says 0. Its last column stays free: on some a character there begins the next line.
        let columns = terminal::size().map_or(0, |(columns, _)| columns);
        let width = if columns > 0 { columns } else { COLUMNS_FALLBACK } - 1;
        let mut out = std::io::stdout().lock();
        if self.drawn > 0 {
            let _ = write!(out, "\x1b[{}A", self.drawn);
        }
        for line in self.lines(width.into()) {
            let _ = writeln!(out, "\x1b[2K{line}");
        }
        let _ = out.flush();
        self.drawn = self.rows.len();
    }

    /// A line for each workflow, none longer than `width` columns.
    fn lines(&self, width: usize) -> impl Iterator<Item = String> {
        self.rows.iter().map(move |(id, row)| {
            let (sign, colour) = row.mark();
            let name: String = format!(" {id:<NAME_WIDTH$} ").chars().take(width.saturating_sub(1)).collect();
            let path = row.line(width.saturating_sub(1 + name.chars().count()));
            if width == 0 { String::new() } else { format!("{}{name}{path}", painted(sign, colour)) }
        })
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

    /// The path, or as much of its end as there is room for.
    fn line(&self, room: usize) -> String {
        let side_by_side = |group: &Vec<String>| if group.len() == 1 { group[0].clone() } else { format!("({})", group.join(" ∥ ")) };
        let mut parts: Vec<String> = self.path.iter().map(side_by_side).collect();
        let open = self.open.values().map(|(node, _)| node.as_str()).collect::<Vec<_>>().join(" ∥ ");
        let open = if open.is_empty() { open } else { format!("{open}…") };
        let open_width = open.chars().count();
        parts.extend((open_width > 0).then_some(open));
        let mut line: Vec<char> = parts.join(" → ").chars().collect();
        if line.len() > room {
            line.drain(..line.len() - room);
            if let Some(first) = line.first_mut() {
                *first = '…';
            }
        }
        let (done, open) = line.split_at(line.len() - open_width.min(line.len()));
        let (done, open): (String, String) = (done.iter().collect(), open.iter().collect());
        format!("{done}{}", painted(&open, YELLOW))
    }

    fn mark(&self) -> (&'static str, &'static str) {
        match self.end {
            Some("completed") => ("✓", GREEN),
            Some(_) => ("✗", RED),
            None => ("·", PLAIN),
        }
    }
}

fn painted(text: &str, colour: &str) -> String {
    if text.is_empty() || colour == PLAIN { text.to_owned() } else { format!("\x1b[{colour}m{text}\x1b[0m") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen of a line.
    fn seen(line: &str) -> String {
        let mut parts = line.split('\u{1b}');
        let plain = parts.next().unwrap_or_default().to_owned();
        parts.fold(plain, |seen, part| seen + part.split_once('m').unwrap().1)
    }

    fn board() -> Board {
        let path = ["ingest", "validate", "repair", "validate", "language", "nlp", "quality", "enhance", "nlp", "quality", "notify"];
        let mut row = Row { path: path.iter().map(|node| vec![(*node).to_owned()]).collect(), ..Row::default() };
        row.path.insert(4, vec!["analyse".to_owned(), "process".to_owned()]);
        row.open.insert(12, ("finalise".to_owned(), None));
        let done = Row { open: BTreeMap::new(), end: Some("completed"), path: row.path.clone() };
        let fresh = Row { open: BTreeMap::from([(1, ("ingest".to_owned(), None))]), ..Row::default() };
        let rows = [("minutes", row), ("note", done), ("a-name-that-is-longer-than-its-column", fresh)];
        Board { rows: rows.into_iter().map(|(id, row)| (id.to_owned(), row)).collect(), live: true, drawn: 0 }
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_is_wide() {
        let board = board();
        for width in 0..200 {
            for line in board.lines(width) {
                assert!(seen(&line).chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn what_fits_is_whole_and_of_the_rest_the_end_stays() {
        let lines = |width| board().lines(width).map(|line| seen(&line)).collect::<Vec<_>>();
        assert_eq!(lines(60)[1], "· minutes      …enhance → nlp → quality → notify → finalise…");
        assert_eq!(lines(60)[2], "✓ note         …→ quality → enhance → nlp → quality → notify");
        let whole =
            "ingest → validate → repair → validate → (analyse ∥ process) → language → nlp → quality → enhance → nlp → quality → notify";
        assert_eq!(lines(200)[2], format!("✓ note         {whole}"));
        assert!(board().lines(60).nth(1).unwrap().ends_with("\u{1b}[33mfinalise…\u{1b}[0m"));
    }
}
