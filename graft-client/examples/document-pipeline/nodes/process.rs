//! `process`: a branch; the figures of the text.

use std::collections::HashSet;

use graft_client::{Node, NodeContext, NodeResult, Outcome};

use super::{Document, Statistics, passed};
use crate::text::{sentences, syllables, words};

/// Normalises the text, drops paragraphs that are there twice, and counts. Runs beside the analysis.
pub struct Process;

impl Node for Process {
    const NAME: &'static str = "process";
    type State = Document;
    type Config = ();

    async fn execute(&self, _: NodeContext, document: Document, (): ()) -> NodeResult<Document> {
        let (text, repeated) = without_repeats(&document.text);
        let statistics = Statistics { repeated, ..counted(&text) };
        Ok(passed(Self::NAME, Outcome::state(Document { text, statistics: Some(statistics), ..document })))
    }
}

/// The figures of a text.
pub fn counted(text: &str) -> Statistics {
    let words = words(text);
    Statistics {
        words: words.len(),
        distinct: words.iter().collect::<HashSet<_>>().len(),
        sentences: sentences(text).len(),
        syllables: words.iter().map(|word| syllables(word)).sum(),
        repeated: 0,
    }
}

fn without_repeats(text: &str) -> (String, usize) {
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let (mut seen, mut kept, mut repeated) = (HashSet::new(), Vec::new(), 0);
    for paragraph in paragraphs.filter(|paragraph| !paragraph.is_empty()) {
        // What differs only in case and punctuation is the same, and so is what another paragraph says as well.
        let key = words(&paragraph).join(" ");
        if seen.iter().any(|known: &String| known.contains(&key)) {
            repeated += 1;
        } else {
            seen.insert(key);
            kept.push(paragraph);
        }
    }
    (kept.join("\n\n"), repeated)
}
