//! `language`: the join of the parallel branches; compares the text with what languages look like.

use graft_client::{Node, NodeContext, NodeResult, Outcome};

use super::{Document, Language, Nlp, Ocr, passed};
use crate::text::{STOP_WORDS, percent, words};

/// Letter groups that are frequent in one language and rare in the others.
const TRIGRAMS: [(&str, &[&str]); 3] = [
    ("en", &["the", "ing", "and", "ion", "ght", "wh"]),
    ("de", &["sch", "ein", "ich", "cht", "ung", "die"]),
    ("fr", &["que", "eux", "les", "ous", "eau", "ait"]),
];

/// Tells the language by stop words and letter groups. What was found to come from a scanner goes through the OCR branch.
pub struct DetectLanguage;

impl Node for DetectLanguage {
    const NAME: &'static str = "language";
    type State = Document;
    type Config = ();

    async fn execute(&self, _: NodeContext, document: Document, (): ()) -> NodeResult<Document> {
        let words = words(&document.text);
        let best = STOP_WORDS.iter().zip(TRIGRAMS).map(|((code, stop_words), (_, groups))| {
            let stops = words.iter().filter(|word| stop_words.contains(&word.as_str())).count();
            let grouped = words.iter().filter(|word| groups.iter().any(|group| word.contains(group))).count();
            (2 * stops + grouped, Language { code: (*code).to_owned(), share: percent(stops, words.len()) })
        });
        let language = best.max_by_key(|(points, _)| *points).map(|(_, language)| language);
        let next = if document.scanned { Ocr::with(()) } else { Nlp::with(()) };
        Ok(passed(Self::NAME, Outcome::state(Document { language, ..document })).next(next))
    }
}
