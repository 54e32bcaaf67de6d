//! Who is who between members: mutual TLS with certificates that name cluster and member.
//!
//! Every member holds a certificate of one authority with one URI in it ([`graft_proto::peer_identity`]): `graft://CLUSTER/members/MEMBER`.
//! Both sides of a connection show theirs, and each is held to what it says from then on:
//!
//! ```text
//! files      CA, certificate and key are read, and read again when they change; what does not fit is told and the old ones stay
//! verify     the chain must lead to the authority; names of hosts mean nothing, a member is not where it is but who it is
//! accept     handshakes come in: a bounded number at a time, each in a bounded time; the identity goes along with every request
//! connect    handshakes go out: whom a connection is meant for is known by name, or it is a candidate that will say who it is
//! authority  makes an authority and certificates, for who has none
//! ```
//!
//! What is said in a request is compared with the certificate by whoever reads the request: `discovery` for the names in greetings,
//! `consensus` for raft ids, which the membership binds to names. Without TLS ([`PeerSecurity::Plain`]) nobody can be told from anybody;
//! the configuration allows that on loopback only.
//!
//! TLS 1.3 alone, with the cryptography of `ring`. A certificate cannot be revoked: take the member out of the cluster, or change the
//! authority. A leaf: it knows no floor of the house.

mod accept;
pub mod authority;
mod connect;
mod files;
mod verify;

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, RwLock};
use std::time::Duration;

pub use accept::{Accepted, PeerCaller, Unwelcome, incoming};
pub use connect::{Dialed, LinkOptions};
use files::Material;
pub use files::{MaterialError, MaterialFiles};
use futures::future::BoxFuture;
use graft_proto::peer_identity::MemberIdentity;
use tokio::io::{AsyncRead, AsyncWrite};

/// How often it is looked whether the files have changed.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

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

/// What this member shows, and what it accepts: read again when the files change. Connections that stand already stay.
#[derive(Debug)]
pub struct PeerTls {
    me: MemberIdentity,
    files: MaterialFiles,
    current: RwLock<Arc<Material>>,
}

impl PeerSecurity {
    /// Reads the files; the certificate has to be the one of `me`.
    ///
    /// # Errors
    /// If a file cannot be read or holds something else, or the certificate names somebody else or was made by another authority.
    pub fn tls(files: MaterialFiles, me: MemberIdentity) -> Result<Self, MaterialError> {
        let current = RwLock::new(Arc::new(Material::read(&files, &me)?));
        Ok(Self::Tls(Arc::new(PeerTls { me, files, current })))
    }

    /// Keeps up with the files, for ever.
    pub async fn follow(self) {
        let Self::Tls(tls) = self else { return std::future::pending().await };
        let mut seen = tls.files.stamp();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = tls.files.stamp();
            if now != seen {
                seen = now;
                tls.reload();
            }
        }
    }
}

impl PeerTls {
    fn current(&self) -> Arc<Material> {
        self.current.read().expect("nobody panics while the material is held").clone()
    }

    /// Reads the files again. What does not fit is told, and what was there stays.
    fn reload(&self) {
        match Material::read(&self.files, &self.me) {
            Ok(material) => {
                tracing::info!(until = %material.expires, "the certificate for members was read again");
                *self.current.write().expect("nobody panics while the material is held") = Arc::new(material);
            }
            Err(error) => tracing::error!(%error, "the changed files for TLS between members do not fit; the old ones stay in use"),
        }
    }
}
