//! What workers say of attempts that nobody here has given them: results that come late or once more, and what they hold from an earlier term.
//!
//! A stream was let in for one namespace and the nodes that it serves, and its worker may name any attempt. So its word is compared with the state
//! before anything comes of it: the attempt has to be of that namespace, and of a node that the session serves. An attempt that is not there
//! yet is nobody's. Whoever claims what is not for it is answered as if it came too late.

use std::collections::BTreeMap;

use graft_machine::ids::AttemptRef;

use super::core::Core;
use super::message::{Output, Read};
use super::reads::Scope;
use super::sessions::SessionId;
use super::{Held, StopReason, TaskResult};

/// Something that a worker says, to be compared with the state.
#[derive(Debug)]
pub(super) enum Claim {
    /// It has executed the attempt.
    Result(SessionId, TaskResult),
    /// It holds the attempt.
    Holding(SessionId, Held),
}

impl Claim {
    fn at(&self) -> AttemptRef {
        match self {
            Self::Result(_, result) => result.of().0,
            Self::Holding(_, held) => held.at,
        }
    }
}

impl Core {
    /// Asks the state what these attempts are of.
    pub(super) fn question(&mut self, claims: Vec<Claim>) {
        if claims.is_empty() {
            return;
        }
        self.output(Output::Read(Read::Scopes(claims.iter().map(Claim::at).collect())));
        self.questioned.push_back(claims);
    }

    /// The state has answered. What has come in since the question is known here already.
    pub(super) fn claims_judged(&mut self, scopes: Vec<Option<Scope>>) {
        let claims = self.questioned.pop_front().unwrap_or_default();
        let mut late: BTreeMap<SessionId, Vec<_>> = BTreeMap::new();
        let mut adopted = Vec::new();
        for (claim, scope) in claims.into_iter().zip(scopes) {
            match claim {
                Claim::Result(session, result) => {
                    let (at, lease) = result.of();
                    let is_its_own = scope.is_some_and(|scope| self.sessions.serves(session, &scope.namespace, scope.node.as_deref()));
                    if !(is_its_own && self.result_checked(session, result)) {
                        late.entry(session).or_default().push((at, lease));
                    }
                }
                Claim::Holding(session, Held { at, lease, node, progress }) => {
                    let fits = |scope: &Scope| scope.node.as_ref().is_none_or(|named| *named == node);
                    let its_own = scope.filter(fits).filter(|scope| self.sessions.serves(session, &scope.namespace, Some(node.as_str())));
                    let Some(scope) = its_own else {
                        self.tell_to_stop(session, at, lease, StopReason::LeaseLost);
                        continue;
                    };
                    if !self.sessions.is_closing(session) && self.claim(session, at, lease) {
                        let queue = self.queues.id(&scope.namespace, &node);
                        self.adopt(session, at, lease, queue, progress);
                        adopted.push(at);
                    }
                }
            }
        }
        for (session, late) in late {
            self.too_late(session, late);
        }
        if !adopted.is_empty() {
            self.output(Output::Read(Read::Standings(adopted)));
        }
    }
}
