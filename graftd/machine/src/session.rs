//! Worker sessions and concurrency limits: what the whole cluster must agree on before it hands out work; and who may join it.

use bytes::Bytes;
use prost::Message;

use crate::time::Millis;

/// One worker process, as the cluster knows it. Committed before its first lease, dropped at a clean goodbye or when its lease time is over.
#[derive(Clone, PartialEq, Message)]
pub struct Session {
    /// UUID that the process made at its start, as text.
    #[prost(string, tag = "1")]
    pub incarnation: String,
    /// Name that people know the worker by.
    #[prost(string, tag = "2")]
    pub worker: String,
    /// The one namespace it works for.
    #[prost(string, tag = "3")]
    pub namespace: String,
    /// What it can execute.
    #[prost(message, repeated, tag = "4")]
    pub nodes: Vec<SessionNode>,
    /// What the process was built from, in its own words.
    #[prost(string, tag = "5")]
    pub build: String,
    /// Its attempt lease, in milliseconds: silent for so long, it has lost its attempts.
    #[prost(uint64, tag = "6")]
    pub lease_time: Millis,
    /// When it was opened.
    #[prost(uint64, tag = "7")]
    pub opened: Millis,
}

/// A node that a session serves.
#[derive(Clone, PartialEq, Message)]
pub struct SessionNode {
    /// Name of the node.
    #[prost(string, tag = "1")]
    pub node: String,
    /// Attempts that the process runs at once, at most.
    #[prost(uint32, tag = "2")]
    pub capacity: u32,
    /// Cluster-wide limit that the worker declares for the node; 0 = none. The smallest of all declarations and of the record wins.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
}

/// A limit on attempts held at once, of a node or in the whole cluster.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Limit {
    /// Most attempts held at once. 0 = no limit: one of the configuration that was taken away leaves this behind.
    #[prost(uint32, tag = "1")]
    pub max: u32,
    /// Whether the configuration has had its say. It has one once: what an operator sets or takes away later stands, whoever leads next.
    #[prost(bool, tag = "2")]
    pub configured: bool,
}

impl Limit {
    /// Set by request.
    pub const fn of(max: u32) -> Self {
        Self { max, configured: false }
    }

    /// Most attempts held at once; `None`: as many as there are.
    pub fn in_force(self) -> Option<u32> {
        (self.max > 0).then_some(self.max)
    }
}

/// A permission to join the cluster: a token, or the approval of a member.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct JoinGrant {
    /// Only the member of this name; empty = any.
    #[prost(string, tag = "1")]
    pub member: String,
    /// SHA-256 of the secret; empty = an approval.
    #[prost(bytes = "bytes", tag = "2")]
    pub secret_hash: Bytes,
    /// Of no use from this time on.
    #[prost(uint64, tag = "3")]
    pub expires: Millis,
    /// How many members may use it.
    #[prost(uint32, tag = "4")]
    pub uses: u32,
    /// Raft ids of those that have.
    #[prost(uint64, repeated, tag = "5")]
    pub used_by: Vec<u64>,
    /// When it was made.
    #[prost(uint64, tag = "6")]
    pub created: Millis,
    /// Who made it.
    #[prost(string, tag = "7")]
    pub principal: String,
}
