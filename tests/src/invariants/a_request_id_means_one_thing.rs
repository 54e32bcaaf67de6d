//! S3: within its window a request id means what took effect under it first. The same request again gets the first answer, another one under
//! the same id is refused, and a workflow id names one run that has not ended.

use std::collections::BTreeMap;

use graft_machine::Applied;
use graft_machine::command::{Command, Envelope};
use graft_machine::ids::Run;
use graft_machine::limits::NOT_AFTER_AHEAD_MAX;
use graft_machine::reply::{Answer, RejectionCode, Reply};

use super::{Answered, Invariant, Place, Verdict, must, status_after};

#[derive(Debug)]
struct First {
    hash: u64,
    answer: Answer,
    expires: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    first: BTreeMap<(String, String), First>,
    /// By request id: what took effect first, in each window.
    given: BTreeMap<String, Vec<Answer>>,
    current: BTreeMap<(String, String), Run>,
    ended: BTreeMap<Run, bool>,
}

fn namespace(command: &Command) -> &str {
    match command {
        Command::Start(start) => &start.namespace,
        Command::Pause(control) | Command::Resume(control) | Command::Cancel(control) | Command::Terminate(control) => &control.namespace,
        Command::Redrive(redrive) => &redrive.namespace,
        Command::RetryTask(control) | Command::Discard(control) => &control.namespace,
        Command::SetLimit(limit) => &limit.namespace,
        _ => "",
    }
}

impl Invariant for Check {
    fn event(&mut self, _: Place, event: &graft_machine::event::Event) -> Verdict {
        if let Some(status) = event.happened.as_ref().and_then(status_after) {
            self.ended.insert(event.run, status.is_final());
        }
        Ok(())
    }

    fn command(&mut self, place: Place, envelope: &Envelope, applied: &Applied) -> Verdict {
        let Some(command) = &envelope.command else { return Ok(()) };
        let (id, hash, answer) = (&envelope.request_id, envelope.payload_hash, &applied.reply);
        let key = (namespace(command).to_owned(), id.clone());
        match self.first.get(&key) {
            // Its window is over, and it is remembered all the same until it is swept: no new window begins.
            Some(first) if first.expires < place.time && first.hash == hash && first.answer == *answer => return Ok(()),
            _ => {}
        }
        match self.first.get(&key).filter(|first| first.expires >= place.time) {
            Some(first) if first.hash != hash => {
                let code = answer.as_ref().err().map(|rejection| rejection.code);
                must!(code == Some(RejectionCode::RequestConflict as i32), "request {id} had taken effect otherwise, then: {answer:?}");
            }
            Some(first) => must!(first.answer == *answer, "request {id} came to {:?} and, repeated, to {answer:?}", first.answer),
            None if !id.is_empty() && answer.is_ok() => {
                let expires = if envelope.not_after == 0 { place.time + NOT_AFTER_AHEAD_MAX } else { envelope.not_after };
                self.given.entry(id.clone()).or_default().push(answer.clone());
                self.first.insert(key, First { hash, answer: answer.clone(), expires });
            }
            None => {}
        }
        if let (Command::Start(start), Ok(Reply::Started(started))) = (command, answer)
            && !applied.events.is_empty()
        {
            let name = (start.namespace.clone(), start.id.clone());
            if let Some(before) = self.current.insert(name, started.run) {
                let ended = self.ended.get(&before).copied().unwrap_or(false);
                must!(ended, "{} was started as run {}, while run {before} of it goes on", start.id, started.run);
            }
        }
        Ok(())
    }

    fn answered(&mut self, answered: &Answered<'_>) -> Verdict {
        let Answered { request, answer, .. } = answered;
        if answer.is_ok() {
            let given = self.given.get(*request).map(Vec::as_slice).unwrap_or_default();
            must!(given.contains(answer), "request {request} was answered {answer:?}, and came to {given:?}");
        }
        Ok(())
    }
}
