//! `analyse`: a branch; where the text comes from.

use graft_client::{Node, NodeContext, NodeResult, Outcome};

use super::{Document, passed};
use crate::text::percent;

/// Share of suspicious words from which a text counts as scanned, in percent.
const SCANNED_PERCENT: usize = 5;

/// Looks whether the text comes from a scanner, by which its way is chosen after the join. Runs beside the processing; neither overwrites what
/// the other writes.
pub struct Analyse;

impl Node for Analyse {
    const NAME: &'static str = "analyse";
    type State = Document;
    type Config = ();

    async fn execute(&self, _: NodeContext, document: Document, (): ()) -> NodeResult<Document> {
        let words: Vec<&str> = document.text.split_whitespace().collect();
        let suspicious = words.iter().filter(|word| is_suspicious(word)).count();
        let scanned = percent(suspicious, words.len()) >= SCANNED_PERCENT;
        Ok(passed(Self::NAME, Outcome::state(Document { scanned, ..document })))
    }
}

/// Digits within a word, a word cut at the end of a line, characters that were decoded wrongly.
fn is_suspicious(word: &str) -> bool {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    let digits = word.chars().filter(char::is_ascii_digit).count();
    (letters > digits && digits > 0) || (letters > 1 && word.ends_with('-')) || word.contains("â€") || word.contains('Ã')
}
