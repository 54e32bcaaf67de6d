//! The three files: the authority, the certificate with its chain, and the key.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use graft_proto::peer_identity::MemberIdentity;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use x509_parser::time::ASN1Time;

use super::verify::{self, MemberVerifier};

/// Where the files are, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaterialFiles {
    /// Certificates of the authority that all members trust; several while one takes the place of another.
    pub ca: PathBuf,
    /// This member's certificate, and those between it and the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {why}", file.display())]
pub struct MaterialError {
    /// Which file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// What changes when a file is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<(SystemTime, u64)>; 3]);

/// What connections are made with.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
    /// When the certificate expires.
    pub(super) expires: ASN1Time,
}

impl MaterialFiles {
    pub(super) fn stamp(&self) -> Stamp {
        let of = |path: &Path| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.modified().ok()?, meta.len()))
        };
        Stamp([of(&self.ca), of(&self.cert), of(&self.key)])
    }
}

impl Material {
    /// Reads and checks all of it: what others would refuse is refused here, where it can be mended.
    pub(super) fn read(files: &MaterialFiles, me: &MemberIdentity) -> Result<Self, MaterialError> {
        let MaterialFiles { ca, cert, key } = files;
        let wrong = |file: &Path, why: String| MaterialError { file: file.to_owned(), why };
        let mut roots = RootCertStore::empty();
        for authority in certificates(ca)? {
            roots.add(authority).map_err(|error| wrong(ca, format!("holds a certificate that is no authority: {error}")))?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(cert)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (own, between) = chain.split_first().expect("at least one certificate was read");
        verify::leads_to(&roots, own, between, &provider)
            .map_err(|error| wrong(cert, format!("was not made by the authority in {}: {error}", ca.display())))?;
        match verify::identity(own) {
            Ok(identity) if identity == *me => {}
            Ok(other) => return Err(wrong(cert, format!("is of {other}, and this is {me}"))),
            Err(why) => return Err(wrong(cert, format!("{why}; its URI has to be {}", me.uri()))),
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, format!("holds no private key in PEM: {error}")))?;
        let expires = verify::expiry(own).map_err(|why| wrong(cert, why))?;
        let (server, client) = configs(provider, roots, chain, private)
            .map_err(|error| wrong(key, format!("does not belong to the certificate in {}: {error}", cert.display())))?;
        Ok(Self { server: Arc::new(server), client: Arc::new(client), expires })
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let wrong = |why: String| MaterialError { file: file.to_owned(), why };
    let read = CertificateDer::pem_file_iter(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let read: Result<Vec<_>, _> = read.collect();
    match read.map_err(|error| wrong(format!("is no PEM: {error}")))? {
        none if none.is_empty() => Err(wrong("holds no certificate in PEM".to_owned())),
        some => Ok(some),
    }
}

fn configs(
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<(ServerConfig, ClientConfig), rustls::Error> {
    let callers = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(callers)
        .with_single_cert(chain.clone(), key.clone_key())?;
    // A resumed session would outlive the certificate that it began with.
    server.send_tls13_tickets = 0;
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(MemberVerifier { roots, provider }))
        .with_client_auth_cert(chain, key)?;
    client.enable_sni = false;
    client.resumption = rustls::client::Resumption::disabled();
    client.alpn_protocols = vec![b"h2".to_vec()];
    Ok((server, client))
}
