//! Who asks, once that is known.

use std::net::IpAddr;
use std::sync::Arc;

use graft_machine::access::{Grant, Place, Right, Role};

/// How somebody has shown who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownBy {
    /// It has shown nothing, and need not.
    Nothing,
    /// A certificate of the authority of callers.
    Certificate,
    /// An API token of this id.
    Token(Arc<str>),
    /// The token that the configuration names.
    RootToken,
    /// A token of the identity provider.
    Jwt {
        /// It holds until then, in seconds since the Unix epoch.
        until: u64,
    },
}

impl ShownBy {
    /// In a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Certificate => "certificate",
            Self::Token(_) => "token",
            Self::RootToken => "root-token",
            Self::Jwt { .. } => "jwt",
        }
    }
}

/// Somebody who asks. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What it is called in histories, where that was shown.
    pub name: Option<Arc<str>>,
    /// How.
    pub shown_by: ShownBy,
    /// What it may do.
    pub grants: Arc<[Grant]>,
    /// From where.
    pub from: IpAddr,
}

impl Caller {
    /// Somebody who shows nothing where nobody has to, and may do everything.
    pub fn anybody(from: IpAddr) -> Self {
        Self { name: None, shown_by: ShownBy::Nothing, grants: Arc::new([Grant::everywhere(Role::ClusterAdmin)]), from }
    }

    /// Whether what it has shown may cease to hold while it is answered.
    pub fn may_end(&self) -> bool {
        matches!(self.shown_by, ShownBy::Token(_) | ShownBy::Jwt { .. })
    }

    /// Whether one of its grants lets it do this there.
    pub fn may(&self, right: Right, place: Place<'_>) -> bool {
        self.grants.iter().any(|grant| grant.allows(right, place))
    }

    /// Whether one of its grants lets it execute this node there.
    pub fn serves(&self, namespace: &str, node: &str) -> bool {
        self.grants.iter().any(|grant| grant.serves(namespace, node))
    }

    /// Whether one of its grants lets it hand this one out.
    pub fn covers(&self, other: &Grant) -> bool {
        self.grants.iter().any(|grant| grant.covers(other))
    }
}
