//! `nlp`: terms, sentences and a summary.

use std::collections::BTreeMap;

use graft_client::{Node, NodeContext, NodeResult, Outcome};

use super::{Document, QualityGate, passed};
use crate::text::{is_stop_word, sentences, words};

/// Words that call for haste.
const ALARMS: [&str; 7] = ["urgent", "immediately", "warning", "emergency", "danger", "dringend", "sofort"];
const KEYWORDS: usize = 5;
const SUMMARY_SENTENCES: usize = 2;

/// Finds what the document is about: terms, the sentences that hold most of them, and words that call for haste.
pub struct Nlp;

impl Node for Nlp {
    const NAME: &'static str = "nlp";
    type State = Document;
    type Config = ();

    async fn execute(&self, cx: NodeContext, document: Document, (): ()) -> NodeResult<Document> {
        let words = words(&document.text);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for word in words.iter().filter(|word| !is_stop_word(word)) {
            *counts.entry(word).or_default() += 1;
        }
        let mut terms: Vec<(&str, usize)> = counts.iter().map(|(term, count)| (*term, *count)).collect();
        terms.sort_by_key(|(term, count)| (std::cmp::Reverse(*count), *term));
        cx.progress(format!("{} terms", terms.len()));
        let keywords = terms.iter().take(KEYWORDS).map(|(term, _)| (*term).to_owned()).collect();
        let summary = summary(&document.text, &counts);
        let alarms = ALARMS.iter().filter(|alarm| words.iter().any(|word| word == *alarm)).map(|alarm| (*alarm).to_owned()).collect();
        let document = Document { keywords, summary, alarms, ..document };
        Ok(passed(Self::NAME, Outcome::state(document)).next(QualityGate::with(())))
    }
}

/// The sentences whose words are the most frequent ones on average, in the order of the text.
fn summary(text: &str, counts: &BTreeMap<&str, usize>) -> String {
    let mut scored: Vec<(usize, usize, String)> = Vec::new();
    for (place, sentence) in sentences(text).into_iter().enumerate() {
        let words = words(&sentence);
        let weight: usize = words.iter().map(|word| counts.get(word.as_str()).copied().unwrap_or_default()).sum();
        if words.len() >= 5 {
            scored.push((weight * 100 / words.len(), place, sentence));
        }
    }
    scored.sort_by_key(|(score, place, _)| (std::cmp::Reverse(*score), *place));
    scored.truncate(SUMMARY_SENTENCES);
    scored.sort_by_key(|(_, place, _)| *place);
    scored.into_iter().map(|(_, _, sentence)| sentence).collect::<Vec<_>>().join(" ")
}
