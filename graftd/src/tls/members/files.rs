//! The three files: the authority, the certificate with its chain, and the key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use graft_proto::peer_identity::MemberIdentity;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use x509_parser::time::ASN1Time;

use super::verify::{self, MemberVerifier};
use crate::tls::kept::Made;
use crate::tls::pem::{MaterialError, authorities, certificates, expiry, private_key};

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

/// Whose files they are.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) me: MemberIdentity,
    pub(super) files: MaterialFiles,
}

/// What connections are made with.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
    /// When the certificate expires.
    expires: ASN1Time,
}

impl Made for Material {
    type Of = Member;

    fn files(of: &Member) -> Vec<&Path> {
        vec![&of.files.ca, &of.files.cert, &of.files.key]
    }

    fn made(Member { me, files }: &Member) -> Result<Self, MaterialError> {
        let MaterialFiles { ca, cert, key } = files;
        let roots = authorities(ca)?;
        let chain = certificates(cert)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (own, between) = chain.split_first().expect("at least one certificate was read");
        let wrong = |why: String| MaterialError::of(cert, why);
        verify::leads_to(&roots, own, between, &provider)
            .map_err(|error| wrong(format!("was not made by the authority in {}: {error}", ca.display())))?;
        match verify::identity(own) {
            Ok(identity) if identity == *me => {}
            Ok(other) => return Err(wrong(format!("is of {other}, and this is {me}"))),
            Err(why) => return Err(wrong(format!("{why}; its URI has to be {}", me.uri()))),
        }
        let private = private_key(key)?;
        let expires = expiry(own).map_err(wrong)?;
        let (server, client) = configs(provider, roots, chain, private)
            .map_err(|error| MaterialError::of(key, format!("does not belong to the certificate in {}: {error}", cert.display())))?;
        Ok(Self { server: Arc::new(server), client: Arc::new(client), expires })
    }

    fn expires(&self) -> i64 {
        self.expires.timestamp()
    }

    fn called(&self) -> String {
        format!("the certificate for members, good until {},", self.expires)
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
