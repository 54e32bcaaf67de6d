//! What the membership knows of a member.

/// A member, as the membership knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberInfo {
    /// Raft id: minted with the data directory, never reused.
    pub raft_id: u64,
    /// Name, from the configuration.
    pub name: String,
    /// `HOST:PORT` for members.
    pub peer_address: String,
    /// `HOST:PORT` for clients.
    pub client_address: String,
}
