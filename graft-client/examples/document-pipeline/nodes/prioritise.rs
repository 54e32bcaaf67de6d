//! `prioritise`: urgent documents go first from here on.

use graft_client::{Node, NodeContext, NodeResult, Outcome};

use super::notify::NotifyConfig;
use super::{Document, Notify, passed};

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// Weighs how urgent a document is, finds the times it names, and sends word with a matching priority.
pub struct Prioritise;

impl Node for Prioritise {
    const NAME: &'static str = "prioritise";
    type State = Document;
    type Config = ();

    async fn execute(&self, _: NodeContext, document: Document, (): ()) -> NodeResult<Document> {
        let due = due(&document.text);
        let urgency = u8::try_from(2 * document.alarms.len() + due.len()).unwrap_or(9).clamp(1, 9);
        let subject = format!("{}: {}", document.name, document.text.lines().next().unwrap_or_default());
        let notify = Notify::with(NotifyConfig { to: "duty officer".to_owned(), subject }).priority(urgency.into());
        Ok(passed(Self::NAME, Outcome::state(Document { due, urgency: Some(urgency), ..document })).next(notify))
    }
}

/// Times such as `18:00` and days such as `14 June`.
fn due(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric())).collect();
    let is_number = |word: &str| !word.is_empty() && word.len() <= 2 && word.chars().all(|c| c.is_ascii_digit());
    let times = words.iter().filter(|word| word.split_once(':').is_some_and(|(hour, minute)| is_number(hour) && is_number(minute)));
    let days = words.windows(2).filter(|pair| is_number(pair[0]) && MONTHS.contains(&pair[1])).map(|pair| pair.join(" "));
    times.map(|time| (*time).to_owned()).chain(days).collect()
}
