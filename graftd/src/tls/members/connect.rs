//! Connections that go out.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use graft_proto::peer_identity::MemberIdentity;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::accept::shown;
use super::{PeerSecurity, PeerTls};

/// What a connection to a member is like.
#[derive(Clone, Copy, Debug)]
pub struct LinkOptions {
    /// How long connecting may take, handshake included.
    pub connect: Duration,
    /// How long a request may take; `None`: whoever makes it says.
    pub request: Option<Duration>,
    /// An idle or stuck connection is probed so often, and given up after as long again; `None`: it is not.
    pub keepalive: Option<Duration>,
    /// What may be under way on one stream and on the connection, in bytes; `None`: what HTTP/2 begins with.
    pub windows: Option<(u32, u32)>,
}

/// A connection that is made when it is first used, and again when it broke.
#[derive(Clone, Debug)]
pub struct Dialed {
    /// For a client.
    pub channel: Channel,
    /// Who was there last.
    shown: Arc<Mutex<Option<MemberIdentity>>>,
}

impl Dialed {
    /// Whether who was there last may call itself by these names. Without TLS, anybody may.
    pub fn is_called(&self, cluster: &str, member: &str) -> bool {
        let shown = self.shown.lock().expect("nobody panics while it is held");
        shown.as_ref().is_none_or(|shown| shown.cluster == cluster && shown.member == member)
    }
}

impl PeerSecurity {
    /// A connection to `HOST:PORT`. With `meant`, only the member of this name will do; without, whoever is there says who it is.
    ///
    /// # Errors
    /// If the address is none.
    pub fn dial(&self, address: &str, meant: Option<&str>, options: LinkOptions) -> Result<Dialed, tonic::transport::Error> {
        let mut endpoint = Endpoint::from_shared(format!("http://{address}"))?.connect_timeout(options.connect).tcp_nodelay(true);
        if let Some(time) = options.request {
            endpoint = endpoint.timeout(time);
        }
        if let Some(time) = options.keepalive {
            endpoint = endpoint.http2_keep_alive_interval(time).keep_alive_timeout(time).keep_alive_while_idle(true);
        }
        if let Some((stream, connection)) = options.windows {
            endpoint = endpoint.initial_stream_window_size(stream).initial_connection_window_size(connection);
        }
        let last = Arc::new(Mutex::new(None));
        let channel = match self {
            Self::Plain => endpoint.connect_lazy(),
            Self::Over(carrier) => {
                let carrier = carrier.clone();
                endpoint.connect_with_connector_lazy(service_fn(move |uri: Uri| {
                    let stream = carrier.connect(uri.authority().map(ToString::to_string).unwrap_or_default());
                    async move { stream.await.map(TokioIo::new) }
                }))
            }
            Self::Tls(tls) => {
                let (tls, meant, last) = (tls.clone(), meant.map(str::to_owned), last.clone());
                endpoint.connect_with_connector_lazy(service_fn(move |uri: Uri| {
                    let (tls, meant, last) = (tls.clone(), meant.clone(), last.clone());
                    async move {
                        let (stream, member) = handshake(&tls, &uri, meant.as_deref()).await?;
                        *last.lock().expect("nobody panics while it is held") = Some(member);
                        Ok::<_, io::Error>(TokioIo::new(stream))
                    }
                }))
            }
        };
        Ok(Dialed { channel, shown: last })
    }
}

/// Connects, and finds out who is there. Who is not meant hears nothing but that.
async fn handshake(
    tls: &PeerTls,
    uri: &Uri,
    meant: Option<&str>,
) -> io::Result<(tokio_rustls::client::TlsStream<TcpStream>, MemberIdentity)> {
    let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{uri} is no HOST:PORT")));
    };
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    stream.set_nodelay(true)?;
    // It is not sent, and not compared: a member is known by its own name.
    let name = ServerName::try_from("graft.invalid").map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls.current().client.clone()).connect(name, stream).await?;
    let refused = |why: String| io::Error::new(io::ErrorKind::PermissionDenied, why);
    let member = shown(tls, stream.get_ref().1.peer_certificates()).map_err(refused)?;
    match meant {
        Some(meant) if meant != member.member => Err(refused(format!("member {meant} was meant, and {} answers there", member.member))),
        _ => Ok((stream, member)),
    }
}
