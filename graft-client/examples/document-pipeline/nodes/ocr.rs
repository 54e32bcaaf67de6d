//! `ocr`: a branch; mends what a scanner misread.

use graft_client::{Node, NodeContext, NodeResult, Outcome};

use super::process::counted;
use super::{Document, Nlp, Statistics, passed};

/// UTF-8 that was read as Windows-1252.
const MOJIBAKE: [(&str, &str); 8] =
    [("â€™", "'"), ("â€œ", "\""), ("â€“", "–"), ("Ã¤", "ä"), ("Ã¶", "ö"), ("Ã¼", "ü"), ("ÃŸ", "ß"), ("Ã©", "é")];
/// Whole words that scanners get wrong.
const WORDS: [(&str, &str); 4] = [("tbe", "the"), ("Tbe", "The"), ("aud", "and"), ("bave", "have")];
/// Words in which `rn` stands rightly.
const WITH_RN: [&str; 10] = ["corn", "turn", "born", "modern", "morning", "return", "learn", "government", "western", "corner"];

/// Mends what the scanner misread, and counts again: words that were cut in two are one.
pub struct Ocr;

impl Node for Ocr {
    const NAME: &'static str = "ocr";
    type State = Document;
    type Config = ();

    async fn execute(&self, cx: NodeContext, document: Document, (): ()) -> NodeResult<Document> {
        // A word that was cut at the end of a line goes together again; processing has made one line of each paragraph.
        let mut text = document.text.replace("- ", "");
        for (wrong, right) in MOJIBAKE {
            text = text.replace(wrong, right);
        }
        let mut corrections = 0;
        let mended: Vec<String> = text.split('\n').map(|line| mend_line(line, &mut corrections)).collect();
        cx.progress(format!("{corrections} words corrected"));
        let text = mended.join("\n");
        let repeated = document.statistics.map(|statistics| statistics.repeated).unwrap_or_default();
        let statistics = Some(Statistics { repeated, ..counted(&text) });
        Ok(passed(Self::NAME, Outcome::state(Document { text, statistics, corrections, ..document })).next(Nlp::with(())))
    }
}

fn mend_line(line: &str, corrections: &mut u32) -> String {
    let mend = |word: &str| {
        let mended = mend_word(word);
        *corrections += u32::from(mended != word);
        mended
    };
    line.split(' ').map(mend).collect::<Vec<_>>().join(" ")
}

fn mend_word(word: &str) -> String {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let mut mended = word.to_owned();
    if letters > digits && digits > 0 {
        mended = mended.replace('0', "o").replace('1', "l").replace('5', "s");
    }
    let bare = mended.trim_matches(|c: char| !c.is_alphabetic()).to_lowercase();
    if bare.contains("rn") && !WITH_RN.iter().any(|known| bare.starts_with(known)) {
        mended = mended.replace("rn", "m");
    }
    for (wrong, right) in WORDS {
        if mended.trim_matches(|c: char| !c.is_alphabetic()) == wrong {
            mended = mended.replace(wrong, right);
        }
    }
    mended
}
