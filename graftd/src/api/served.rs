//! Which nodes some worker serves: for the warning about a node that none does.
//!
//! A start names nodes; a typing error in one would leave the workflow waiting for ever, and silently. So every node of a start is looked
//! up among the sessions, and what is missing is said, with the nearest name. What was found is remembered for a moment, so that a start
//! of a node that is served does not scan the sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use graft_machine::state::StateRead;
use graft_machine::view;

use graft_proto::errors::{nearest, quoted};

/// How long a node that was served counts as served, in milliseconds.
const REMEMBERED_MS: u64 = 5_000;
/// How long a node that was not served counts as that, in milliseconds: so many starts of it do not each scan all sessions.
const MISSED_MS: u64 = 200;
/// Sessions that are read at once.
const SESSIONS_STEP: usize = 256;
/// Most warnings of one start.
const WARNINGS_MAX: usize = 16;

type Nodes = BTreeMap<String, BTreeSet<String>>;

/// What was served when it was last looked at: nodes by namespace.
#[derive(Debug, Default)]
pub struct ServedNodes {
    seen: Mutex<(u64, Nodes)>,
}

impl ServedNodes {
    /// Warnings for the nodes that no worker serves. `now` on the monotonic clock, in milliseconds.
    pub fn warnings<'a, S: StateRead>(
        &self,
        state: impl FnOnce() -> S,
        namespace: &str,
        nodes: impl Iterator<Item = &'a str>,
        now: u64,
    ) -> Vec<String> {
        let wanted: BTreeSet<&str> = nodes.collect();
        let mut seen = self.seen.lock().expect("nothing panics while it holds this lock");
        let known = |seen: &Nodes| wanted.iter().all(|node| seen.get(namespace).is_some_and(|served| served.contains(*node)));
        let age = now.saturating_sub(seen.0);
        if age < REMEMBERED_MS && known(&seen.1) {
            return Vec::new();
        }
        if age >= MISSED_MS || seen.1.is_empty() {
            *seen = (now, served(&state()));
        }
        let none = BTreeSet::new();
        let served = seen.1.get(namespace).unwrap_or(&none);
        wanted.into_iter().filter(|node| !served.contains(*node)).take(WARNINGS_MAX).map(|node| warning(node, namespace, served)).collect()
    }
}

fn served(state: &impl StateRead) -> Nodes {
    let mut nodes = Nodes::new();
    let mut after: Option<String> = None;
    loop {
        let sessions = view::sessions(state, after.as_deref(), SESSIONS_STEP);
        for session in &sessions {
            let served = nodes.entry(session.namespace.clone()).or_default();
            served.extend(session.nodes.iter().map(|node| node.node.clone()));
        }
        match sessions.last() {
            Some(last) if sessions.len() == SESSIONS_STEP => after = Some(last.incarnation.clone()),
            _ => return nodes,
        }
    }
}

fn warning(node: &str, namespace: &str, served: &BTreeSet<String>) -> String {
    let nearest = nearest(node, served.iter().map(String::as_str));
    let (node, namespace) = (quoted(node), quoted(namespace));
    match nearest {
        Some(name) => {
            format!("no worker serves node {node} in namespace {namespace} now; the nearest name that one serves is {}", quoted(name))
        }
        None if served.is_empty() => format!("no worker serves node {node} now: none is connected in namespace {namespace}"),
        None => format!("no worker serves node {node} in namespace {namespace} now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_machine::memory::Memory;
    use graft_machine::session::{Session, SessionNode};
    use graft_machine::state::StateTx;
    use graft_machine::tables::{SessionKey, Sessions};

    fn state() -> Memory {
        let mut state = Memory::new();
        for n in 0..600 {
            let node = if n == 599 { "ingest".to_owned() } else { format!("bulk-{n}") };
            let nodes = vec![SessionNode { node, capacity: 1, limit: 0 }];
            state.put::<Sessions>(
                SessionKey { incarnation: format!("{n:04}") },
                Session { incarnation: format!("{n:04}"), namespace: "default".into(), nodes, ..Session::default() },
            );
        }
        state
    }

    #[test]
    fn a_node_that_is_served_is_not_warned_about_and_not_looked_up_again() {
        let served = ServedNodes::default();
        assert!(served.warnings(state, "default", ["ingest"].into_iter(), 10_000).is_empty());
        let again = served.warnings(|| -> Memory { panic!("looked up again") }, "default", ["ingest"].into_iter(), 10_001);
        assert!(again.is_empty());
        assert_eq!(served.warnings(Memory::new, "default", ["ingest"].into_iter(), 16_000).len(), 1, "forgotten after a while");
    }

    #[test]
    fn many_starts_of_a_node_that_nobody_serves_look_it_up_now_and_then_only() {
        let served = ServedNodes::default();
        assert_eq!(served.warnings(state, "default", ["absent"].into_iter(), 10_000).len(), 1);
        let again = served.warnings(|| -> Memory { panic!("looked up again") }, "default", ["absent"].into_iter(), 10_100);
        assert_eq!(again.len(), 1);
        assert_eq!(served.warnings(state, "default", ["ingest"].into_iter(), 10_200), [""; 0]);
    }

    #[test]
    fn a_typing_error_is_answered_with_the_nearest_name() {
        let warnings = ServedNodes::default().warnings(state, "default", ["ingets", "something-else"].into_iter(), 0);
        assert_eq!(
            warnings,
            [
                "no worker serves node \"ingets\" in namespace \"default\" now; the nearest name that one serves is \"ingest\"",
                "no worker serves node \"something-else\" in namespace \"default\" now",
            ]
        );
    }

    #[test]
    fn without_any_worker_the_warning_says_so() {
        let warnings = ServedNodes::default().warnings(state, "empty", ["ingest"].into_iter(), 0);
        assert_eq!(warnings, ["no worker serves node \"ingest\" now: none is connected in namespace \"empty\""]);
    }
}
