//! The newest lines of the log, in memory: what a member says of itself when nobody can read its standard error.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::logging::{Signature, json_line};

/// Most lines that are kept.
pub const RECENT_LINES_MAX: usize = 1_000;
/// Most bytes of all lines together; a single longer line is not kept.
pub const RECENT_BYTES_MAX: usize = 512 << 10;

/// What was logged last, at `info` and above: one JSON object a line, whatever the log itself looks like. What the level holds back is not here
/// either; what it lets through below `info` is left out, so that it does not push out what matters. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recent {
    signature: Signature,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    bytes: usize,
}

impl Recent {
    /// None yet.
    pub(super) fn new(signature: Signature) -> Self {
        Self { signature, lines: Arc::default() }
    }

    /// The lines, the oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("nobody panics while it is held").kept.iter().cloned().collect()
    }
}

impl Lines {
    fn push(&mut self, line: String) {
        if line.len() > RECENT_BYTES_MAX {
            return;
        }
        self.bytes += line.len();
        self.kept.push_back(line);
        while self.kept.len() > RECENT_LINES_MAX || self.bytes > RECENT_BYTES_MAX {
            self.bytes -= self.kept.pop_front().map_or(0, |line| line.len());
        }
    }
}

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= Level::INFO {
            let line = json_line(&self.signature, event).to_string();
            self.lines.lock().expect("nobody panics while it is held").push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_newest_lines_at_info_and_above_are_kept_whatever_else_is_logged() {
        let recent = Recent::new(Signature::default());
        tracing::subscriber::with_default(Registry::default().with(recent.clone()), || {
            for n in 0..RECENT_LINES_MAX + 2 {
                tracing::info!(n, "said");
                tracing::debug!("not kept");
            }
            tracing::error!("the last one");
        });
        let lines = recent.lines();
        assert_eq!(lines.len(), RECENT_LINES_MAX);
        let said = |line: &String| serde_json::from_str::<serde_json::Value>(line).expect("an object");
        assert_eq!(said(&lines[0])["n"], 3, "the oldest went");
        assert_eq!(said(lines.last().expect("lines"))["msg"], "the last one");
        assert!(lines.iter().all(|line| !line.contains("not kept")));
    }

    #[test]
    fn the_lines_are_bounded_in_bytes_as_well() {
        let mut lines = Lines::default();
        for _ in 0..10 {
            lines.push("x".repeat(RECENT_BYTES_MAX / 4));
        }
        assert_eq!((lines.kept.len(), lines.bytes), (4, RECENT_BYTES_MAX));
        lines.push("y".repeat(RECENT_BYTES_MAX + 1));
        assert_eq!(lines.kept.len(), 4, "one that is too long pushes nothing out");
        lines.push("z".into());
        assert_eq!((lines.kept.len(), lines.bytes), (4, 3 * (RECENT_BYTES_MAX / 4) + 1));
    }
}
