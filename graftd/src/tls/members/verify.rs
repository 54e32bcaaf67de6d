//! What a certificate has to be: made by the authority, and of a member.
//!
//! A caller's chain is checked by rustls' own verifier; the one for whoever is called differs from rustls' in one thing: it compares no host
//! name. Who it is stands in the URI, and whoever made the connection compares that with whom it meant.

use std::sync::Arc;

use graft_proto::peer_identity::MemberIdentity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_parser::extensions::GeneralName;

use crate::tls::pem::parsed;

/// Checks whoever is called.
#[derive(Debug)]
pub(super) struct MemberVerifier {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for MemberVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        signed(&self.roots, end_entity, intermediates, &self.provider, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn signed(
    roots: &RootCertStore,
    cert: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    provider: &CryptoProvider,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let cert = ParsedCertificate::try_from(cert)?;
    verify_server_cert_signed_by_trust_anchor(&cert, roots, between, now, provider.signature_verification_algorithms.all)
}

/// Whether a certificate leads to the authority now.
pub(super) fn leads_to(
    roots: &RootCertStore,
    cert: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    provider: &CryptoProvider,
) -> Result<(), rustls::Error> {
    signed(roots, cert, between, provider, UnixTime::now())
}

/// The member that a certificate names: the one URI of that kind.
pub(super) fn identity(cert: &CertificateDer<'_>) -> Result<MemberIdentity, String> {
    let cert = parsed(cert)?;
    let names = cert.subject_alternative_name().map_err(|error| format!("has names that cannot be read: {error}"))?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut members = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => MemberIdentity::of_uri(uri),
        _ => None,
    });
    match (members.next(), members.next()) {
        (Some(member), None) => Ok(member),
        (None, _) => Err("names no member of a cluster".to_owned()),
        (Some(_), Some(_)) => Err("names several members".to_owned()),
    }
}
