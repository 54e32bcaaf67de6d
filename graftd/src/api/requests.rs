//! What every request brings: who asks, and how it can be repeated safely.

use std::collections::HashMap;

use graft_machine::command::{Command, Envelope};
use graft_machine::ids::Run;
use graft_machine::limits::NOT_AFTER_AHEAD_MAX;
use graft_machine::names::check_name;
use graft_machine::reply::{Done, Reply};
use graft_machine::state::StateRead;
use graft_machine::view;
use graft_machine::workflow::Workflow;
use graft_proto::v1;
use prost::Message;
use std::sync::Arc;
use tonic::metadata::MetadataMap;
use uuid::Uuid;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::Shared;
use crate::consensus::{Latest, Leadership, ProposeError};
use graft_convert::{names, rejections};
use graft_proto::errors::{ErrorCode, Fault};

/// Metadata in which a client gives its name, for the history. It proves nothing, unless the client has shown a certificate: then this is its name.
pub const CLIENT_METADATA: &str = "graft-client";
/// Metadata (and the header of HTTP) in which a client gives its span: W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";
/// How much earlier than allowed a default not-after lies, so that a follower's estimate of the machine's time may differ from the leader's,
/// in milliseconds.
pub const NOT_AFTER_MARGIN: u64 = 60_000;
/// How long a repeat under the same request id is answered with the first answer, if its client leaves the not-after to the server, in
/// milliseconds. After that it is a new request.
pub const REPEAT_WINDOW_MS: u64 = NOT_AFTER_AHEAD_MAX - NOT_AFTER_MARGIN;

/// Who asks: `client:NAME`, or `client:anonymous` if the request gives no good name.
pub fn principal(metadata: &MetadataMap) -> String {
    match metadata.get(CLIENT_METADATA).and_then(|name| name.to_str().ok()).filter(|name| check_name(name).is_ok()) {
        Some(name) => format!("client:{name}"),
        None => "client:anonymous".to_owned(),
    }
}

/// Who starts workflows, and from within which span.
#[derive(Clone, Debug)]
pub struct Starter {
    /// Who asks, as [`principal`] has it.
    pub principal: String,
    /// What the request has as its `traceparent`, well formed or not; empty: nothing.
    pub traceparent: String,
}

impl Starter {
    /// Who has sent a request with this metadata. Of several `traceparent`s none counts, and they make a malformed one together.
    pub fn of(metadata: &MetadataMap) -> Self {
        let all = metadata.get_all(TRACEPARENT).iter().filter_map(|value| value.to_str().ok());
        Self { principal: principal(metadata), traceparent: all.collect::<Vec<_>>().join(", ") }
    }
}

/// What identifies a request that changes something.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Who asks.
    pub principal: String,
    /// Names the request.
    pub request_id: String,
    /// What it says, hashed.
    pub payload_hash: u64,
    /// When it can no longer take effect.
    pub not_after: u64,
}

impl Identity {
    /// Checks what the client gave, and makes what it left out. `now` is the machine's time: it is what judges the not-after, whatever
    /// this member's wall clock says.
    pub fn of(principal: String, meta: Option<v1::RequestMeta>, payload_hash: u64, now: u64) -> Result<Self, Fault> {
        let meta = meta.unwrap_or_default();
        let request_id = match meta.request_id {
            id if id.is_empty() => Uuid::new_v4().to_string(),
            id => names::id("request id", id)?,
        };
        let not_after = if meta.not_after_ms == 0 { now + REPEAT_WINDOW_MS } else { meta.not_after_ms };
        Ok(Self { principal, request_id, payload_hash, not_after })
    }

    /// The identity of a part of the request, which repeats when the request does.
    pub fn of_part(&self, part: &str) -> Self {
        Self { request_id: part_of(&self.request_id, part), ..self.clone() }
    }

    /// The command under this identity.
    pub fn envelope(self, command: Command) -> Envelope {
        Envelope {
            principal: self.principal,
            request_id: self.request_id,
            payload_hash: self.payload_hash,
            not_after: self.not_after,
            command: Some(command),
        }
    }
}

/// The request id of a part of a request: the same when the request is repeated.
pub fn part_of(request_id: &str, part: &str) -> String {
    let hash = xxh3_128(format!("{request_id}\0{part}").as_bytes());
    uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid().to_string()
}

/// The hash of a request as its client sent it, without its `meta` and with its map in order: the same for every repetition.
pub fn payload_hash(verb: &str, request: &impl Message, labels: &HashMap<String, String>) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(verb.as_bytes());
    hasher.update(&request.encode_to_vec());
    let mut labels: Vec<_> = labels.iter().collect();
    labels.sort();
    for (key, value) in labels {
        for part in [key, value] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.digest()
}

/// The id of a workflow whose client has chosen none: the same again for the same request id, so that a repetition finds the first answer.
pub fn made_workflow_id(namespace: &str, request_id: &str) -> String {
    if request_id.is_empty() {
        return Uuid::new_v4().to_string();
    }
    let hash = xxh3_128(format!("{namespace}\0{request_id}").as_bytes());
    uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid().to_string()
}

/// One run of a workflow, named as clients do.
#[derive(Clone, Debug)]
pub struct Target {
    /// Namespace.
    pub namespace: String,
    /// Id.
    pub id: String,
    /// 0 = the current run.
    pub run: Run,
}

impl Target {
    /// Checks the names.
    pub fn new(namespace: String, id: String, run: Run) -> Result<Self, Fault> {
        Ok(Self { namespace: names::namespace(namespace)?, id: names::workflow_id(id)?, run })
    }

    /// The workflow, if it is there.
    pub fn find(&self, state: &impl StateRead) -> Result<Arc<Workflow>, Fault> {
        view::find(state, &self.namespace, &self.id, self.run).ok_or_else(|| self.not_found())
    }

    /// What to say if it is not there.
    pub fn not_found(&self) -> Fault {
        Fault::new(ErrorCode::WorkflowNotFound, names::workflow_object(&self.namespace, &self.id, self.run), "does not exist")
    }
}

impl Shared {
    /// Waits until reads here are as fresh as asked.
    pub(crate) async fn fresh(&self, consistency: i32) -> Result<(), Fault> {
        match v1::Consistency::try_from(consistency) {
            Ok(v1::Consistency::Stale) => Ok(()),
            Ok(v1::Consistency::Unspecified | v1::Consistency::Linearizable) => self.linearizable().await,
            Err(_) => Err(Fault::invalid("consistency", format!("is {consistency}, which this version does not know"))),
        }
    }

    /// Waits until reads here see everything that was acknowledged before.
    pub(crate) async fn linearizable(&self) -> Result<(), Fault> {
        match self.api.consensus.read_barrier().await {
            Ok(_) => Ok(()),
            // A read changes nothing, so nothing about it can be unknown.
            Err(ProposeError::Unknown { reason }) => Err(self.pointed_at_leader(ProposeError::Unavailable { reason })),
            Err(error) => Err(self.pointed_at_leader(error)),
        }
    }

    /// The newest state here: for a few records.
    pub(crate) fn latest(&self) -> Latest<'_> {
        self.api.consensus.latest()
    }

    /// Proposes a command, and waits for the machine's answer. What it refuses is a fault like any other.
    pub(crate) async fn ask(&self, identity: Identity, command: Command) -> Result<Reply, Fault> {
        let answer = self.api.consensus.propose(identity.envelope(command)).await;
        answer.map_err(|error| self.pointed_at_leader(error))?.map_err(rejections::fault)
    }

    /// Proposes a command whose answer is only that it is done.
    pub(crate) async fn done(&self, verb: &str, identity: Identity, command: Command) -> Result<Done, Fault> {
        match self.ask(identity, command).await? {
            Reply::Done(done) => Ok(done),
            other => Err(Fault::new(ErrorCode::Internal, format!("a {verb}"), format!("was answered with {other:?}"))),
        }
    }

    /// An error of consensus, with the leader's address where it may help.
    pub(crate) fn pointed_at_leader(&self, error: ProposeError) -> Fault {
        let mut error = Fault::from(error);
        if error.code == ErrorCode::NoLeader
            && let Leadership::Follower { leader: Some(leader), .. } = &*self.api.consensus.leadership().borrow()
        {
            error.leader_address = self.api.info.urls().of(&leader.client_address);
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_machine::memory::Memory;
    use graft_machine::state::StateTx;
    use graft_machine::tables::{NameKey, NameRecord, Names, RunKey, Workflows};
    use graft_machine::trace::TraceParent;

    #[test]
    fn a_name_in_the_metadata_is_taken_if_it_is_one() {
        let mut metadata = MetadataMap::new();
        assert_eq!(principal(&metadata), "client:anonymous");
        metadata.insert(CLIENT_METADATA, "billing".parse().expect("ascii"));
        assert_eq!(principal(&metadata), "client:billing");
        metadata.insert(CLIENT_METADATA, "not a name".parse().expect("ascii"));
        assert_eq!(principal(&metadata), "client:anonymous");
    }

    #[test]
    fn one_traceparent_counts_and_several_are_none() {
        let mut metadata = MetadataMap::new();
        assert_eq!(Starter::of(&metadata).traceparent, "");
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        metadata.append(TRACEPARENT, good.parse().expect("ascii"));
        assert_eq!(Starter::of(&metadata).traceparent, good);
        metadata.append(TRACEPARENT, good.parse().expect("ascii"));
        assert_eq!(TraceParent::parse(&Starter::of(&metadata).traceparent), None);
    }

    #[test]
    fn what_a_request_leaves_out_is_made() {
        let made = Identity::of("p".into(), None, 1, 1_000).expect("good");
        assert_eq!(made.not_after, 1_000 + 540_000);
        Uuid::parse_str(&made.request_id).expect("a uuid");
        let meta = v1::RequestMeta { request_id: "r-1".into(), not_after_ms: 5 };
        let given = Identity::of("p".into(), Some(meta), 1, 1_000).expect("good");
        assert_eq!((given.request_id.as_str(), given.not_after), ("r-1", 5));
        let bad = v1::RequestMeta { request_id: "r\n".into(), not_after_ms: 0 };
        Identity::of("p".into(), Some(bad), 1, 1_000).expect_err("a control character");
    }

    #[test]
    fn the_hash_depends_on_verb_content_and_labels_but_not_on_their_order() {
        let request = v1::ControlRequest { workflow_id: "a".into(), ..Default::default() };
        let other = v1::ControlRequest { workflow_id: "b".into(), ..Default::default() };
        let none = HashMap::new();
        assert_eq!(payload_hash("pause", &request, &none), payload_hash("pause", &request.clone(), &none));
        assert_ne!(payload_hash("pause", &request, &none), payload_hash("resume", &request, &none));
        assert_ne!(payload_hash("pause", &request, &none), payload_hash("pause", &other, &none));
        let labels: HashMap<_, _> = (0..20).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        let again: HashMap<_, _> = (0..20).rev().map(|n| (format!("k{n}"), "v".to_owned())).collect();
        assert_eq!(payload_hash("start", &request, &labels), payload_hash("start", &request, &again));
        assert_ne!(payload_hash("start", &request, &labels), payload_hash("start", &request, &none));
    }

    #[test]
    fn an_id_that_is_made_is_the_same_for_the_same_request() {
        assert_eq!(made_workflow_id("n", "r"), made_workflow_id("n", "r"));
        assert_ne!(made_workflow_id("n", "r"), made_workflow_id("m", "r"));
        assert_ne!(made_workflow_id("n", ""), made_workflow_id("n", ""));
        Uuid::parse_str(&made_workflow_id("n", "r")).expect("a uuid");
    }

    #[test]
    fn a_run_of_another_workflow_is_not_found() {
        let mut state = Memory::new();
        state.put::<Names>(NameKey { namespace: "default".into(), id: "a".into() }, NameRecord { run: 7 });
        state.put::<Workflows>(RunKey { run: 7 }, Workflow { namespace: "default".into(), id: "a".into(), run: 7, ..Default::default() });
        let target = |id: &str, run| Target::new(String::new(), id.into(), run).expect("good names");
        assert_eq!(target("a", 0).find(&state).expect("the current run").run, 7);
        assert_eq!(target("a", 7).find(&state).expect("that run").run, 7);
        for (id, run) in [("b", 0), ("b", 7), ("a", 6)] {
            assert_eq!(target(id, run).find(&state).expect_err("absent").code, ErrorCode::WorkflowNotFound);
        }
        assert!(target("a", 6).not_found().to_string().starts_with("run 6 of workflow \"a\" in namespace \"default\" does not exist"));
    }
}
