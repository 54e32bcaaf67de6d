//! Where the other members might be: several sources at once, each one small file behind one trait.
//!
//! A source knows addresses, `HOST:PORT`, and says which whenever that changes. It never says who is there: whoever is found is greeted, and
//! what counts is what it answers and what its certificate says. So a source may be wrong, late or lied to, and nothing worse comes of it
//! than a connection in vain:
//!
//! - **Candidates only.** Nobody becomes a member because a source has found it, and nobody stops being one because no source finds it.
//! - **A failure is told and never fatal.** What was found before is kept, the source goes on trying with growing pauses, and why it fails
//!   stands in the log once, in a metric, and in what `/readyz` says while this member waits for others.
//! - **Everything is bounded.** There are at most [`CANDIDATES_MAX`] candidates; the sources come in the order in which they are trusted
//!   (the list, DNS, Kubernetes, mDNS), so that strangers on the network cannot crowd out what was configured. Without TLS only addresses of
//!   this machine are candidates.
//!
//! ```text
//! static_list   cluster.peers: said once, for ever
//! dns           names whose addresses are asked for again every few seconds
//! kubernetes    the EndpointSlices of one Service, listed and then watched; what a slice says is read in endpoint_slices
//! mdns          what members in the same network announce; the only source that also says something of this member
//! says          how a source tells what it knows; candidates  what all of them come to, with a connection to each
//! ```
//!
//! A source ends when its token is cancelled, and takes back what it has announced. The sources run as long as the daemon, not only while a
//! cluster forms: a member that comes later has to find this one.

mod candidates;
mod dns;
mod endpoint_slices;
mod kubernetes;
mod mdns;
mod patience;
mod says;
mod static_list;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

pub use candidates::{CANDIDATES_MAX, CandidateLink, Candidates};
pub use dns::{Dns, Resolver, SystemResolver};
pub use endpoint_slices::{EndpointSlices, PeerPort, SliceEvent};
pub use kubernetes::{Kubernetes, KubernetesOptions};
pub use mdns::{Instance, Mdns, MdnsOptions, PORT as MDNS_PORT, judge};
pub use patience::Patience;
pub use says::Says;
pub use static_list::StaticList;

/// A kind of source, as metrics name it. In the order in which they are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// The list in the configuration.
    Static,
    /// Names.
    Dns,
    /// The API of Kubernetes.
    Kubernetes,
    /// What is announced in the local network.
    Mdns,
}

impl Provider {
    /// Label of metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dns => "dns",
            Self::Kubernetes => "kubernetes",
            Self::Mdns => "mdns",
        }
    }
}

/// One place to look for candidates.
pub trait Source: Send {
    /// Of which kind it is.
    fn provider(&self) -> Provider;
    /// What it asks, for people: `dns graft-headless:7421`.
    fn name(&self) -> String;
    /// Tells what it knows, until the token is cancelled. What is known without waiting is told before this returns.
    fn run(self: Box<Self>, says: Says, stop: CancellationToken) -> BoxFuture<'static, ()>;
}
