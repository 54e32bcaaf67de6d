//! Who may do what: API tokens and what they grant; and the administrative acts that are kept.
//!
//! A *grant* is a role, and where it holds. It has one form, which people write, tokens store and the configuration spells:
//! `ROLE[@NAMESPACE[=NODE,NODE...]]`, as in `viewer`, `operator@billing` or `worker@billing=charge,ship-*`. In namespaces and nodes a `*` stands
//! for any part; without them a grant holds for all. What an anonymous caller, a certificate or a token of an identity provider may do is
//! said in the same words: the machine knows grants and tokens, and not where a caller comes from.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use prost::Message;

use crate::limits::{GRANT_NODES_MAX, NAME_BYTES_MAX};
use crate::names::check_name;
use crate::time::Millis;

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks at everything.
    Viewer,
    /// Starts, steers and repairs workflows as well.
    Operator,
    /// Executes nodes, and nothing else.
    Worker,
    /// All of that, and sets limits and makes tokens for a namespace.
    NamespaceAdmin,
    /// Everything, the members included.
    ClusterAdmin,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Look.
    Read,
    /// Start, steer and repair workflows.
    Operate,
    /// Execute nodes.
    Work,
    /// Set limits, make tokens, see what was administered.
    Administer,
}

/// Where it is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// In this namespace.
    Namespace(&'a str),
    /// In all namespaces together, or to the cluster itself.
    Cluster,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Operator, Self::Worker, Self::NamespaceAdmin, Self::ClusterAdmin];

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Worker => "worker",
            Self::NamespaceAdmin => "namespace-admin",
            Self::ClusterAdmin => "cluster-admin",
        }
    }

    const fn holds(self, right: Right) -> bool {
        match self {
            Self::Viewer => matches!(right, Right::Read),
            Self::Operator => matches!(right, Right::Read | Right::Operate),
            Self::Worker => matches!(right, Right::Work),
            Self::NamespaceAdmin | Self::ClusterAdmin => true,
        }
    }
}

/// A role, and where it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    role: Role,
    /// A pattern; `None`: in all namespaces.
    namespace: Option<String>,
    /// Patterns, of workers only; empty: all nodes.
    nodes: Vec<String>,
}

impl Grant {
    /// The role, everywhere.
    pub const fn everywhere(role: Role) -> Self {
        Self { role, namespace: None, nodes: Vec::new() }
    }

    /// Its role.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Whether it lets its holder do this there. What concerns the cluster as a whole needs a grant for all namespaces; and to administer it, the
    /// role of a cluster admin.
    pub fn allows(&self, right: Right, place: Place<'_>) -> bool {
        self.role.holds(right)
            && match (place, &self.namespace) {
                (Place::Cluster, namespace) => namespace.is_none() && (right != Right::Administer || self.role == Role::ClusterAdmin),
                (Place::Namespace(_), None) => true,
                (Place::Namespace(namespace), Some(pattern)) => matches(pattern, namespace),
            }
    }

    /// Whether it lets its holder execute this node there.
    pub fn serves(&self, namespace: &str, node: &str) -> bool {
        self.allows(Right::Work, Place::Namespace(namespace))
            && (self.nodes.is_empty() || self.nodes.iter().any(|pattern| matches(pattern, node)))
    }

    /// Whether whoever holds it may hand out any.
    pub fn hands_out(&self) -> bool {
        matches!(self.role, Role::NamespaceAdmin | Role::ClusterAdmin)
    }

    /// Whether whoever holds it may hand this one out: it gives nothing that the holder could not do, and needs an admin.
    pub fn covers(&self, other: &Self) -> bool {
        match (self.role, &self.namespace, &other.namespace) {
            (Role::ClusterAdmin, ..) => true,
            (Role::NamespaceAdmin, ..) if other.role == Role::ClusterAdmin => false,
            (Role::NamespaceAdmin, None, _) => true,
            // A pattern is only covered by itself, or where it is a plain name.
            (Role::NamespaceAdmin, Some(mine), Some(theirs)) => mine == theirs || !theirs.contains('*') && matches(mine, theirs),
            _ => false,
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.role.name())?;
        if let Some(namespace) = &self.namespace {
            write!(f, "@{namespace}")?;
        }
        if !self.nodes.is_empty() {
            write!(f, "={}", self.nodes.join(","))?;
        }
        Ok(())
    }
}

/// Why a text is no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoGrant {
    /// It begins with something else.
    #[error("begins with no role; there are viewer, operator, worker, namespace-admin and cluster-admin")]
    Role,
    /// It says where a role holds that holds everywhere.
    #[error("limits cluster-admin to a namespace; that is what namespace-admin is for")]
    Everywhere,
    /// It names nodes where they have no meaning.
    #[error("names nodes; only a worker is limited to nodes, after a namespace, as in worker@default=charge,ship-*")]
    Nodes,
    /// It names more nodes than it may.
    #[error("names more than {GRANT_NODES_MAX} nodes; say more with `*`, or make another grant")]
    ManyNodes,
    /// Where it holds is no name.
    #[error("names {0:?}, which no namespace or node can be called: letters, digits and - _ . : /, and * for any part")]
    Name(String),
}

impl FromStr for Grant {
    type Err = NoGrant;

    fn from_str(text: &str) -> Result<Self, NoGrant> {
        let (rest, nodes) = match text.split_once('=') {
            Some((rest, nodes)) => (rest, Some(nodes)),
            None => (text, None),
        };
        let (role, namespace) = match rest.split_once('@') {
            Some((role, namespace)) => (role, Some(namespace)),
            None => (rest, None),
        };
        let role = Role::ALL.into_iter().find(|known| known.name() == role).ok_or(NoGrant::Role)?;
        let namespace = namespace.map(pattern).transpose()?;
        if role == Role::ClusterAdmin && namespace.is_some() {
            return Err(NoGrant::Everywhere);
        }
        if nodes.is_some() && (role != Role::Worker || namespace.is_none()) {
            return Err(NoGrant::Nodes);
        }
        let nodes: Vec<String> = nodes.map_or(Ok(Vec::new()), |nodes| nodes.split(',').map(pattern).collect())?;
        if nodes.len() > GRANT_NODES_MAX {
            return Err(NoGrant::ManyNodes);
        }
        Ok(Self { role, namespace: namespace.filter(|namespace| namespace != "*"), nodes })
    }
}

/// A name in which `*` may stand for any part.
fn pattern(text: &str) -> Result<String, NoGrant> {
    let plain = text.replace('*', "");
    let good = text.len() <= NAME_BYTES_MAX && !text.is_empty() && (plain.is_empty() || check_name(&plain).is_ok());
    if good { Ok(text.to_owned()) } else { Err(NoGrant::Name(text.chars().take(NAME_BYTES_MAX).collect())) }
}

/// Whether a name fits a pattern, in which a `*` stands for any part.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// An API token, as the cluster knows it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ApiToken {
    /// Who its holder is in histories.
    #[prost(string, tag = "1")]
    pub name: String,
    /// SHA-256 of its secret.
    #[prost(bytes = "bytes", tag = "2")]
    pub secret_hash: Bytes,
    /// What it allows: [`Grant`]s, as text.
    #[prost(string, repeated, tag = "3")]
    pub grants: Vec<String>,
    /// Of no use from this time on; 0 = it does not expire.
    #[prost(uint64, tag = "4")]
    pub expires: Millis,
    /// When it was made.
    #[prost(uint64, tag = "5")]
    pub created: Millis,
    /// Who made it.
    #[prost(string, tag = "6")]
    pub principal: String,
}

impl ApiToken {
    /// Whether it is of use at this time.
    pub fn stands(&self, now: Millis) -> bool {
        self.expires == 0 || now < self.expires
    }
}

/// An administrative act: who did what, from where, and how it ended.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Act {
    /// When it was begun.
    #[prost(uint64, tag = "1")]
    pub time: Millis,
    /// Who.
    #[prost(string, tag = "2")]
    pub principal: String,
    /// From where: an address, by the member that was asked.
    #[prost(string, tag = "3")]
    pub from: String,
    /// What: the method.
    #[prost(string, tag = "4")]
    pub method: String,
    /// To what, in the words of the request.
    #[prost(string, tag = "5")]
    pub object: String,
    /// How it ended: `ok`, or the code of the error and its message. Empty: it is under way, or the member that did it stopped meanwhile, so that
    /// it is not known.
    #[prost(string, tag = "6")]
    pub outcome: String,
    /// When it had ended; 0: see [`Act::outcome`].
    #[prost(uint64, tag = "7")]
    pub ended: Millis,
    /// The member that was asked.
    #[prost(string, tag = "8")]
    pub member: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(text: &str) -> Grant {
        text.parse().unwrap_or_else(|error| panic!("{text} {error}"))
    }

    #[test]
    fn a_grant_is_written_as_it_was_read() {
        for text in
            ["viewer", "operator@billing", "worker@billing=charge,ship-*", "namespace-admin@team-*", "cluster-admin", "worker@a.b/c:d"]
        {
            assert_eq!(grant(text).to_string(), text);
        }
        assert_eq!(grant("viewer@*"), Grant::everywhere(Role::Viewer));
        for (text, error) in [
            ("", NoGrant::Role),
            ("admin", NoGrant::Role),
            ("Viewer", NoGrant::Role),
            ("viewer ", NoGrant::Role),
            ("cluster-admin@billing", NoGrant::Everywhere),
            ("viewer@billing=charge", NoGrant::Nodes),
            ("worker=charge", NoGrant::Nodes),
            ("worker@billing=", NoGrant::Name(String::new())),
            ("worker@billing=a,,b", NoGrant::Name(String::new())),
            ("viewer@", NoGrant::Name(String::new())),
            ("viewer@a b", NoGrant::Name("a b".into())),
        ] {
            assert_eq!(text.parse::<Grant>(), Err(error), "{text}");
        }
        let many = format!("worker@a={}", vec!["n"; GRANT_NODES_MAX + 1].join(","));
        assert_eq!(many.parse::<Grant>(), Err(NoGrant::ManyNodes));
        assert!(matches!(format!("viewer@{}", "a".repeat(NAME_BYTES_MAX + 1)).parse::<Grant>(), Err(NoGrant::Name(_))));
    }

    #[test]
    fn each_role_may_do_what_it_is_for_and_nothing_else() {
        use Right::{Administer, Operate, Read, Work};
        for (role, rights) in [
            ("viewer", vec![Read]),
            ("operator", vec![Read, Operate]),
            ("worker", vec![Work]),
            ("namespace-admin", vec![Read, Operate, Work, Administer]),
            ("cluster-admin", vec![Read, Operate, Work, Administer]),
        ] {
            for right in [Read, Operate, Work, Administer] {
                assert_eq!(grant(role).allows(right, Place::Namespace("a")), rights.contains(&right), "{role} {right:?}");
                let of_the_cluster = rights.contains(&right) && (right != Administer || role == "cluster-admin");
                assert_eq!(grant(role).allows(right, Place::Cluster), of_the_cluster, "{role} {right:?} the cluster");
                if role != "cluster-admin" {
                    let here = grant(&format!("{role}@a*"));
                    assert_eq!(here.allows(right, Place::Namespace("ab")), rights.contains(&right), "{role}@a* {right:?}");
                    assert!(!here.allows(right, Place::Namespace("b")), "{role}@a* {right:?}");
                    assert!(!here.allows(right, Place::Cluster), "{role}@a* {right:?} the cluster");
                }
            }
        }
    }

    #[test]
    fn a_worker_serves_the_nodes_that_it_is_for() {
        let some = grant("worker@billing=charge,ship-*");
        assert!(some.serves("billing", "charge") && some.serves("billing", "ship-eu"));
        assert!(!some.serves("billing", "refund") && !some.serves("default", "charge"));
        assert!(grant("worker").serves("any", "thing") && grant("cluster-admin").serves("any", "thing"));
        assert!(!grant("operator").serves("any", "thing"));
    }

    #[test]
    fn nobody_hands_out_more_than_he_has() {
        let covers = |mine: &str, theirs: &str| grant(mine).covers(&grant(theirs));
        assert!(covers("cluster-admin", "cluster-admin") && covers("cluster-admin", "worker"));
        assert!(covers("namespace-admin@a", "operator@a") && covers("namespace-admin@a", "namespace-admin@a"));
        assert!(covers("namespace-admin@a*", "viewer@ab") && covers("namespace-admin@a*", "viewer@a*"));
        assert!(covers("namespace-admin", "operator") && !covers("namespace-admin", "cluster-admin"));
        for theirs in ["viewer", "viewer@b", "viewer@a*", "cluster-admin"] {
            assert!(!covers("namespace-admin@a", theirs), "{theirs}");
        }
        assert!(!covers("operator", "viewer"), "who is no admin hands out nothing");
    }

    #[test]
    fn a_star_stands_for_any_part_of_a_name() {
        for (pattern, fits, does_not) in [
            ("graft-0", vec!["graft-0"], vec!["graft-01", "graft", "agraft-0"]),
            ("graft-*", vec!["graft-0", "graft-", "graft-a-b"], vec!["graft", "xgraft-0"]),
            ("*", vec!["", "a"], vec![]),
            ("*-db-*", vec!["eu-db-1", "-db-"], vec!["db-1", "eu-db1"]),
            ("a*b*c", vec!["abc", "axbxc", "abbc"], vec!["ac", "abcd", "ab"]),
            ("a*a", vec!["aa", "aba"], vec!["a"]),
        ] {
            for name in fits {
                assert!(matches(pattern, name), "{pattern} fits {name}");
            }
            for name in does_not {
                assert!(!matches(pattern, name), "{pattern} does not fit {name}");
            }
        }
    }
}
