//! openraft's values as bytes: in the log, in the state's mark, and between members.
//!
//! The messages are our own, with explicit tags that are never reused, so that an upgrade of openraft changes neither a file nor the wire.
//! What does not decode was written by something else, or damaged: the reader stops, with the name of what it read.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use prost::{Message, Oneof};

use super::member::MemberInfo;
use super::types::{Entry, EntryBytes, LogId, Membership, SnapshotMeta, StoredMembership, Types, Vote, position};

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {what}: {why}; it is damaged, or a newer version wrote it")]
pub struct CodecError {
    what: &'static str,
    why: String,
}

impl CodecError {
    fn new(what: &'static str, why: impl ToString) -> Self {
        Self { what, why: why.to_string() }
    }
}

impl From<CodecError> for std::io::Error {
    fn from(error: CodecError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// A value with a stable form in bytes.
pub trait Wire: Sized {
    /// Its form.
    type Form: Message + Default;
    /// What it is called in an error.
    const NAME: &'static str;
    /// Into the form.
    fn to_form(&self) -> Self::Form;
    /// Out of the form; the error says what is missing.
    fn from_form(form: Self::Form) -> Result<Self, CodecError>;

    /// Into bytes.
    fn encode(&self) -> Bytes {
        self.to_form().encode_to_vec().into()
    }
    /// Out of bytes; payloads share the buffer.
    fn decode(bytes: Bytes) -> Result<Self, CodecError> {
        Self::from_form(Self::Form::decode(bytes).map_err(|error| CodecError::new(Self::NAME, error))?)
    }
}

fn need<T>(what: &'static str, field: Option<T>) -> Result<T, CodecError> {
    field.ok_or_else(|| CodecError::new(what, "a part is missing"))
}

fn optional<W: Wire>(form: Option<W::Form>) -> Result<Option<W>, CodecError> {
    form.map(W::from_form).transpose()
}

/// A log id: the term stands for the leader. The position counts from 1, so that the very first log id is not the empty message, which
/// would read as "none".
#[derive(Clone, Copy, PartialEq, Message)]
pub struct LogIdForm {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    position: u64,
}

impl Wire for LogId {
    type Form = LogIdForm;
    const NAME: &'static str = "a log id";
    fn to_form(&self) -> LogIdForm {
        LogIdForm { term: self.leader_id.term, position: position(self) }
    }
    fn from_form(form: LogIdForm) -> Result<Self, CodecError> {
        let index = need(Self::NAME, form.position.checked_sub(1))?;
        Ok(LogId::new_term_index(form.term, index))
    }
}

/// A vote.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct VoteForm {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    voted_for: u64,
    #[prost(bool, tag = "3")]
    committed: bool,
}

impl Wire for Vote {
    type Form = VoteForm;
    const NAME: &'static str = "a vote";
    fn to_form(&self) -> VoteForm {
        VoteForm { term: self.leader_id.term, voted_for: self.leader_id.voted_for, committed: self.committed }
    }
    fn from_form(form: VoteForm) -> Result<Self, CodecError> {
        Ok(if form.committed { Vote::new_committed(form.term, form.voted_for) } else { Vote::new(form.term, form.voted_for) })
    }
}

/// A member under its id.
#[derive(Clone, PartialEq, Message)]
pub struct NodeForm {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    raft_id: u64,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    peer_address: String,
    #[prost(string, tag = "5")]
    client_address: String,
}

/// One set of voters; two of them while a change is under way.
#[derive(Clone, PartialEq, Message)]
pub struct VotersForm {
    #[prost(uint64, repeated, tag = "1")]
    ids: Vec<u64>,
}

/// A membership.
#[derive(Clone, PartialEq, Message)]
pub struct MembershipForm {
    #[prost(message, repeated, tag = "1")]
    configs: Vec<VotersForm>,
    #[prost(message, repeated, tag = "2")]
    nodes: Vec<NodeForm>,
}

impl Wire for Membership {
    type Form = MembershipForm;
    const NAME: &'static str = "a membership";
    fn to_form(&self) -> MembershipForm {
        let node = |(id, info): (&u64, &MemberInfo)| NodeForm {
            id: *id,
            raft_id: info.raft_id,
            name: info.name.clone(),
            peer_address: info.peer_address.clone(),
            client_address: info.client_address.clone(),
        };
        let voters = |config: &BTreeSet<u64>| VotersForm { ids: config.iter().copied().collect() };
        MembershipForm { configs: self.get_joint_config().iter().map(voters).collect(), nodes: self.nodes().map(node).collect() }
    }
    fn from_form(form: MembershipForm) -> Result<Self, CodecError> {
        let node = |node: NodeForm| {
            let NodeForm { id, raft_id, name, peer_address, client_address } = node;
            (id, MemberInfo { raft_id, name, peer_address, client_address })
        };
        let configs = form.configs.into_iter().map(|config| config.ids.into_iter().collect()).collect();
        let nodes: BTreeMap<u64, MemberInfo> = form.nodes.into_iter().map(node).collect();
        Membership::new(configs, nodes).map_err(|error| CodecError::new(Self::NAME, error))
    }
}

/// A membership and where it stands in the log.
#[derive(Clone, PartialEq, Message)]
pub struct StoredMembershipForm {
    #[prost(message, optional, tag = "1")]
    log_id: Option<LogIdForm>,
    #[prost(message, optional, tag = "2")]
    membership: Option<MembershipForm>,
}

impl Wire for StoredMembership {
    type Form = StoredMembershipForm;
    const NAME: &'static str = "a stored membership";
    fn to_form(&self) -> StoredMembershipForm {
        StoredMembershipForm { log_id: self.log_id().map(|id| id.to_form()), membership: Some(self.membership().to_form()) }
    }
    fn from_form(form: StoredMembershipForm) -> Result<Self, CodecError> {
        let membership = optional::<Membership>(form.membership)?.unwrap_or_default();
        Ok(StoredMembership::new(optional(form.log_id)?, membership))
    }
}

/// A log entry.
#[derive(Clone, PartialEq, Message)]
pub struct EntryForm {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    index: u64,
    #[prost(oneof = "PayloadForm", tags = "3, 4, 5")]
    payload: Option<PayloadForm>,
}

/// What a log entry carries.
#[derive(Clone, PartialEq, Oneof)]
pub enum PayloadForm {
    /// Nothing: the first entry of a leader.
    #[prost(bool, tag = "3")]
    Blank(bool),
    /// Commands.
    #[prost(bytes = "bytes", tag = "4")]
    Commands(Bytes),
    /// A membership.
    #[prost(message, tag = "5")]
    Membership(MembershipForm),
}

impl Wire for Entry {
    type Form = EntryForm;
    const NAME: &'static str = "a log entry";
    fn to_form(&self) -> EntryForm {
        let payload = match &self.payload {
            EntryPayload::Blank => PayloadForm::Blank(true),
            EntryPayload::Normal(commands) => PayloadForm::Commands(commands.0.clone()),
            EntryPayload::Membership(membership) => PayloadForm::Membership(membership.to_form()),
        };
        EntryForm { term: self.log_id.leader_id.term, index: self.log_id.index, payload: Some(payload) }
    }
    fn from_form(form: EntryForm) -> Result<Self, CodecError> {
        let payload = match need(Self::NAME, form.payload)? {
            PayloadForm::Blank(_) => EntryPayload::Blank,
            PayloadForm::Commands(bytes) => EntryPayload::Normal(EntryBytes(bytes)),
            PayloadForm::Membership(membership) => EntryPayload::Membership(Membership::from_form(membership)?),
        };
        Ok(Entry { log_id: LogId::new_term_index(form.term, form.index), payload })
    }
}

/// A request to append entries.
#[derive(Clone, PartialEq, Message)]
pub struct AppendForm {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteForm>,
    #[prost(message, optional, tag = "2")]
    previous: Option<LogIdForm>,
    #[prost(message, optional, tag = "3")]
    committed: Option<LogIdForm>,
    #[prost(message, repeated, tag = "4")]
    entries: Vec<EntryForm>,
}

impl Wire for AppendEntriesRequest<Types> {
    type Form = AppendForm;
    const NAME: &'static str = "a request to append";
    fn to_form(&self) -> AppendForm {
        AppendForm {
            vote: Some(self.vote.to_form()),
            previous: self.prev_log_id.map(|id| id.to_form()),
            committed: self.leader_commit.map(|id| id.to_form()),
            entries: self.entries.iter().map(Wire::to_form).collect(),
        }
    }
    fn from_form(form: AppendForm) -> Result<Self, CodecError> {
        Ok(Self {
            vote: Vote::from_form(need(Self::NAME, form.vote)?)?,
            prev_log_id: optional(form.previous)?,
            leader_commit: optional(form.committed)?,
            entries: form.entries.into_iter().map(Entry::from_form).collect::<Result<_, _>>()?,
        })
    }
}

/// The answer to a request to append.
#[derive(Clone, PartialEq, Message)]
pub struct AppendedForm {
    #[prost(oneof = "AppendedKind", tags = "1, 2, 3, 4")]
    kind: Option<AppendedKind>,
}

/// See [`AppendedForm`].
#[derive(Clone, Copy, PartialEq, Oneof)]
pub enum AppendedKind {
    /// Matches up to here.
    #[prost(message, tag = "1")]
    Matching(LogIdForm),
    /// Matches, and is empty.
    #[prost(bool, tag = "2")]
    MatchingEmpty(bool),
    /// Differs at this entry.
    #[prost(message, tag = "3")]
    Conflict(LogIdForm),
    /// A higher vote was seen.
    #[prost(message, tag = "4")]
    HigherVote(VoteForm),
}

impl Wire for StreamAppendResult<Types> {
    type Form = AppendedForm;
    const NAME: &'static str = "an answer to append";
    fn to_form(&self) -> AppendedForm {
        AppendedForm {
            kind: Some(match self {
                Ok(Some(log_id)) => AppendedKind::Matching(log_id.to_form()),
                Ok(None) => AppendedKind::MatchingEmpty(true),
                Err(StreamAppendError::Conflict(log_id)) => AppendedKind::Conflict(log_id.to_form()),
                Err(StreamAppendError::HigherVote(vote)) => AppendedKind::HigherVote(vote.to_form()),
            }),
        }
    }
    fn from_form(form: AppendedForm) -> Result<Self, CodecError> {
        Ok(match need(Self::NAME, form.kind)? {
            AppendedKind::Matching(log_id) => Ok(Some(LogId::from_form(log_id)?)),
            AppendedKind::MatchingEmpty(_) => Ok(None),
            AppendedKind::Conflict(log_id) => Err(StreamAppendError::Conflict(LogId::from_form(log_id)?)),
            AppendedKind::HigherVote(vote) => Err(StreamAppendError::HigherVote(Vote::from_form(vote)?)),
        })
    }
}

/// A request for a vote or a pre-vote.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct VoteRequestForm {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteForm>,
    #[prost(message, optional, tag = "2")]
    last: Option<LogIdForm>,
    #[prost(bool, tag = "3")]
    leadership_transfer: bool,
}

impl Wire for VoteRequest<Types> {
    type Form = VoteRequestForm;
    const NAME: &'static str = "a request for a vote";
    fn to_form(&self) -> VoteRequestForm {
        let last = self.last_log_id.map(|id| id.to_form());
        VoteRequestForm { vote: Some(self.vote.to_form()), last, leadership_transfer: self.leadership_transfer }
    }
    fn from_form(form: VoteRequestForm) -> Result<Self, CodecError> {
        let mut request = Self::new(Vote::from_form(need(Self::NAME, form.vote)?)?, optional(form.last)?);
        request.leadership_transfer = form.leadership_transfer;
        Ok(request)
    }
}

/// The answer to a request for a vote.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct VoteResponseForm {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteForm>,
    #[prost(bool, tag = "2")]
    granted: bool,
    #[prost(message, optional, tag = "3")]
    last: Option<LogIdForm>,
}

impl Wire for VoteResponse<Types> {
    type Form = VoteResponseForm;
    const NAME: &'static str = "an answer to a vote";
    fn to_form(&self) -> VoteResponseForm {
        let last = self.last_log_id.map(|id| id.to_form());
        VoteResponseForm { vote: Some(self.vote.to_form()), granted: self.vote_granted, last }
    }
    fn from_form(form: VoteResponseForm) -> Result<Self, CodecError> {
        let vote = Vote::from_form(need(Self::NAME, form.vote)?)?;
        Ok(Self { vote, vote_granted: form.granted, last_log_id: optional(form.last)? })
    }
}

/// The leader hands over.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct TransferForm {
    #[prost(message, optional, tag = "1")]
    from: Option<VoteForm>,
    #[prost(uint64, tag = "2")]
    to: u64,
    #[prost(message, optional, tag = "3")]
    last: Option<LogIdForm>,
}

impl Wire for TransferLeaderRequest<Types> {
    type Form = TransferForm;
    const NAME: &'static str = "a transfer of leadership";
    fn to_form(&self) -> TransferForm {
        let last = self.last_log_id().map(|id| id.to_form());
        TransferForm { from: Some(self.from_leader().to_form()), to: *self.to_node_id(), last }
    }
    fn from_form(form: TransferForm) -> Result<Self, CodecError> {
        Ok(Self::new(Vote::from_form(need(Self::NAME, form.from)?)?, form.to, optional(form.last)?))
    }
}

/// The answer to a transfer.
#[derive(Clone, PartialEq, Message)]
pub struct TransferredForm {
    #[prost(oneof = "TransferredKind", tags = "1, 2, 3")]
    kind: Option<TransferredKind>,
}

/// See [`TransferredForm`].
#[derive(Clone, Copy, PartialEq, Oneof)]
pub enum TransferredKind {
    /// It was taken over.
    #[prost(bool, tag = "1")]
    Accepted(bool),
    /// The vote had changed.
    #[prost(message, tag = "2")]
    VoteChanged(VotesForm),
    /// The log was not yet there.
    #[prost(message, tag = "3")]
    LogNotFlushed(LogIdsForm),
}

/// Two votes.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct VotesForm {
    #[prost(message, optional, tag = "1")]
    expected: Option<VoteForm>,
    #[prost(message, optional, tag = "2")]
    actual: Option<VoteForm>,
}

/// Two log ids.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct LogIdsForm {
    #[prost(message, optional, tag = "1")]
    expected: Option<LogIdForm>,
    #[prost(message, optional, tag = "2")]
    actual: Option<LogIdForm>,
}

impl Wire for TransferLeaderResponse<Types> {
    type Form = TransferredForm;
    const NAME: &'static str = "an answer to a transfer";
    fn to_form(&self) -> TransferredForm {
        TransferredForm {
            kind: Some(match self {
                Ok(()) => TransferredKind::Accepted(true),
                Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                    TransferredKind::VoteChanged(VotesForm { expected: Some(expected.to_form()), actual: Some(actual.to_form()) })
                }
                Err(TransferLeaderError::LogNotFlushed { expected, actual }) => TransferredKind::LogNotFlushed(LogIdsForm {
                    expected: expected.map(|id| id.to_form()),
                    actual: actual.map(|id| id.to_form()),
                }),
            }),
        }
    }
    fn from_form(form: TransferredForm) -> Result<Self, CodecError> {
        let vote = |form| Vote::from_form(need(Self::NAME, form)?);
        Ok(match need(Self::NAME, form.kind)? {
            TransferredKind::Accepted(_) => Ok(()),
            TransferredKind::VoteChanged(votes) => {
                Err(TransferLeaderError::VoteChanged { expected: vote(votes.expected)?, actual: vote(votes.actual)? })
            }
            TransferredKind::LogNotFlushed(ids) => {
                Err(TransferLeaderError::LogNotFlushed { expected: optional(ids.expected)?, actual: optional(ids.actual)? })
            }
        })
    }
}

/// The head of a snapshot: whose it is, and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotHead {
    /// The leader's vote.
    pub vote: Vote,
    /// What it holds.
    pub meta: SnapshotMeta,
}

/// See [`SnapshotHead`].
#[derive(Clone, PartialEq, Message)]
pub struct SnapshotHeadForm {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteForm>,
    #[prost(message, optional, tag = "2")]
    last: Option<LogIdForm>,
    #[prost(message, optional, tag = "3")]
    membership: Option<StoredMembershipForm>,
}

impl Wire for SnapshotHead {
    type Form = SnapshotHeadForm;
    const NAME: &'static str = "the head of a snapshot";
    fn to_form(&self) -> SnapshotHeadForm {
        SnapshotHeadForm {
            vote: Some(self.vote.to_form()),
            last: self.meta.last_log_id.map(|id| id.to_form()),
            membership: Some(self.meta.last_membership.to_form()),
        }
    }
    fn from_form(form: SnapshotHeadForm) -> Result<Self, CodecError> {
        let last_membership = StoredMembership::from_form(need(Self::NAME, form.membership)?)?;
        let meta = SnapshotMeta { last_log_id: optional(form.last)?, last_membership };
        Ok(Self { vote: Vote::from_form(need(Self::NAME, form.vote)?)?, meta })
    }
}

impl Wire for SnapshotResponse<Types> {
    type Form = VoteForm;
    const NAME: &'static str = "an answer to a snapshot";
    fn to_form(&self) -> VoteForm {
        self.vote.to_form()
    }
    fn from_form(form: VoteForm) -> Result<Self, CodecError> {
        Ok(Self::new(Vote::from_form(form)?))
    }
}

/// Decodes a value that may be absent: no bytes mean none.
pub fn decode_optional<W: Wire>(bytes: &Bytes) -> Result<Option<W>, CodecError> {
    if bytes.is_empty() { Ok(None) } else { W::decode(bytes.clone()).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round<W: Wire + PartialEq + std::fmt::Debug>(value: W) {
        assert_eq!(W::decode(value.encode()).expect("what was encoded decodes"), value);
    }

    fn member(raft_id: u64) -> MemberInfo {
        MemberInfo { raft_id, name: format!("m{raft_id}"), peer_address: "h:1".into(), client_address: "h:2".into() }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let log_id = LogId::new_term_index(3, 7);
        let nodes: BTreeMap<u64, MemberInfo> = (1..=3).map(|id| (id, member(id))).collect();
        let joint = Membership::new(vec![[1, 2].into(), [1, 2, 3].into()], nodes).expect("valid");
        round(log_id);
        round(Vote::new(4, 2));
        round(Vote::new_committed(4, 2));
        round(joint.clone());
        round(StoredMembership::default());
        round(StoredMembership::new(Some(log_id), joint.clone()));
        let payloads =
            [EntryPayload::Blank, EntryPayload::Normal(EntryBytes(Bytes::from_static(b"x"))), EntryPayload::Membership(joint.clone())];
        for payload in payloads {
            round(Entry { log_id, payload });
        }
        round::<StreamAppendResult<Types>>(Ok(None));
        round::<StreamAppendResult<Types>>(Ok(Some(log_id)));
        round::<StreamAppendResult<Types>>(Err(StreamAppendError::Conflict(log_id)));
        round::<StreamAppendResult<Types>>(Err(StreamAppendError::HigherVote(Vote::new(9, 1))));
        round(VoteRequest::<Types>::new(Vote::new(1, 1), Some(log_id)));
        round(VoteResponse::<Types>::new(Vote::new(1, 1), None, true));
        round(TransferLeaderRequest::<Types>::new(Vote::new(1, 1), 2, Some(log_id)));
        round::<TransferLeaderResponse<Types>>(Ok(()));
        round::<TransferLeaderResponse<Types>>(Err(TransferLeaderError::LogNotFlushed { expected: Some(log_id), actual: None }));
        let meta = SnapshotMeta { last_log_id: Some(log_id), last_membership: StoredMembership::new(Some(log_id), joint) };
        round(SnapshotHead { vote: Vote::new_committed(1, 1), meta });
    }

    #[test]
    fn the_first_log_id_is_not_taken_for_none() {
        let first = LogId::new_term_index(0, 0);
        assert_eq!(decode_optional(&first.encode()), Ok(Some(first)));
    }

    #[test]
    fn an_entry_of_an_unknown_kind_is_an_error_not_a_blank() {
        let strange = EntryForm { term: 1, index: 1, payload: None }.encode_to_vec();
        let error = Entry::decode(strange.into()).expect_err("no payload that is known");
        assert!(error.to_string().contains("a log entry"), "{error}");
    }

    #[test]
    fn the_form_of_an_entry_on_disk_stays() {
        let entry = Entry { log_id: LogId::new_term_index(3, 7), payload: EntryPayload::Normal(EntryBytes(Bytes::from_static(b"ab"))) };
        assert_eq!(entry.encode().as_ref(), [8, 3, 16, 7, 34, 2, b'a', b'b']);
    }
}
