//! `repair`: mends a document that validation refused.

use graft_client::{Node, NodeContext, NodeResult, Outcome};
use serde::{Deserialize, Serialize};

use super::{Document, Validate, passed};

/// Takes out what is no text.
pub struct Repair;

/// What is to be repaired.
#[derive(Debug, Serialize, Deserialize)]
pub struct RepairConfig {
    /// As validation named it.
    pub problems: Vec<String>,
}

impl Node for Repair {
    const NAME: &'static str = "repair";
    type State = Document;
    type Config = RepairConfig;

    async fn execute(&self, cx: NodeContext, document: Document, config: RepairConfig) -> NodeResult<Document> {
        cx.progress(config.problems.join(", "));
        let lines = document.text.lines().filter(|line| !line.starts_with("%BIN")).map(clean);
        let text = lines.collect::<Vec<_>>().join("\n").trim().to_owned();
        let repaired = Document { text, repairs: document.repairs + 1, ..document };
        Ok(passed(Self::NAME, Outcome::state(repaired)).next(Validate::with(())))
    }
}

/// A line without terminal sequences, control characters and lost characters. A lost character inside a word is taken for an `e`.
fn clean(line: &str) -> String {
    let mut kept = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            while chars.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
        } else if c == '\u{fffd}' {
            let in_word = kept.chars().next_back().is_some_and(char::is_alphabetic) && chars.peek().is_some_and(|c| c.is_alphabetic());
            if in_word {
                kept.push('e');
            }
        } else if !c.is_control() {
            kept.push(c);
        }
    }
    kept
}
