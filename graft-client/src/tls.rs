//! TLS to members: whom this client believes, and what it shows of itself.
//!
//! The files are read when the client is made, so that a mistake is told at once, and again for each connection: one that was replaced is in
//! use from the next connection on, without a restart.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use graft_proto::errors::ErrorCode;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Uri;

use crate::channel::never_sent;
use crate::error::ClientError;

/// Longest wait for the first bytes of a server, after which it is believed that it waits for ours.
const FIRST_BYTES_MAX: Duration = Duration::from_secs(1);

/// How often files are read that do not fit each other, and the pause between.
const READ_TRIES: u32 = 5;
const READ_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How a [`Client`](crate::Client) speaks TLS, for addresses that begin with `https://`: see [`ClientBuilder::tls`](crate::ClientBuilder::tls).
///
/// ```no_run
/// # fn main() -> Result<(), graft_client::ClientError> {
/// use graft_client::{Client, Tls};
/// let tls = Tls::new().ca("tls/ca.pem").identity("tls/billing.pem", "tls/billing.key");
/// let client = Client::builder("https://graft.example:7420").tls(tls).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Tls {
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    host: Option<String>,
}

impl Tls {
    /// Believes the authorities that this machine believes, and shows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Believes the authorities in this file (PEM), and no others.
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca = Some(file.into());
        self
    }

    /// Shows the certificate in the first file, with the private key in the second (PEM): members may ask for it.
    pub fn identity(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((cert.into(), key.into()));
        self
    }

    /// The name that certificates of members have to hold, where it is not that of the address: behind a port forwarding, say.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.host = Some(name.into());
        self
    }

    /// Reads the files, to find out whether they fit.
    pub(crate) fn check(&self) -> Result<(), ClientError> {
        let made = self.config().and_then(|_| match &self.host {
            Some(host) => server_name(host).map(drop),
            None => Ok(()),
        });
        made.map_err(|Unfit { object, why }| ClientError::new(ErrorCode::Tls, "make a client", object, why))
    }

    fn config(&self) -> Result<ClientConfig, Unfit> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| Unfit { object: "TLS 1.3".to_owned(), why: error.to_string() })?
            .with_root_certificates(self.roots()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let private =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| Unfit::of(key, format!("holds no private key: {error}")))?;
                let own = builder.with_client_auth_cert(certificates(cert)?, private);
                own.map_err(|error| Unfit::of(key, format!("does not belong to the certificate in {}: {error}", cert.display())))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    /// As [`config`](Self::config), of files that somebody may be replacing, one after the other: they fitted when the client was made.
    async fn settled_config(&self) -> Result<ClientConfig, Unfit> {
        for _ in 1..READ_TRIES {
            if let Ok(config) = self.config() {
                return Ok(config);
            }
            sleep(READ_AGAIN_AFTER).await;
        }
        self.config()
    }

    fn roots(&self) -> Result<RootCertStore, Unfit> {
        let mut roots = RootCertStore::empty();
        let Some(file) = &self.ca else {
            let found = rustls_native_certs::load_native_certs();
            let (good, _) = roots.add_parsable_certificates(found.certs);
            return match good {
                0 => Err(Unfit { object: "this machine".to_owned(), why: "believes no authority: name one for the client".to_owned() }),
                _ => Ok(roots),
            };
        };
        for authority in certificates(file)? {
            roots.add(authority).map_err(|error| Unfit::of(file, format!("holds a certificate that is no authority: {error}")))?;
        }
        Ok(roots)
    }

    /// Connects to a member.
    pub(crate) async fn connect(self, uri: Uri) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = server_name(self.host.as_deref().unwrap_or(host))?;
        let config = self.settled_config().await?;
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
        stream.set_nodelay(true)?;
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        // In TLS 1.3 a client is through before the server has looked at its certificate: what the server thinks of it comes with the first
        // bytes, and a server of HTTP/2 speaks first (RFC 9113, section 3.4).
        match timeout(FIRST_BYTES_MAX, stream.fill_buf()).await {
            Ok(Ok([])) => Err(io::Error::new(io::ErrorKind::ConnectionReset, "it closed the connection without a word")),
            Ok(Ok(_)) | Err(_) => Ok(TokioIo::new(stream)),
            Ok(Err(error)) => Err(error),
        }
    }
}

/// What of it does not fit.
#[derive(Debug)]
struct Unfit {
    object: String,
    why: String,
}

impl Unfit {
    fn of(file: &Path, why: String) -> Self {
        Self { object: format!("file {}", file.display()), why }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.object, self.why)
    }
}

impl std::error::Error for Unfit {}

impl From<Unfit> for io::Error {
    fn from(unfit: Unfit) -> Self {
        Self::new(io::ErrorKind::InvalidInput, unfit)
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, Unfit> {
    ServerName::try_from(host.to_owned()).map_err(|error| Unfit { object: format!("host \"{host}\""), why: error.to_string() })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Unfit> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| Unfit::of(file, format!("cannot be read: {error}")))?;
    let read: Result<Vec<_>, _> = read.collect();
    match read.map_err(|error| Unfit::of(file, format!("is no PEM: {error}")))? {
        none if none.is_empty() => Err(Unfit::of(file, "holds no certificate".to_owned())),
        some => Ok(some),
    }
}

/// Why a connection could not be secured, which no other try at this address will mend.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) why: String,
    /// What to do next, if it is not what is to be done about most of them.
    pub(crate) remedy: Option<&'static str>,
}

impl Refusal {
    fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), remedy: None }
    }

    fn remedied(self, remedy: &'static str) -> Self {
        Self { remedy: Some(remedy), ..self }
    }
}

/// What a port for TLS answers to who speaks in the clear.
const SPEAKS_TLS: &str = "use https:// in place of http://";

/// Why a connection was refused in its handshake: certificates that are not believed, names that are not theirs, or a side that speaks in the clear.
pub(crate) fn refused(status: &tonic::Status) -> Option<Refusal> {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        // An error of IO shows the source of what it holds, and not that itself.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        for error in [Some(error), inner.map(|inner| inner as &(dyn std::error::Error + 'static))].into_iter().flatten() {
            // What breaks a connection that has stood says nothing about who is there, and a request may have gone before.
            if let Some(error) = error.downcast_ref::<rustls::Error>().filter(|error| never_sent(status) || of_a_handshake(error)) {
                return Some(told(error));
            }
            if let Some(unfit) = error.downcast_ref::<Unfit>() {
                return Some(Refusal::because(unfit.to_string()));
            }
            if error.to_string().contains(SPEAKS_TLS) {
                return Some(Refusal::because("it speaks TLS there").remedied("Use https:// in place of http://."));
            }
        }
        cause = error.source();
    }
    None
}

/// Whether nothing but a handshake fails so (RFC 8446, section 6.2): no request was read then.
fn of_a_handshake(error: &rustls::Error) -> bool {
    use rustls::{AlertDescription as Alert, Error};
    match error {
        Error::InvalidCertificate(_) => true,
        Error::AlertReceived(alert) => matches!(
            alert,
            Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::CertificateRequired
                | Alert::UnknownCA
                | Alert::AccessDenied
        ),
        _ => false,
    }
}

fn told(error: &rustls::Error) -> Refusal {
    use rustls::{AlertDescription, CertificateError, Error};
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Refusal::because("its certificate was made by an authority that this client does not believe")
        }
        Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            Refusal::because(error.to_string()).remedied(
                "Use an address that its certificate names, say which of its names is meant (--tls-host), or make it anew with this one: \
                 graft tls issue --host.",
            )
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => Refusal::because("it asks for a certificate of this client"),
        Error::AlertReceived(alert) => Refusal::because(format!("it does not accept what this client has shown ({alert:?})")),
        Error::InvalidMessage(_) => Refusal::because("it does not speak TLS there").remedied(
            "Check that it is the address for clients (client.listen), and not one for probes; use http:// if it speaks in the clear.",
        ),
        other => Refusal::because(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_do_not_fit_are_named_before_anything_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        let refused = |tls: Tls| tls.check().unwrap_err().to_string();
        let said = refused(Tls::new().ca(dir.path().join("none.pem")));
        assert!(said.contains("none.pem: cannot be read") && said.contains("GR9013"), "{said}");
        let said = refused(Tls::new().ca(file("ca.pem", "no certificate at all")));
        assert!(said.contains("ca.pem: holds no certificate"), "{said}");
    }
}
