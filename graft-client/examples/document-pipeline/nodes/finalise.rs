//! `finalise`: the last node of every path.

use graft_client::{Node, NodeContext, NodeResult, Outcome};
use serde::Serialize;

use super::{Document, passed};

/// Writes the report: a value of another type, merged into the state.
pub struct Finalise;

#[derive(Serialize)]
struct Filed {
    report: Report,
}

#[derive(Serialize)]
struct Report {
    language: String,
    words: usize,
    score: i64,
    shelf: &'static str,
}

impl Node for Finalise {
    const NAME: &'static str = "finalise";
    type State = Document;
    type Config = ();

    async fn execute(&self, _: NodeContext, document: Document, (): ()) -> NodeResult<Document> {
        let shelf = match (&document.urgency, document.scanned, document.repairs) {
            (Some(_), _, _) => "urgent",
            (None, true, _) => "scans",
            (None, false, 1..) => "repaired",
            (None, false, 0) => "files",
        };
        let report = Report {
            language: document.language.map(|language| language.code).unwrap_or_default(),
            words: document.statistics.map(|statistics| statistics.words).unwrap_or_default(),
            score: document.quality.map(|quality| quality.score).unwrap_or_default(),
            shelf,
        };
        Ok(passed(Self::NAME, Outcome::done()).merge(&Filed { report }))
    }
}
