//! What a call has learned from its tries, and what follows from the last one. It neither waits nor asks: that is for the [connections](super).
//!
//! Once a try of a change was in doubt, the call is: a later refusal tells nothing of the try before, unless it proves that there was none.
//!
//! A member to which no connection can be secured (its certificate is not good, or it speaks in the clear) is left out as long as there is another one
//! to ask: what is wrong with one of them is not wrong with all. If nobody answers in the end, that is told with the rest.

use std::collections::BTreeSet;
use std::time::Duration;

use graft_proto::errors::ErrorCode;

use super::{Kind, proves_no_effect};
use crate::error::ClientError;

/// See the module.
#[derive(Debug)]
pub(crate) struct Tries<'a> {
    operation: &'a str,
    kind: Kind,
    /// Whether one of them may have had an effect.
    doubt: bool,
    /// How the last one ended that ended by itself, over a connection that was as secure as it should be, if there was one at all.
    said: Option<ClientError>,
    /// Whether a server said it, and not the transport.
    answered: bool,
    /// Where no connection could be secured, and why the first of them could not.
    unsecured: BTreeSet<String>,
    why_unsecured: Option<ClientError>,
}

/// What is done after a try that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: no other try can better it.
    End,
    /// Another member is asked at once.
    AnotherAtOnce,
    /// The leader that was named, or the next in the round, after a wait.
    Another,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(operation: &'a str, kind: Kind) -> Self {
        Self { operation, kind, doubt: false, said: None, answered: false, unsecured: BTreeSet::new(), why_unsecured: None }
    }

    /// One has failed so; `never_sent`: before it was sent.
    pub(crate) fn failed(&mut self, error: ClientError, never_sent: bool) -> ClientError {
        self.doubt |= self.kind.changes() && error.outcome_unknown() && !never_sent;
        if error.kind() != Some(ErrorCode::Tls) {
            self.answered |= !matches!(error.kind(), Some(ErrorCode::Unreachable | ErrorCode::TimedOut));
            self.said = Some(error.clone());
        }
        error
    }

    /// One was given up without an answer, so long after the first was begun.
    pub(crate) fn unanswered(&mut self, url: &str, after: Duration) -> ClientError {
        self.doubt |= self.kind.changes();
        let message = format!("no answer within {} ms", after.as_millis());
        ClientError::new(ErrorCode::TimedOut, self.operation, format!("server {url}"), message)
            .remedied("Ask again with the same request id, or give the client a longer request_timeout.")
    }

    /// What follows from this failure at this address, one of so many.
    pub(crate) fn next(&mut self, url: &str, error: &ClientError, addresses: usize) -> Next {
        let unsecured = error.kind() == Some(ErrorCode::Tls);
        let is_new = unsecured && self.unsecured.insert(url.to_owned());
        if is_new {
            self.why_unsecured.get_or_insert_with(|| error.clone());
        }
        let elsewhere = unsecured && self.unsecured.len() < addresses;
        let in_doubt = self.doubt && self.kind == Kind::Once;
        match (is_new && elsewhere, error.is_retryable() || elsewhere || error.leader_address().is_some()) {
            _ if in_doubt => Next::End,
            (true, _) => Next::AnotherAtOnce,
            (false, true) => Next::Another,
            (false, false) => Next::End,
        }
    }

    /// What the caller gets, after this was the last.
    pub(crate) fn end(&mut self, last: ClientError) -> ClientError {
        let doubt = self.doubt && !proves_no_effect(&last);
        let said = self.said.take();
        let told = match (last.kind(), &said) {
            // What a server has said says more than that the time was over, or that there is another one that is not secure.
            (Some(ErrorCode::TimedOut | ErrorCode::Tls), Some(said)) if self.answered => said.clone(),
            (Some(ErrorCode::TimedOut), Some(said)) => last.beside(said),
            _ => last,
        };
        let told = match self.why_unsecured.take() {
            None => told,
            Some(_) if self.answered => told,
            // Nobody has said anything: what could not be secured is what is known best, and how another address fails is told beside.
            Some(why) => {
                let other = if told.kind() == Some(ErrorCode::Tls) { said } else { Some(told) };
                match other.filter(|other| other.object() != why.object()) {
                    Some(other) => why.beside(&other),
                    None => why,
                }
            }
        };
        told.unknown_outcome(doubt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "https://a:1";
    const B: &str = "https://b:1";

    fn error(code: ErrorCode, url: &str) -> ClientError {
        ClientError::new(code, "try", format!("server {url}"), format!("{code:?} of {url}"))
    }

    /// A try that failed before it was sent, and what follows from it if there are two addresses.
    fn fails(tries: &mut Tries, code: ErrorCode, url: &str) -> (Next, ClientError) {
        let error = tries.failed(error(code, url), true);
        (tries.next(url, &error, 2), error)
    }

    #[test]
    fn who_does_not_answer_after_one_that_is_not_secure_is_not_taken_for_another_such() {
        let mut tries = Tries::new("try", Kind::Change);
        assert_eq!(fails(&mut tries, ErrorCode::Tls, A).0, Next::AnotherAtOnce);
        let late = tries.unanswered(B, Duration::from_secs(7));
        assert_eq!(tries.next(B, &late, 2), Next::Another);
        let told = tries.end(late);
        assert_eq!((told.kind(), told.outcome_unknown()), (Some(ErrorCode::Tls), true));
        assert_eq!(told.message(), "Tls of https://a:1; and server https://b:1: no answer within 7000 ms");
    }

    #[test]
    fn what_is_wrong_with_all_is_told_at_once_and_what_is_wrong_with_one_in_the_end() {
        let mut tries = Tries::new("try", Kind::Read);
        assert_eq!(fails(&mut tries, ErrorCode::Tls, A).0, Next::AnotherAtOnce);
        let (next, last) = fails(&mut tries, ErrorCode::Tls, B);
        assert_eq!((next, tries.end(last).message()), (Next::End, "Tls of https://a:1"), "the first");
        // One is down: which of the two is asked last makes no difference.
        for order in [[A, B, A], [B, A, B]] {
            let mut tries = Tries::new("try", Kind::Read);
            let code = |url| if url == A { ErrorCode::Tls } else { ErrorCode::Unreachable };
            let [_, _, last] = order.map(|url| fails(&mut tries, code(url), url));
            assert_eq!(last.0, Next::Another);
            let told = tries.end(last.1);
            assert_eq!(told.message(), "Tls of https://a:1; and server https://b:1: Unreachable of https://b:1", "{order:?}");
            assert!(told.is_retryable() && told.remedy().contains(ErrorCode::Unreachable.remedy()), "the other may come back: {told}");
        }
        // Who has answered over a connection that is secure tells more.
        for order in [[A, B, A], [B, A, B]] {
            let mut tries = Tries::new("try", Kind::Read);
            let code = |url| if url == A { ErrorCode::Tls } else { ErrorCode::NoLeader };
            let [_, _, last] = order.map(|url| fails(&mut tries, code(url), url));
            assert_eq!(tries.end(last.1).kind(), Some(ErrorCode::NoLeader), "{order:?}");
        }
    }

    #[test]
    fn who_is_silent_is_named_beside_who_is_down() {
        let mut tries = Tries::new("try", Kind::Change);
        fails(&mut tries, ErrorCode::Unreachable, A);
        let late = tries.unanswered(B, Duration::from_secs(20));
        let told = tries.end(late);
        assert_eq!((told.kind(), told.outcome_unknown()), (Some(ErrorCode::TimedOut), true));
        assert_eq!(told.message(), "no answer within 20000 ms; and server https://a:1: Unreachable of https://a:1");
    }

    #[test]
    fn what_can_be_sent_but_once_is_not_sent_again_when_it_may_have_had_an_effect() {
        let mut tries = Tries::new("try", Kind::Once);
        let broken = tries.failed(error(ErrorCode::Unreachable, A), false);
        assert!(broken.outcome_unknown());
        assert_eq!(tries.next(A, &broken, 2), Next::End);
        assert!(tries.end(broken).outcome_unknown());
        let mut tries = Tries::new("try", Kind::Once);
        assert_eq!(fails(&mut tries, ErrorCode::Unreachable, A).0, Next::Another);
    }
}
