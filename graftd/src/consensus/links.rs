//! Connections to the other members, and what every call on them carries.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use graft_proto::errors::cut;
use graft_proto::peer::v1::PeerHeader;
use graft_proto::peer::v1::peer_service_client::PeerServiceClient;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::member::MemberInfo;
use crate::discovery::protocol::{PROTOCOL, speaks_with};
use crate::tls::members::{LinkOptions, PeerSecurity};

/// Largest message between members, in bytes: what is read of the log at once, and one entry more.
pub const PEER_MESSAGE_BYTES_MAX: usize = 16 << 20;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// An idle or stuck connection is probed so often, and given up after as long again.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// What may be under way on one stream and on one connection, in bytes.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Most kinds of refused calls that are told to the log in [`TOLD_EVERY`], each once.
const TOLD_MAX: usize = 256;
const TOLD_EVERY: Duration = Duration::from_secs(600);
/// What is said of those beyond.
const MORE: &str = "more calls between members are refused, each for another reason, than are told one by one";
/// Most bytes of what another member says in the log, and of the cluster's id that it claims.
const TOLD_BYTES_MAX: usize = 1_024;
const ID_BYTES_MAX: usize = 64;

pub(crate) type Client = PeerServiceClient<Channel>;

/// Who this member is to the others, and the connection for commands and reads to each of them. Replication, heartbeats and snapshots have
/// connections of their own, so that none waits behind another.
pub(crate) struct Links {
    me: u64,
    security: PeerSecurity,
    lineage: RwLock<(String, u64)>,
    /// Where the members are, as the membership has it: openraft asks for a connection once, and members move.
    addresses: RwLock<HashMap<u64, String>>,
    asking: Mutex<HashMap<u64, (String, Client)>>,
    /// What was said to the log of calls that were refused, and when.
    told: Mutex<HashMap<String, Instant>>,
}

impl Links {
    pub(crate) fn new(me: u64, security: PeerSecurity) -> Arc<Self> {
        Arc::new(Self {
            me,
            security,
            lineage: RwLock::default(),
            addresses: RwLock::default(),
            asking: Mutex::default(),
            told: Mutex::default(),
        })
    }

    pub(crate) fn me(&self) -> u64 {
        self.me
    }

    pub(crate) fn set_lineage(&self, cluster_id: String, epoch: u64) {
        *self.lineage.write().expect("no panic while the lineage is held") = (cluster_id, epoch);
    }

    /// The cluster's id and epoch; empty and 0 before there is one.
    pub(crate) fn lineage(&self) -> (String, u64) {
        self.lineage.read().expect("no panic while the lineage is held").clone()
    }

    pub(crate) fn header(&self, to: u64) -> PeerHeader {
        let (cluster_id, epoch) = self.lineage();
        PeerHeader { cluster_id, from: self.me, to, epoch, protocol: Some(PROTOCOL) }
    }

    /// The membership has changed: from now on, members are where it says.
    pub(crate) fn learn<'a>(&self, members: impl Iterator<Item = &'a MemberInfo>) {
        let addresses = members.map(|member| (member.raft_id, member.peer_address.clone())).collect();
        *self.addresses.write().expect("no panic while the addresses are held") = addresses;
    }

    /// Where a member is now, if that is somewhere else.
    pub(crate) fn moved(&self, raft_id: u64, from: &str) -> Option<String> {
        let addresses = self.addresses.read().expect("no panic while the addresses are held");
        addresses.get(&raft_id).filter(|address| *address != from).cloned()
    }

    /// Whether a call is meant for this member of this cluster. Whose cluster it is comes before who is meant: a member that a restore has left
    /// behind calls raft ids that are gone.
    pub(crate) fn admit(&self, header: Option<&PeerHeader>) -> Result<(), Status> {
        let Some(header) = header else {
            return Err(Status::invalid_argument("the call does not say who talks to whom"));
        };
        if let Err(why) = speaks_with(header.protocol) {
            return Err(self.refuse(header.from, format!("the caller cannot be understood: {why}")));
        }
        let (ours, epoch) = self.lineage();
        if !ours.is_empty() && ours != header.cluster_id {
            let theirs = if header.cluster_id.is_empty() { "none" } else { &cut(&header.cluster_id, ID_BYTES_MAX) };
            let why = format!("the caller belongs to cluster {theirs}, this member to {ours}: check peer addresses");
            return Err(self.refuse(header.from, why));
        }
        if !ours.is_empty() && epoch != header.epoch {
            let why = format!(
                "the caller belongs to epoch {} of cluster {ours}, this member to epoch {epoch}: the cluster was recovered by force, and who was left \
                 behind joins again with an empty data directory",
                header.epoch
            );
            return Err(self.refuse(header.from, why));
        }
        if header.to != self.me {
            let why = format!("raft id {} was meant, but {} listens here: check peer addresses", header.to, self.me);
            return Err(self.refuse(header.from, why));
        }
        Ok(())
    }

    /// A refusal of what this raft id asks, of which the log of this member is told, too.
    pub(crate) fn refuse(&self, from: u64, why: String) -> Status {
        self.tell_at_times(&format!("refusing what raft id {from} asks: {why}"));
        Status::failed_precondition(why)
    }

    /// A member has answered a call so. That it does not take this one for a member of its cluster is for whoever reads the log of this one.
    pub(crate) fn answered(&self, member: u64, status: &Status) {
        if status.code() == Code::FailedPrecondition {
            self.tell_at_times(&format!("raft id {member} refuses what this member asks: {}", cut(status.message(), TOLD_BYTES_MAX)));
        }
    }

    /// Into the log, if it was not said lately: it would be said again with every call.
    fn tell_at_times(&self, what: &str) {
        let now = Instant::now();
        let mut told = self.told.lock().expect("no panic while it is held");
        if told.get(what).is_some_and(|at| now.duration_since(*at) < TOLD_EVERY) {
            return;
        }
        told.retain(|_, at| now.duration_since(*at) < TOLD_EVERY);
        let what = if told.len() < TOLD_MAX { what } else { MORE };
        if !told.contains_key(what) {
            told.insert(what.to_owned(), now);
            tracing::warn!("{what}");
        }
    }

    /// The connection for commands and reads to a member; made at its first use, again when the address has changed.
    pub(crate) fn asking(&self, member: &MemberInfo) -> Result<Client, tonic::transport::Error> {
        let mut asking = self.asking.lock().expect("no panic while the connections are held");
        if let Some((address, client)) = asking.get(&member.raft_id)
            && *address == member.peer_address
        {
            return Ok(client.clone());
        }
        let client = self.connect(member)?;
        asking.insert(member.raft_id, (member.peer_address.clone(), client.clone()));
        Ok(client)
    }

    /// A connection to the member of this name, which is made when it is first used.
    pub(crate) fn dial(&self, name: &str, address: &str, options: LinkOptions) -> Result<Channel, tonic::transport::Error> {
        Ok(self.security.dial(address, Some(name), options)?.channel)
    }

    /// A client whose connection is made when it is first used, and again when it broke. Nobody but this member will do.
    pub(crate) fn connect(&self, member: &MemberInfo) -> Result<Client, tonic::transport::Error> {
        let options = LinkOptions {
            connect: CONNECT_TIMEOUT,
            request: None,
            keepalive: Some(KEEPALIVE),
            windows: Some((STREAM_WINDOW_BYTES, CONNECTION_WINDOW_BYTES)),
        };
        let client = PeerServiceClient::new(self.dial(&member.name, &member.peer_address, options)?);
        Ok(client.max_decoding_message_size(PEER_MESSAGE_BYTES_MAX).max_encoding_message_size(PEER_MESSAGE_BYTES_MAX))
    }
}

/// Whether a failed call surely never reached the other side.
pub fn never_sent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first letters of what a member says to a call of this cluster, epoch and raft id.
    fn said(links: &Links, cluster: &str, epoch: u64, to: u64) -> Option<String> {
        let header = PeerHeader { cluster_id: cluster.to_owned(), from: 7, to, epoch, protocol: Some(PROTOCOL) };
        links.admit(Some(&header)).err().map(|status| status.message().to_owned())
    }

    fn told(links: &Links) -> usize {
        links.told.lock().unwrap().len()
    }

    #[tokio::test(start_paused = true)]
    async fn who_calls_from_another_cluster_is_told_so_whomever_it_means_and_so_is_the_log_at_times() {
        let links = Links::new(1, PeerSecurity::Plain);
        links.set_lineage("c1".to_owned(), 2);
        assert_eq!(said(&links, "c1", 2, 1), None);
        assert_eq!(told(&links), 0);
        let foreign = said(&links, "c0", 1, 5).unwrap();
        assert!(foreign.starts_with("the caller belongs to cluster c0, this member to c1"), "{foreign}");
        let behind = said(&links, "c1", 1, 5).unwrap();
        assert!(behind.starts_with("the caller belongs to epoch 1 of cluster c1, this member to epoch 2"), "{behind}");
        let moved = said(&links, "c1", 2, 5).unwrap();
        assert!(moved.starts_with("raft id 5 was meant, but 1 listens here"), "{moved}");
        assert_eq!(told(&links), 3);
        said(&links, "c0", 1, 5);
        assert_eq!(told(&links), 3, "it was told");
        links.answered(2, &Status::failed_precondition("x".repeat(1 << 20)));
        links.answered(2, &Status::unavailable("it is away"));
        assert!(links.told.lock().unwrap().keys().all(|what| what.len() < 2 * TOLD_BYTES_MAX));
        for other in 0..TOLD_MAX {
            said(&links, &format!("other-{other}"), 1, 1);
        }
        assert_eq!(told(&links), TOLD_MAX + 1, "and that there are more");
        tokio::time::advance(TOLD_EVERY).await;
        said(&links, "c0", 1, 5);
        assert_eq!(told(&links), 1, "it is told again");
    }
}
