//! Connections of clients and workers: this side shows a certificate for the names under which it is reached, and the other side may have to
//! show one of an authority that is named for it.
//!
//! The name that a caller shows goes along with everything that it asks: that of the URI `graft://CLUSTER/clients/NAME`, or else the
//! certificate's common name. TLS says who calls and nothing more; what the caller may do is not decided here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use graft_proto::peer_identity::client_of_uri;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::time::ASN1Time;

use super::kept::{Kept, Made};
use super::pem::{MaterialError, authorities, certificates, expiry, parsed, private_key};
use super::until::Until;

/// Longest time that a handshake may take.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// What is spoken above it, in the order in which it is preferred (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];
const HTTP2: &[u8] = b"h2";
/// Longest name that a certificate may give its holder, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Where the files are, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate that is shown, and those between it and its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Certificates of the authority of callers, and whether each caller has to show one of it.
    pub callers: Option<(PathBuf, bool)>,
}

/// What this side shows to clients and workers, and what it asks of them.
#[derive(Clone, Debug)]
pub struct ClientTls(Arc<Kept<Shown>>);

/// Who calls, as its certificate names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertName(Arc<str>);

impl CertName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A connection whose handshake is done.
pub struct Shaken {
    /// The bytes.
    pub stream: Until<TlsStream<TcpStream>>,
    /// Who calls, if it has shown a certificate.
    pub caller: Option<CertName>,
    /// Whether HTTP/2 was agreed on; otherwise HTTP/1.1.
    pub http2: bool,
}

#[derive(Debug)]
struct Shown {
    server: Arc<ServerConfig>,
    expires: ASN1Time,
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// If a file cannot be read or holds something else, or the key is not that of the certificate.
    pub fn new(files: ClientFiles) -> Result<Self, MaterialError> {
        Ok(Self(Arc::new(Kept::new(files)?)))
    }

    /// When the certificate expires, in seconds since 1970.
    pub fn expires(&self) -> i64 {
        self.0.current().expires()
    }

    /// Keeps up with the files, for ever.
    pub async fn follow(&self) {
        self.0.follow().await;
    }

    /// Reads the files again now, and puts them in use when the answer is called.
    ///
    /// # Errors
    /// As [`Self::new`]; then what was there stays.
    pub fn again(&self) -> Result<impl FnOnce() + use<'_>, MaterialError> {
        self.0.again()
    }

    /// Shakes hands, in bounded time.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn accept(&self, stream: TcpStream) -> Result<Shaken, String> {
        let handshake = TlsAcceptor::from(self.0.current().server.clone()).accept(stream);
        let stream = match timeout(HANDSHAKE_MAX, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(format!("no handshake: {error}")),
            Err(_) => return Err(format!("no handshake within {HANDSHAKE_MAX:?}")),
        };
        let (_, session) = stream.get_ref();
        let cert = session.peer_certificates().and_then(<[_]>::first).cloned();
        let caller = cert.as_ref().map(name).transpose()?;
        let http2 = session.alpn_protocol() == Some(HTTP2);
        Ok(Shaken { stream: Until::certificate(stream, cert.as_ref())?, caller, http2 })
    }
}

impl Made for Shown {
    type Of = ClientFiles;

    fn files(of: &ClientFiles) -> Vec<&Path> {
        [&of.cert, &of.key].into_iter().chain(of.callers.as_ref().map(|(ca, _)| ca)).map(PathBuf::as_path).collect()
    }

    fn made(ClientFiles { cert, key, callers }: &ClientFiles) -> Result<Self, MaterialError> {
        let chain = certificates(cert)?;
        let expires = expiry(&chain[0]).map_err(|why| MaterialError::of(cert, why))?;
        let private = private_key(key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| MaterialError::of(cert, error.to_string()))?;
        let builder = match callers {
            None => builder.with_no_client_auth(),
            Some((ca, required)) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(authorities(ca)?, provider);
                let verifier = if *required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| MaterialError::of(ca, error.to_string()))?)
            }
        };
        let mut server = builder
            .with_single_cert(chain, private)
            .map_err(|error| MaterialError::of(key, format!("does not belong to the certificate in {}: {error}", cert.display())))?;
        // A resumed session would outlive the certificate that it began with.
        server.send_tls13_tickets = 0;
        server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self { server: Arc::new(server), expires })
    }

    fn expires(&self) -> i64 {
        self.expires.timestamp()
    }

    fn called(&self) -> String {
        format!("the certificate for clients, good until {},", self.expires)
    }
}

/// The name of whoever holds a certificate.
fn name(cert: &CertificateDer<'_>) -> Result<CertName, String> {
    let cert = parsed(cert)?;
    let names = cert.subject_alternative_name().map_err(|error| format!("its certificate has names that cannot be read: {error}"))?;
    let uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => client_of_uri(uri),
        _ => None,
    });
    let common = || cert.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let name = uris.map(|(_, name)| name).next().or_else(common);
    let fits = |name: &&str| !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
    let name = name.filter(fits).ok_or("its certificate names nobody: neither a URI graft://CLUSTER/clients/NAME nor a common name")?;
    Ok(CertName(name.into()))
}

#[cfg(test)]
mod tests {
    use rustls::ClientConfig;
    use rustls::pki_types::ServerName;
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::tls::authority::{Authority, Issued, Subject};
    use crate::tls::pem;

    const DAYS: u32 = 1;

    struct Place {
        folder: TempDir,
        authority: Authority,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (authority, issued) = Authority::create("demo").unwrap();
            std::fs::write(folder.path().join("ca.pem"), issued.cert).unwrap();
            Self { folder, authority }
        }

        fn file(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn put(&self, name: &str, issued: &Issued) {
            std::fs::write(self.file(&format!("{name}.pem")), &issued.cert).unwrap();
            std::fs::write(self.file(&format!("{name}.key")), &issued.key).unwrap();
        }

        fn issue(&self, name: &str, subject: &Subject) {
            self.put(name, &self.authority.issue(subject, DAYS).unwrap());
        }

        /// A server's files, for `localhost`.
        fn server(&self, callers: Option<bool>) -> ClientFiles {
            let hosts = vec!["localhost".to_owned()];
            self.issue("m1", &Subject::Member { cluster: "demo".into(), member: "m1".into(), hosts });
            let callers = callers.map(|required| (self.file("ca.pem"), required));
            ClientFiles { cert: self.file("m1.pem"), key: self.file("m1.key"), callers }
        }

        /// A connection of a client that has these files, if any, and speaks this.
        async fn call(&self, tls: &ClientTls, shows: Option<&str>, speaks: &[&[u8]]) -> (Result<Shaken, String>, Result<(), String>) {
            let roots = pem::authorities(&self.file("ca.pem")).unwrap();
            let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
            let mut config = match shows {
                None => builder.with_no_client_auth(),
                Some(name) => {
                    let chain = certificates(&self.file(&format!("{name}.pem"))).unwrap();
                    builder.with_client_auth_cert(chain, private_key(&self.file(&format!("{name}.key"))).unwrap()).unwrap()
                }
            };
            config.alpn_protocols = speaks.iter().map(|protocol| protocol.to_vec()).collect();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let calling = tokio::spawn(async move {
                let name = ServerName::try_from("localhost").unwrap();
                let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())?;
                // What the server thinks of the client's certificate is heard with the first read.
                stream.read(&mut [0]).await.map(drop).map_err(|error| error.to_string())
            });
            let mut shaken = tls.accept(listener.accept().await.unwrap().0).await;
            if let Ok(shaken) = &mut shaken {
                let _ = shaken.stream.shutdown().await;
            }
            (shaken, calling.await.unwrap())
        }
    }

    #[tokio::test]
    async fn a_caller_is_known_by_its_certificate_and_by_nothing_without_one() {
        let place = Place::new();
        place.issue("ann", &Subject::Client { cluster: "demo".into(), name: "ann".into() });
        let optional = ClientTls::new(place.server(Some(false))).unwrap();
        let (shaken, _) = place.call(&optional, Some("ann"), &[HTTP2]).await;
        let shaken = shaken.unwrap();
        assert_eq!((shaken.caller.as_ref().map(CertName::as_str), shaken.http2), (Some("ann"), true));
        let (shaken, _) = place.call(&optional, None, &[b"http/1.1"]).await;
        let shaken = shaken.unwrap();
        assert_eq!((shaken.caller, shaken.http2), (None, false));
    }

    #[tokio::test]
    async fn without_a_certificate_of_the_authority_nobody_gets_in_where_one_is_asked_for() {
        let (place, elsewhere) = (Place::new(), Place::new());
        let required = ClientTls::new(place.server(Some(true))).unwrap();
        let (shaken, _) = place.call(&required, None, &[HTTP2]).await;
        assert!(shaken.err().unwrap().contains("no handshake"));
        let stranger = elsewhere.authority.issue(&Subject::Client { cluster: "demo".into(), name: "ann".into() }, DAYS).unwrap();
        place.put("stranger", &stranger);
        let (shaken, heard) = place.call(&required, Some("stranger"), &[HTTP2]).await;
        assert!(shaken.is_err() && heard.is_err(), "{heard:?}");
        place.issue("ann", &Subject::Client { cluster: "demo".into(), name: "ann".into() });
        place.call(&required, Some("ann"), &[HTTP2]).await.0.unwrap();
    }

    #[tokio::test]
    async fn the_common_name_is_the_name_where_no_uri_says_another() {
        let place = Place::new();
        let tls = ClientTls::new(place.server(Some(true))).unwrap();
        // A member's certificate names no client: its common name is the member's.
        let (shaken, _) = place.call(&tls, Some("m1"), &[HTTP2]).await;
        assert_eq!(shaken.unwrap().caller.unwrap().as_str(), "m1");
    }

    #[tokio::test]
    async fn files_that_were_read_again_are_shown_when_that_was_said_and_what_does_not_fit_never_is() {
        let (place, elsewhere) = (Place::new(), Place::new());
        let tls = ClientTls::new(place.server(None)).unwrap();
        let hosts = vec!["localhost".to_owned()];
        let strange = Subject::Member { cluster: "demo".into(), member: "m1".into(), hosts };
        place.put("m1", &elsewhere.authority.issue(&strange, DAYS).unwrap());
        let adopt = tls.again().unwrap();
        place.call(&tls, None, &[HTTP2]).await.1.expect("what was there is shown still");
        adopt();
        place.call(&tls, None, &[HTTP2]).await.1.expect_err("it is of another authority");
        place.server(None);
        std::fs::write(place.file("m1.key"), "no key").unwrap();
        assert!(tls.again().err().unwrap().to_string().contains("m1.key"));
        place.call(&tls, None, &[HTTP2]).await.1.expect_err("nothing has changed");
        place.server(None);
        tls.again().unwrap()();
        place.call(&tls, None, &[HTTP2]).await.1.expect("it was put right");
    }

    #[test]
    fn files_that_do_not_fit_are_named_with_what_is_wrong() {
        let place = Place::new();
        let good = place.server(Some(true));
        let refused = |files: ClientFiles| ClientTls::new(files).unwrap_err().to_string();
        place.issue("other", &Subject::Client { cluster: "demo".into(), name: "other".into() });
        let said = refused(ClientFiles { key: place.file("other.key"), ..good.clone() });
        assert!(said.contains("other.key: does not belong to the certificate"), "{said}");
        let said = refused(ClientFiles { cert: place.file("none.pem"), ..good.clone() });
        assert!(said.contains("none.pem: cannot be read"), "{said}");
        let said = refused(ClientFiles { callers: Some((place.file("m1.key"), true)), ..good });
        assert!(said.contains("m1.key: holds no certificate"), "{said}");
    }
}
