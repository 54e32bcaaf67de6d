//! Connections that come in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt};
use graft_proto::peer_identity::MemberIdentity;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::{PeerSecurity, PeerTls, verify};
use crate::crowd::{Places, Seldom};
use crate::tls::until::Until;

/// Longest time that a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Most handshakes at a time; who comes beyond waits.
const HANDSHAKES_MAX: usize = 64;
/// Most handshakes of one address at a time.
const HANDSHAKES_PER_ADDRESS_MAX: usize = 16;
/// Most connections of one address that wait for their handshake; those beyond are closed.
const WAITING_PER_ADDRESS_MAX: usize = 64;
/// Connections that have been accepted and are not yet served.
const ACCEPTED_AHEAD: usize = 16;
/// After an error of the listener itself (no file handles left, say).
const LISTENER_REST: Duration = Duration::from_millis(100);

/// Who is on the other side of a connection, for every request on it.
#[derive(Clone, Debug)]
pub enum PeerCaller {
    /// Somebody, over a connection in the clear.
    Anybody,
    /// The member that its certificate names.
    Member(Arc<MemberIdentity>),
}

/// A caller that is not who it says it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the caller says that it is {said}, and its certificate that it is {shown}")]
pub struct Unwelcome {
    said: String,
    shown: MemberIdentity,
}

impl PeerCaller {
    /// Whether the caller may call itself by these names.
    ///
    /// # Errors
    /// If its certificate names another cluster or member.
    pub fn is_called(&self, cluster: &str, member: &str) -> Result<(), Unwelcome> {
        match self {
            Self::Member(shown) if shown.cluster != cluster || shown.member != member => {
                Err(Unwelcome { said: format!("member {member} of cluster {cluster}"), shown: MemberIdentity::clone(shown) })
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller may speak for the member of this name.
    ///
    /// # Errors
    /// If its certificate names another member.
    pub fn speaks_for(&self, member: &str) -> Result<(), Unwelcome> {
        match self {
            Self::Member(shown) => self.is_called(&shown.cluster, member),
            Self::Anybody => Ok(()),
        }
    }
}

/// A connection, open or encrypted.
pub enum Accepted {
    /// In the clear.
    Plain(TcpStream),
    /// Encrypted, with a member that has shown who it is.
    Tls(Box<Until<TlsStream<TcpStream>>>, Arc<MemberIdentity>),
}

impl Connected for Accepted {
    type ConnectInfo = PeerCaller;

    fn connect_info(&self) -> PeerCaller {
        match self {
            Self::Plain(_) => PeerCaller::Anybody,
            Self::Tls(_, member) => PeerCaller::Member(member.clone()),
        }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream, _) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// The connections to a listener whose other side has shown that it is a member, where that is asked for. Ends when nobody takes them any more.
pub fn incoming(listener: TcpListener, security: PeerSecurity) -> impl Stream<Item = io::Result<Accepted>> + Send {
    let (sender, accepted) = mpsc::channel(ACCEPTED_AHEAD);
    tokio::spawn(accept(listener, security, sender));
    ReceiverStream::new(accepted).map(Ok)
}

async fn accept(listener: TcpListener, security: PeerSecurity, accepted: mpsc::Sender<Accepted>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let each = Places::new(WAITING_PER_ADDRESS_MAX, HANDSHAKES_PER_ADDRESS_MAX);
    let refusals = Arc::new(Seldom::default());
    loop {
        let stream = tokio::select! {
            stream = listener.accept() => stream,
            () = accepted.closed() => return,
        };
        let (stream, from) = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection of a member could not be accepted");
                tokio::time::sleep(LISTENER_REST).await;
                continue;
            }
        };
        let refused = move |refusals: &Seldom, why: &str| {
            if let Some(left_out) = refusals.now() {
                tracing::warn!(%from, why, left_out, "a connection for members was refused");
            }
        };
        let Some(place) = each.enter(from.ip()) else {
            refused(&refusals, "too many of its address wait for their handshake");
            continue;
        };
        let (security, accepted, refusals, handshakes) = (security.clone(), accepted.clone(), refusals.clone(), handshakes.clone());
        tokio::spawn(async move {
            let turn = async { (place.handshake().await, handshakes.acquire().await) };
            let Ok(_turn) = timeout(HANDSHAKE_MAX, turn).await else {
                return refused(&refusals, "its handshake had to wait for too long");
            };
            match welcomed(stream, &security).await {
                Ok(stream) => drop(accepted.send(stream).await),
                Err(why) => refused(&refusals, &why),
            }
        });
    }
}

async fn welcomed(stream: TcpStream, security: &PeerSecurity) -> Result<Accepted, String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let tls = match security {
        PeerSecurity::Plain | PeerSecurity::Over(_) => return Ok(Accepted::Plain(stream)),
        PeerSecurity::Tls(tls) => tls,
    };
    let handshake = TlsAcceptor::from(tls.current().server.clone()).accept(stream);
    let stream = match timeout(HANDSHAKE_MAX, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(format!("no handshake: {error}")),
        Err(_) => return Err(format!("no handshake within {HANDSHAKE_MAX:?}")),
    };
    let chain = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec);
    let member = shown(tls, chain.as_deref())?;
    let stream = Until::certificate(stream, chain.as_deref().and_then(<[_]>::first))?;
    Ok(Accepted::Tls(Box::new(stream), Arc::new(member)))
}

/// The member of this cluster that the other side has shown to be.
pub(super) fn shown(tls: &PeerTls, chain: Option<&[CertificateDer<'_>]>) -> Result<MemberIdentity, String> {
    let cert = chain.and_then(<[_]>::first).ok_or("the other side has shown no certificate")?;
    let member = verify::identity(cert).map_err(|why| format!("the certificate of the other side {why}"))?;
    match member.cluster == tls.cluster() {
        true => Ok(member),
        false => Err(format!("the other side is {member}, and this is a member of cluster {}", tls.cluster())),
    }
}
