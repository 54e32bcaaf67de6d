//! Who is who between members: mutual TLS with certificates that name cluster and member.
//!
//! Every member holds a certificate of one authority with one URI in it ([`graft_proto::peer_identity`]): `graft://CLUSTER/members/MEMBER`.
//! Both sides of a connection show theirs, and each is held to what it says from then on:
//!
//! ```text
//! files      CA, certificate and key make what connections are made with
//! verify     the chain must lead to the authority; names of hosts mean nothing, a member is not where it is but who it is
//! accept     handshakes come in: a bounded number at a time, each in a bounded time; the identity goes along with every request
//! connect    handshakes go out: whom a connection is meant for is known by name, or it is a candidate that will say who it is
//! ```
//!
//! What is said in a request is compared with the certificate by whoever reads the request: `discovery` for the names in greetings,
//! `consensus` for raft ids, which the membership binds to names. Without TLS ([`PeerSecurity::Plain`]) nobody can be told from anybody;
//! the configuration allows that on loopback only.
//!
//! A certificate cannot be revoked: take the member out of the cluster, or change the authority.

mod accept;
mod connect;
mod files;
mod verify;

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

pub use accept::{Accepted, PeerCaller, Unwelcome, incoming};
pub use connect::{Dialed, LinkOptions};
pub use files::MaterialFiles;
use files::{Material, Member};
use futures::future::BoxFuture;
use graft_proto::peer_identity::MemberIdentity;
use tokio::io::{AsyncRead, AsyncWrite};

use super::kept::{Kept, Made};
use super::pem::MaterialError;

/// How members speak to each other.
#[derive(Clone, Debug, Default)]
pub enum PeerSecurity {
    /// In the clear, with whoever is there.
    #[default]
    Plain,
    /// With mutual TLS.
    Tls(Arc<PeerTls>),
    /// In the clear, over connections that somebody else makes: where the network is not the system's.
    Over(Arc<dyn Carrier>),
}

/// Makes connections.
pub trait Carrier: Debug + Send + Sync {
    /// A connection to `HOST:PORT`.
    fn connect(&self, address: String) -> BoxFuture<'static, io::Result<Box<dyn Carried>>>;
}

/// A connection that a [`Carrier`] has made.
pub trait Carried: AsyncRead + AsyncWrite + Send + Unpin {}

impl<C: AsyncRead + AsyncWrite + Send + Unpin> Carried for C {}

/// What this member shows, and what it accepts.
#[derive(Debug)]
pub struct PeerTls(Kept<Material>);

impl PeerSecurity {
    /// Reads the files; the certificate has to be the one of `me`.
    ///
    /// # Errors
    /// If a file cannot be read or holds something else, or the certificate names somebody else or was made by another authority.
    pub fn tls(files: MaterialFiles, me: MemberIdentity) -> Result<Self, MaterialError> {
        Ok(Self::Tls(Arc::new(PeerTls(Kept::new(Member { me, files })?))))
    }

    /// When this member's certificate expires, in seconds since 1970; `None` without TLS.
    pub fn expires(&self) -> Option<i64> {
        match self {
            Self::Tls(tls) => Some(tls.current().expires()),
            Self::Plain | Self::Over(_) => None,
        }
    }

    /// Keeps up with the files, for ever.
    pub async fn follow(self) {
        match self {
            Self::Tls(tls) => tls.0.follow().await,
            Self::Plain | Self::Over(_) => std::future::pending().await,
        }
    }

    /// Reads the files again now, if there are any, and puts them in use when the answer is called.
    ///
    /// # Errors
    /// As [`Self::tls`]; then what was there stays.
    pub fn again(&self) -> Result<impl FnOnce() + use<'_>, MaterialError> {
        let adopt = match self {
            Self::Tls(tls) => Some(tls.0.again()?),
            Self::Plain | Self::Over(_) => None,
        };
        Ok(move || {
            if let Some(adopt) = adopt {
                adopt();
            }
        })
    }
}

impl PeerTls {
    fn current(&self) -> Arc<Material> {
        self.0.current()
    }

    /// The cluster of which this is a member.
    fn cluster(&self) -> &str {
        &self.0.of().me.cluster
    }
}
