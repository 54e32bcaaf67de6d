//! `enhance`: one round of the enhancement loop of the quality gate.

use graft_client::{Node, NodeContext, NodeResult, Outcome};
use serde::{Deserialize, Serialize};

use super::{Document, Nlp, passed};
use crate::text::sentences;

/// Short forms and what they stand for.
pub const SHORT_FORMS: [(&str, &str); 9] = [
    ("mtg", "meeting"),
    ("tmrw", "tomorrow"),
    ("pls", "please"),
    ("asap", "as soon as possible"),
    ("bc", "because"),
    ("thx", "thank you"),
    ("re", "about"),
    ("approx", "approximately"),
    ("w", "with"),
];

/// Makes a poor text better: first what it says, then how it looks. Goes back through the language work to the gate.
pub struct Enhance;

/// What the gate remarked.
#[derive(Debug, Serialize, Deserialize)]
pub struct EnhanceConfig {
    /// Its remarks.
    pub remarks: Vec<String>,
}

impl Node for Enhance {
    const NAME: &'static str = "enhance";
    type State = Document;
    type Config = EnhanceConfig;

    async fn execute(&self, cx: NodeContext, document: Document, config: EnhanceConfig) -> NodeResult<Document> {
        cx.progress(config.remarks.join(", "));
        let text = if config.remarks.iter().any(|remark| remark == "short forms") { spelled_out(&document.text) } else { document.text };
        let text = sentences(&text).into_iter().map(capitalised).collect::<Vec<_>>().join(" ");
        let document = Document { text, enhancements: document.enhancements + 1, ..document };
        Ok(passed(Self::NAME, Outcome::state(document)).next(Nlp::with(())))
    }
}

fn spelled_out(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let form = SHORT_FORMS.iter().find(|(short, _)| bare.eq_ignore_ascii_case(short));
        match form {
            Some((_, long)) => {
                let (before, after) = word.split_once(bare).unwrap_or_default();
                format!("{before}{long}{}", after.trim_start_matches('/'))
            }
            None => word.replace('&', "and"),
        }
    };
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

fn capitalised(sentence: String) -> String {
    let mut chars = sentence.chars();
    let Some(first) = chars.next() else { return sentence };
    let mut text: String = first.to_uppercase().chain(chars).collect();
    if !text.ends_with(['.', '!', '?', ':']) {
        text.push('.');
    }
    text
}
