//! `analyse`: what the text is like; opens the parallel branches and their join.

use graft_client::{Node, NodeContext, NodeResult, Outcome};

use super::{DetectLanguage, Document, Nlp, Ocr, Process, passed};
use crate::text::percent;

/// Share of suspicious words from which a text counts as scanned, in percent.
const SCANNED_PERCENT: usize = 5;

/// Looks where the text comes from, and chooses its way: a scan goes through the OCR branch first; then two things happen at once.
pub struct Analyse;

impl Node for Analyse {
    const NAME: &'static str = "analyse";
    type State = Document;
    type Config = ();

    async fn execute(&self, _: NodeContext, document: Document, (): ()) -> NodeResult<Document> {
        let words: Vec<&str> = document.text.split_whitespace().collect();
        let suspicious = words.iter().filter(|word| is_suspicious(word)).count();
        let scanned = percent(suspicious, words.len()) >= SCANNED_PERCENT;
        let outcome = passed(Self::NAME, Outcome::state(Document { scanned, ..document }));
        if scanned {
            return Ok(outcome.next(Ocr::with(())));
        }
        Ok(outcome.fan_out([Process::with(()), DetectLanguage::with(())]).join(Nlp::with(())))
    }
}

/// Digits within a word, a word cut at the end of a line, characters that were decoded wrongly.
fn is_suspicious(word: &str) -> bool {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    let digits = word.chars().filter(char::is_ascii_digit).count();
    (letters > digits && digits > 0) || (letters > 1 && word.ends_with('-')) || word.contains("â€") || word.contains('Ã')
}
