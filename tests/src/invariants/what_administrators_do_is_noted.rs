//! S24, as far as the machine sees it: every administrative act that was begun has a number of its own and stands in the list with who began it, its
//! end is noted once, and the latest are kept. An API token exists from the command that makes it to the one that takes it away, or until it has
//! expired; it says what it was made to say.

use std::collections::BTreeMap;

use graft_machine::Applied;
use graft_machine::command::{Command, CreateApiToken, Envelope};
use graft_machine::limits::PAGE_MAX;
use graft_machine::memory::Memory;
use graft_machine::reply::Reply;
use graft_machine::view;

use super::effects::Effects;
use super::{Invariant, Place, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    /// Who began which act, and how it ended.
    acts: BTreeMap<u64, (String, Option<String>)>,
    tokens: BTreeMap<String, CreateApiToken>,
    effects: Effects,
}

impl Invariant for Check {
    fn command(&mut self, place: Place, envelope: &Envelope, applied: &Applied) -> Verdict {
        let Ok(reply) = &applied.reply else { return Ok(()) };
        if !self.effects.has(envelope, applied) {
            return Ok(());
        }
        match &envelope.command {
            Some(Command::BeginAct(_)) => {
                let Reply::Done(done) = reply else { return Err(format!("an act was answered with {reply:?}")) };
                let last = self.acts.last_key_value().map_or(0, |(number, _)| *number);
                must!(done.run == last + 1, "an act was given the number {} after {last}", done.run);
                self.acts.insert(done.run, (envelope.principal.clone(), None));
            }
            Some(Command::EndAct(end)) => {
                let (_, ended) =
                    self.acts.get_mut(&end.number).ok_or_else(|| format!("act {} ended, and nobody had begun it", end.number))?;
                must!(ended.is_none(), "act {} ended twice: {ended:?}, {:?}", end.number, end.outcome);
                *ended = Some(end.outcome.clone());
            }
            Some(Command::CreateApiToken(token)) => {
                self.tokens.retain(|_, other| other.expires == 0 || place.time < other.expires);
                must!(self.tokens.insert(token.id.clone(), token.clone()).is_none(), "token {} was made twice", token.id);
            }
            Some(Command::RevokeApiToken(revoke)) => {
                must!(self.tokens.remove(&revoke.id).is_some(), "token {} was revoked, and is none", revoke.id);
            }
            _ => {}
        }
        Ok(())
    }

    fn state(&mut self, _: Place, state: &Memory) -> Verdict {
        let told = view::acts(state, 0, PAGE_MAX);
        must!(told.len() == self.acts.len().min(PAGE_MAX), "{} acts are kept of {}", told.len(), self.acts.len());
        for ((number, act), (begun, (principal, ended))) in told.iter().zip(self.acts.iter().rev()) {
            must!(number == begun && act.principal == *principal, "act {begun} of {principal:?} stands as {number}: {act:?}");
            must!(
                (act.ended != 0) == ended.is_some() && act.outcome == ended.clone().unwrap_or_default(),
                "act {begun}: {act:?}, {ended:?}"
            );
        }
        let tokens = view::api_tokens(state, None, PAGE_MAX);
        let ids: Vec<&String> = tokens.iter().map(|(id, _)| id).collect();
        must!(ids == self.tokens.keys().collect::<Vec<_>>(), "tokens {ids:?} stand; the log says {:?}", self.tokens.keys());
        for (id, token) in &tokens {
            let made = &self.tokens[id];
            let same = token.grants == made.grants && token.secret_hash == made.secret_hash && token.expires == made.expires;
            must!(same && token.name == made.name, "{token:?} was made as {made:?}");
        }
        Ok(())
    }
}
