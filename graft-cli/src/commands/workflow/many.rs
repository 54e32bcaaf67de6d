//! `graft workflow start --many`: a workflow for each line of a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::time::SystemTime;

use clap::ValueEnum;
use graft_client::{ClientError, Next, RawJson, StartWorkflow, Started};
use graft_proto::documents::StartResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use super::start::{started, wire};
use crate::cli::value;
use crate::cli::workflow::OnConflict;
use crate::commands::Session;
use crate::error::{CliError, CliResult};
use crate::output::json::Document;
use crate::output::spinner::Bar;
use crate::output::style::{Line, Tone};
use crate::output::table::{column, table};
use crate::output::task::refused;
use crate::output::{Answer, View, compact, note};

/// Most starts of one file.
const STARTS_MAX: usize = 100_000;
/// Starts of one call: so many answers come at once.
const STARTS_PER_CALL: usize = 1_000;
/// Most rows that people are shown, unless they want more.
const ROWS_MAX: usize = 20;
/// Longest line, in bytes: what a message may hold.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// A line of the file. What it does not name is as with `graft workflow start`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    workflow_id: String,
    node: String,
    config: Option<Box<RawValue>>,
    delay: Option<String>,
    #[serde(default)]
    priority: i32,
    state: Option<Box<RawValue>>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    on_conflict: Option<String>,
    request_id: Option<String>,
    deadline: Option<String>,
    traceparent: Option<String>,
}

/// Starts a workflow for each line. Nothing is sent if a line makes no sense; then each has an answer of its own, and if any was refused, the
/// exit code says so.
/// `traceparent` is that of each that names none.
pub(crate) async fn run(session: &Session, from: String, traceparent: String) -> CliResult {
    // Stdin, or a file that is a pipe, may keep us waiting: it is read beside the runtime, so that Ctrl-C is heard.
    let starts = spawn_blocking(move || starts(&from, &traceparent))
        .await
        .map_err(|error| CliError::Other(format!("failed to read: {error}")))??;
    let of = starts.len();
    let bar = Bar::start("starting", of);
    let (mut all, mut failed) = (Many::default(), None);
    for starts in starts.chunks(STARTS_PER_CALL) {
        let first = all.counted.total() + 1;
        match session.client.start_many(starts.iter().map(|(_, start)| start.clone())).await {
            Ok(answers) => all.add(first, starts.iter().map(|(id, _)| id), answers),
            // What was started before is told all the same.
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        bar.reached(all.counted.total());
        if session.output.is_by_line() {
            bar.aside(|| session.output.show(&all))?;
            all.answers.clear();
        }
    }
    drop(bar);
    if !session.output.is_by_line() {
        session.output.show(&all)?;
    }
    if session.output.is_for_people() {
        note(&all.counted.words());
    }
    match (failed, all.counted.refused) {
        (Some(error), _) => Err(error.into()),
        (None, 0) => Ok(()),
        (None, refused) => Err(CliError::Partly { done: "started", refused, of }),
    }
}

/// The starts of a file, or of stdin.
fn starts(from: &str, traceparent: &str) -> CliResult<Vec<(String, StartWorkflow)>> {
    let refused = |line: usize, why: String| CliError::Usage(format!("--many {from}: line {line}: {why}"));
    let source: Box<dyn Read> = match from {
        "-" => Box::new(std::io::stdin()),
        path => Box::new(File::open(path).map_err(|error| CliError::Usage(format!("--many: failed to read {path}: {error}")))?),
    };
    let (mut reader, mut starts, mut line) = (BufReader::new(source), Vec::new(), 0);
    loop {
        let mut text = String::new();
        line += 1;
        let read = reader.by_ref().take(LINE_BYTES_MAX + 1).read_line(&mut text).map_err(|error| refused(line, error.to_string()))?;
        if read == 0 {
            let none = || CliError::Usage(format!("--many {from}: it has no line that names a workflow"));
            return if starts.is_empty() { Err(none()) } else { Ok(starts) };
        }
        if read as u64 > LINE_BYTES_MAX {
            return Err(refused(line, format!("it has more than {LINE_BYTES_MAX} bytes")));
        }
        if text.trim().is_empty() {
            continue;
        }
        if starts.len() == STARTS_MAX {
            return Err(refused(line, format!("there are more than {STARTS_MAX} workflows; make several files of it")));
        }
        starts.push(start(&text, traceparent).map_err(|why| refused(line, why))?);
    }
}

/// The start of a line, with its id if it names one; or why it is none.
fn start(line: &str, traceparent: &str) -> Result<(String, StartWorkflow), String> {
    let row: Row = serde_json::from_str(line).map_err(|error| {
        // Its own place is told in lines of this line.
        let (words, column) = (error.to_string(), error.column());
        let words = words.split(" at line ").next().unwrap_or_default();
        if column > 0 { format!("{words} (column {column})") } else { words.to_owned() }
    })?;
    let raw = |value: Box<RawValue>| RawJson::from_bytes(String::from(Box::<str>::from(value)).into_bytes());
    let id = row.workflow_id;
    let mut first = Next::raw(row.node, row.config.map(raw).unwrap_or_default()).priority(row.priority);
    if let Some(delay) = row.delay {
        first = first.delay(value::duration(&delay).map_err(|why| format!("`delay`: {why}"))?);
    }
    let mut start = StartWorkflow::new(id.clone()).node(first);
    if let Some(state) = row.state {
        if !state.get().starts_with('{') {
            return Err("`state` is no object".to_owned());
        }
        start = start.state_json(raw(state));
    }
    for (key, value) in row.labels {
        start = start.label(key, value);
    }
    if let Some(word) = row.on_conflict {
        let known = OnConflict::from_str(&word, false)
            .map_err(|_| format!("`on_conflict` is fail, use-existing or replace-finished, not {word:?}"))?;
        start = start.on_conflict(wire(known));
    }
    if let Some(id) = row.request_id {
        start = start.request_id(id);
    }
    if let Some(deadline) = row.deadline {
        start = start.deadline(SystemTime::now() + value::duration(&deadline).map_err(|why| format!("`deadline`: {why}"))?);
    }
    start = start.traceparent(row.traceparent.as_deref().unwrap_or(traceparent));
    Ok((id, start))
}

/// What became of one start.
struct One {
    /// Which start it answers, from 1.
    number: usize,
    /// The id that was asked for, if one was.
    id: String,
    answer: Result<Started, ClientError>,
}

impl From<&One> for StartResult {
    fn from(one: &One) -> Self {
        let started = one.answer.as_ref().ok().map(started);
        Self { number: one.number as u64, started, refused: one.answer.as_ref().err().map(refused) }
    }
}

/// How many became what.
#[derive(Default)]
struct Counted {
    started: usize,
    there: usize,
    refused: usize,
}

impl Counted {
    fn total(&self) -> usize {
        self.started + self.there + self.refused
    }

    fn words(&self) -> String {
        let Self { started, there, refused } = self;
        let parts = [(*there, "there already"), (*refused, "refused")];
        let others = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
        format!("{started} {} started{}.", if *started == 1 { "was" } else { "were" }, others.collect::<String>())
    }
}

/// What became of all of them.
#[derive(Default)]
struct Many {
    answers: Vec<One>,
    counted: Counted,
}

impl Many {
    fn add<'a>(&mut self, first: usize, ids: impl Iterator<Item = &'a String>, answers: Vec<Result<Started, ClientError>>) {
        for ((number, id), answer) in (first..).zip(ids).zip(answers) {
            *match &answer {
                Ok(started) if started.created => &mut self.counted.started,
                Ok(_) => &mut self.counted.there,
                Err(_) => &mut self.counted.refused,
            } += 1;
            self.answers.push(One { number, id: id.clone(), answer });
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ManyJson {
    results: Vec<StartResult>,
}

impl Document for ManyJson {
    const KIND: &'static str = "StartResults";
}

impl Answer for Many {
    type Document = ManyJson;

    fn document(&self) -> ManyJson {
        ManyJson { results: self.answers.iter().map(Into::into).collect() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.answers.iter().map(|one| compact(&StartResult::from(one))).collect()
    }

    fn names(&self) -> Vec<String> {
        self.answers.iter().filter_map(|one| Some(one.answer.as_ref().ok()?.workflow_id.clone())).collect()
    }

    /// What a person wants to know of ten thousand starts: which were not simply started. All of them with more columns.
    fn people(&self, view: View) -> Vec<Line> {
        let told = |one: &&One| view.wide || !matches!(&one.answer, Ok(started) if started.created && started.warnings.is_empty());
        let row = |one: &One| {
            let number = one.number.to_string();
            match &one.answer {
                Ok(started) => {
                    let what = if started.created { "started" } else { "was there" };
                    vec![number, started.workflow_id.clone(), what.to_owned(), started.run.to_string(), started.warnings.join("; ")]
                }
                Err(error) => {
                    vec![
                        number,
                        if one.id.is_empty() { "-".to_owned() } else { one.id.clone() },
                        format!("refused [{}]", error.code()),
                        "-".to_owned(),
                        sentence(error),
                    ]
                }
            }
        };
        let most = if view.wide { usize::MAX } else { ROWS_MAX };
        let rows: Vec<Vec<String>> = self.answers.iter().filter(told).take(most).map(row).collect();
        if rows.is_empty() {
            return Vec::new();
        }
        let more = self.answers.iter().filter(told).count() - rows.len();
        let columns = [column("NUMBER"), column("ID"), column("RESULT"), column("RUN"), column("REASON")];
        let mut lines = table(view, &columns, rows);
        if more > 0 {
            lines.push(Line::of(Tone::Dim, format!("… and {more} more; -o wide shows all")));
        }
        lines
    }
}

/// Why a start was refused: the object and the reason.
fn sentence(error: &ClientError) -> String {
    format!("{} {}", error.object(), error.message()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_start_is_refused_with_its_number_and_why() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::write(path, "{\"node\":\"a\"}\n\n{\"node\":\"b\",\"state\":{\"n\":1},\"labels\":{\"a\":\"b\"},\"deadline\":\"5m\"}\n")
            .unwrap();
        assert_eq!(starts(path, "").unwrap().len(), 2);
        for (line, why) in [
            ("{", "EOF while parsing an object"),
            (r#"{"node":7}"#, "(column 9)"),
            ("{}", "node"),
            (r#"{"node":"a","stat":{}}"#, "stat"),
            (r#"{"node":"a","state":[]}"#, "no object"),
            (r#"{"node":"a","on_conflict":"x"}"#, "replace-finished"),
            (r#"{"node":"a","deadline":"5"}"#, "10s"),
            (r#"{"node":"a","delay":"5"}"#, "`delay`"),
        ] {
            std::fs::write(path, format!("{{\"node\":\"a\"}}\n{line}\n")).unwrap();
            let error = starts(path, "").unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("line 2") && error.to_string().contains(why), "{line}: {error}");
        }
        std::fs::write(path, "").unwrap();
        assert_eq!(starts(path, "").unwrap_err().exit_code(), 2);
        assert!(starts("no-such-file", "").unwrap_err().to_string().contains("no-such-file"));
    }

    #[test]
    fn the_end_counts_what_became_of_them() {
        assert_eq!(Counted { started: 1, ..Counted::default() }.words(), "1 was started.");
        assert_eq!(Counted { started: 7, there: 2, refused: 1 }.words(), "7 were started, 2 there already, 1 refused.");
    }

    #[test]
    fn people_are_not_drowned_in_rows_that_say_the_same() {
        let started = |number: usize| Started {
            namespace: "default".into(),
            workflow_id: format!("w-{number}"),
            run: number as u64,
            created: true,
            warnings: vec!["no worker".into()],
            time_ms: 1,
        };
        let mut many = Many::default();
        let ids: Vec<String> = (1..=100).map(|number| format!("w-{number}")).collect();
        many.add(1, ids.iter(), (1..=100).map(|number| Ok(started(number))).collect());
        let shown = many.people(View::plain(0));
        assert_eq!(shown.len(), 1 + ROWS_MAX + 1);
        assert_eq!(shown[ROWS_MAX + 1].render(false), "… and 80 more; -o wide shows all");
        assert_eq!(many.people(View { wide: true, ..View::plain(0) }).len(), 101);
    }
}
