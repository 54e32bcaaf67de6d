//! What the certificate of a member says of it: the name of its cluster, and its own.
//!
//! Both stand in one URI of the certificate's subject alternative names (RFC 5280, section 4.2.1.6), so that one authority can serve several
//! clusters without a member of one being taken for a member of another:
//!
//! ```text
//! graft://CLUSTER/members/MEMBER
//! ```
//!
//! That of a client or a worker may have one as well: `graft://CLUSTER/clients/NAME`.
//!
//! Names of clusters and members are 1 to 63 letters, digits, `.`, `_` or `-` ([`is_name`]), so nothing is escaped.

use std::fmt;

/// Longest name of a member or of a cluster, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

const SCHEME: &str = "graft://";
const MEMBERS: &str = "/members/";
const CLIENTS: &str = "/clients/";

/// Whether this can be the name of a member or of a cluster.
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(fits)
}

/// A member of a cluster, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberIdentity {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the member.
    pub member: String,
}

impl MemberIdentity {
    /// The identity in a URI; `None` if it is none of a member.
    pub fn of_uri(uri: &str) -> Option<Self> {
        let (cluster, member) = named_in(uri, MEMBERS)?;
        Some(Self { cluster: cluster.to_owned(), member: member.to_owned() })
    }

    /// The URI for a certificate.
    pub fn uri(&self) -> String {
        format!("{SCHEME}{}{MEMBERS}{}", self.cluster, self.member)
    }
}

fn named_in<'a>(uri: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (cluster, name) = uri.strip_prefix(SCHEME)?.split_once(kind)?;
    (is_name(cluster) && is_name(name)).then_some((cluster, name))
}

/// The cluster and the client that a URI names; `None` if it is none of a client.
pub fn client_of_uri(uri: &str) -> Option<(&str, &str)> {
    named_in(uri, CLIENTS)
}

/// The URI for the certificate of a client.
pub fn client_uri(cluster: &str, name: &str) -> String {
    format!("{SCHEME}{cluster}{CLIENTS}{name}")
}

impl fmt::Display for MemberIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {} of cluster {}", self.member, self.cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_was_written_and_nothing_else_is_one() {
        let identity = MemberIdentity { cluster: "prod.eu".into(), member: "graft-0".into() };
        assert_eq!(identity.uri(), "graft://prod.eu/members/graft-0");
        assert_eq!(MemberIdentity::of_uri(&identity.uri()), Some(identity));
        for uri in [
            "graft://prod.eu/members/",
            "graft:///members/a",
            "graft://a/b/members/c",
            "graft://a/members/b/members/c",
            "spiffe://prod.eu/members/a",
            "graft://a/workers/b",
            "graft://a/members/b c",
        ] {
            assert_eq!(MemberIdentity::of_uri(uri), None, "{uri}");
        }
        assert_eq!(client_of_uri(&client_uri("prod", "ann")), Some(("prod", "ann")));
        for uri in ["graft://prod/members/ann", "graft://prod/clients/", "graft:///clients/a", "graft://a/clients/b/c"] {
            assert_eq!(client_of_uri(uri), None, "{uri}");
        }
    }
}
