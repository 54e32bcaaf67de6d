//! `validate`: whether a document can be worked on; opens the parallel branches and their join.

use graft_client::{Failure, Node, NodeContext, NodeResult, Outcome};

use super::repair::RepairConfig;
use super::{Analyse, DetectLanguage, Document, Process, Repair, passed};
use crate::text::words;

/// Repairs before a document counts as lost.
const REPAIRS_MAX: u32 = 2;

/// Checks that a document is text. What is wrong goes to repair, and comes back here; with what is right two things happen at once.
pub struct Validate;

impl Node for Validate {
    const NAME: &'static str = "validate";
    type State = Document;
    type Config = ();

    async fn execute(&self, _: NodeContext, document: Document, (): ()) -> NodeResult<Document> {
        let problems = problems_of(&document.text);
        if problems.is_empty() {
            let outcome = passed(Self::NAME, Outcome::state(Document { problems, ..document }));
            return Ok(outcome.fan_out([Analyse::with(()), Process::with(())]).join(DetectLanguage::with(())));
        }
        if document.repairs >= REPAIRS_MAX {
            return Err(Failure::permanent(format!("{} cannot be repaired: {}", document.name, problems.join(", "))));
        }
        let repair = Repair::with(RepairConfig { problems: problems.clone() });
        Ok(passed(Self::NAME, Outcome::state(Document { problems, ..document })).next(repair))
    }
}

/// What keeps a text from being one.
pub fn problems_of(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        problems.push("control characters".to_owned());
    }
    if text.contains('\u{fffd}') {
        problems.push("characters that were lost".to_owned());
    }
    if text.lines().any(|line| line.starts_with("%BIN")) {
        problems.push("binary lines".to_owned());
    }
    if words(text).len() < 5 {
        problems.push("hardly any words".to_owned());
    }
    problems
}
