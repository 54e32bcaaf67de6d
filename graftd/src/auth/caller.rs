//! Who asks, once that is known.

use std::net::IpAddr;
use std::sync::Arc;

use graft_machine::access::{Grant, Place, Right};

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
    /// In which turn of what is asked of callers: see [`super::Auth::still`].
    pub asked: u64,
}

impl Caller {
    /// Whether one of its grants lets it do this there.
    pub fn may(&self, right: Right, place: Place<'_>) -> bool {
        self.grants.iter().any(|grant| grant.allows(right, place))
    }

    /// Whether one of its grants lets it execute this node there.
    pub fn serves(&self, namespace: &str, node: &str) -> bool {
        self.grants.iter().any(|grant| grant.serves(namespace, node))
    }

    /// Whether one of its grants lets it hand out any.
    pub fn is_admin(&self) -> bool {
        self.grants.iter().any(Grant::hands_out)
    }

    /// Whether one of its grants lets it hand this one out.
    pub fn covers(&self, other: &Grant) -> bool {
        self.grants.iter().any(|grant| grant.covers(other))
    }
}
