//! `quality-gate`: good enough, or another round of enhancement.

use graft_client::{Node, NodeContext, NodeResult, Outcome};

use super::enhance::{EnhanceConfig, SHORT_FORMS};
use super::notify::NotifyConfig;
use super::{Document, Enhance, Finalise, Notify, Prioritise, Quality, passed};
use crate::text::{sentences, syllables, words};

/// Points that a document needs.
const SCORE_MIN: i64 = 60;
/// Enhancements before it is taken as it is.
const ENHANCEMENTS_MAX: u32 = 2;

/// The gate: too few points go to enhancement, and come back; haste goes to prioritisation; the rest goes its way.
pub struct QualityGate;

impl Node for QualityGate {
    const NAME: &'static str = "quality";
    type State = Document;
    type Config = ();

    async fn execute(&self, _: NodeContext, document: Document, (): ()) -> NodeResult<Document> {
        let quality = judge(&document.text);
        let next = if quality.score < SCORE_MIN && document.enhancements < ENHANCEMENTS_MAX {
            Enhance::with(EnhanceConfig { remarks: quality.remarks.clone() })
        } else if !document.alarms.is_empty() {
            Prioritise::with(())
        } else if let Some(language) = document.language.as_ref().filter(|language| language.code != "en") {
            Notify::with(NotifyConfig { to: "translation".to_owned(), subject: format!("{} is in \"{}\"", document.name, language.code) })
        } else {
            Finalise::with(())
        };
        Ok(passed(Self::NAME, Outcome::state(Document { quality: Some(quality), ..document })).next(next))
    }
}

fn judge(text: &str) -> Quality {
    let (words, sentences) = (words(text), sentences(text));
    let count = i64::try_from(words.len()).unwrap_or(i64::MAX).max(1);
    let syllables = i64::try_from(words.iter().map(|word| syllables(word)).sum::<usize>()).unwrap_or(i64::MAX);
    let length = count / i64::try_from(sentences.len()).unwrap_or(i64::MAX).max(1);
    // Flesch's formula, in hundredths.
    let reading_ease = ((20_684 - 102 * length - 8_460 * syllables / count) / 100).clamp(0, 100);
    let mut remarks = Vec::new();
    let mut costs = 0;
    let mut cost = |points: i64, remark: &str| {
        costs += points;
        remarks.push(remark.to_owned());
    };
    if words.iter().any(|word| SHORT_FORMS.iter().any(|(short, _)| short == word)) {
        cost(25, "short forms");
    }
    if sentences.iter().any(|sentence| sentence.starts_with(char::is_lowercase)) {
        cost(25, "sentences without a capital letter");
    }
    if count < 30 {
        cost(15, "very short");
    }
    if reading_ease < 20 {
        cost(10, "hard to read");
    }
    Quality { score: 100 - costs, reading_ease, remarks }
}
