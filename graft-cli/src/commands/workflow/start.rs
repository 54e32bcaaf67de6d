//! `graft workflow start`

use std::collections::BTreeSet;
use std::io::Read;
use std::time::SystemTime;

use graft_client::{Next, RawJson, StartWorkflow, Started};
use graft_proto::documents::{StartedWorkflow, Time};
use tokio::task::spawn_blocking;

use super::{ended, many};
use crate::cli::workflow::{OnConflict, Start};
use crate::commands::Session;
use crate::error::{CliError, CliResult};
use crate::output::style::Line;
use crate::output::{Answer, View, note, say, shell_word, table};

/// Largest document that is read from a file or from stdin, in bytes: what a message may hold.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// Starts a workflow; with `--wait`, waits for its end.
pub(crate) async fn run(session: &Session, mut args: Start) -> CliResult {
    args.traceparent = args.traceparent.or_else(|| std::env::var("TRACEPARENT").ok());
    if let Some(from) = args.many {
        return many::run(session, from, args.traceparent.unwrap_or_default()).await;
    }
    let wait = args.waiting.wait;
    // Stdin, or a file that is a pipe, may keep us waiting: it is read beside the runtime, so that Ctrl-C is heard.
    // One of our own can be named where nobody knows what came of it.
    let request_id = args.request_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let again = format!("say the same again with --request-id {}: it takes effect once", shell_word(&request_id));
    let request = spawn_blocking(move || request(args, request_id));
    let request = request.await.map_err(|error| CliError::Other(format!("failed to read: {error}")))??;
    let started =
        session.client.start(request).await.map_err(|error| if error.outcome_unknown() { error.with_remedy(again) } else { error })?;
    // Programs find them in the document.
    for warning in started.warnings.iter().filter(|_| !session.output.format().is_for_programs()) {
        say(&format!("warning: {warning}"));
    }
    if let Some(wait) = wait {
        return ended(session, &session.client.workflow(&started.workflow_id).run(started.run), wait, &[]).await;
    }
    session.output.show(&started)?;
    if session.output.is_for_people() {
        note(&format!("Follow it with: graft workflow watch {}", shell_word(&started.workflow_id)));
    }
    Ok(())
}

fn request(args: Start, request_id: String) -> CliResult<StartWorkflow> {
    let config = args.config.map(|text| document("--config", &text)).transpose()?.unwrap_or_default();
    let first = Next::raw(args.node, config).priority(args.priority).delay(args.delay.unwrap_or_default());
    let mut start = StartWorkflow::new(args.id.unwrap_or_default()).node(first).on_conflict(wire(args.on_conflict));
    if let Some(text) = args.state {
        start = start.state_json(object("--state", &text, "a state")?);
    }
    let mut keys = BTreeSet::new();
    for (key, value) in args.labels {
        if !keys.insert(key.clone()) {
            return Err(CliError::Usage(format!("--label {key} is given twice: a label has one value")));
        }
        start = start.label(key, value);
    }
    start = start.request_id(request_id);
    if let Some(deadline) = args.deadline {
        start = start.deadline(SystemTime::now() + deadline);
    }
    Ok(start.traceparent(args.traceparent.unwrap_or_default()))
}

pub(super) fn wire(on_conflict: OnConflict) -> graft_client::OnConflict {
    match on_conflict {
        OnConflict::Fail => graft_client::OnConflict::Fail,
        OnConflict::UseExisting => graft_client::OnConflict::UseExisting,
        OnConflict::ReplaceFinished => graft_client::OnConflict::ReplaceFinished,
    }
}

/// The object that an argument holds or names; `what` is what it is for.
pub(crate) fn object(flag: &str, argument: &str, what: &str) -> CliResult<RawJson> {
    let document = document(flag, argument)?;
    match document.as_bytes().iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Ok(document),
        _ => Err(CliError::Usage(format!("{flag} is JSON but no object: {what} is an object, such as '{{\"items\":3}}'"))),
    }
}

/// The document that an argument holds or names. It is checked here, where the place of a mistake can be told, and passed on as it is.
pub(crate) fn document(flag: &str, argument: &str) -> CliResult<RawJson> {
    let (from, bytes) = match argument.strip_prefix('@') {
        Some(path) => (format!("the file {path} ({flag})"), read(flag, path, std::fs::File::open(path))?),
        None if argument == "-" && flag == "--state" => (format!("stdin ({flag})"), read(flag, "stdin", Ok(std::io::stdin()))?),
        None => (flag.to_owned(), argument.as_bytes().to_vec()),
    };
    serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).map_err(|error| CliError::Usage(format!("{from} is no JSON: {error}")))?;
    Ok(RawJson::from_bytes(bytes))
}

fn read(flag: &str, name: &str, source: std::io::Result<impl Read>) -> CliResult<Vec<u8>> {
    let mut bytes = Vec::new();
    source
        .and_then(|source| source.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| CliError::Usage(format!("{flag}: failed to read {name}: {error}")))?;
    if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(CliError::Usage(format!("{flag}: {name} holds more than {DOCUMENT_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// What a start answers, for programs.
pub(super) fn started(started: &Started) -> StartedWorkflow {
    let Started { namespace, workflow_id, run, created, warnings, time_ms } = started.clone();
    StartedWorkflow { namespace, workflow_id, run, created, warnings, answered_at: Time::of(time_ms) }
}

impl Answer for Started {
    type Document = StartedWorkflow;

    fn document(&self) -> StartedWorkflow {
        started(self)
    }

    fn names(&self) -> Vec<String> {
        vec![self.workflow_id.clone()]
    }

    fn people(&self, _: View) -> Vec<Line> {
        table::started(self)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Noun, workflow};

    #[test]
    fn a_document_that_is_no_json_is_refused_with_the_place() {
        let error = document("--config", "{\"a\":}").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--config is no JSON") && error.to_string().contains("column"), "{error}");
        assert!(document("--config", "@no-such-file").unwrap_err().to_string().contains("no-such-file"));
    }

    #[test]
    fn a_label_has_one_value() {
        let cli = Cli::try_parse_from(["graft", "workflow", "start", "a", "--node", "n", "--label", "k=1", "--label", "k=2"]).unwrap();
        let Noun::Workflow(workflow::Workflow::Start(args)) = cli.noun else { panic!("another verb") };
        let error = request(args, "q".to_owned()).expect_err("two values");
        assert_eq!((error.exit_code(), error.to_string().contains("--label k is given twice")), (2, true), "{error}");
    }

    #[test]
    fn a_document_is_passed_on_as_it_is() {
        assert_eq!(document("--state", "{\"a\": 1.50}").unwrap().as_bytes(), b"{\"a\": 1.50}");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        std::fs::write(&path, "{\"b\":2}").unwrap();
        assert_eq!(document("--state", &format!("@{}", path.display())).unwrap().as_bytes(), b"{\"b\":2}");
    }
}
