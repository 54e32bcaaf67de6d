//! An authority for a cluster that has none: what `graft tls` makes. Whoever has an authority of their own needs nothing of this.
//!
//! Keys are ECDSA on P-256. The authority signs nothing but certificates of members, each with one URI
//! ([`graft_proto::peer_identity`]), good for both sides of a connection.

use graft_proto::peer_identity::MemberIdentity;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

/// How long an authority lasts, in days.
pub const AUTHORITY_DAYS: u32 = 3_650;
/// How long a certificate lasts unless somebody says otherwise, in days.
pub const MEMBER_DAYS: u32 = 365;
/// Longest that a certificate of a member may last, in days.
pub const MEMBER_DAYS_MAX: u32 = AUTHORITY_DAYS;
/// Clocks differ: what is made now is good from so long ago, in hours.
const GOOD_SINCE_HOURS: i64 = 1;

/// What could not be made, or read.
#[derive(Clone, Debug, Error)]
#[error("{0}")]
pub struct AuthorityError(String);

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self(error.to_string())
    }
}

/// A certificate and its private key, in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// The private key: whoever has it is the member, or the authority.
    pub key: String,
}

/// Makes certificates of members.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, named after the cluster.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn create(cluster: &str) -> Result<(Self, Issued), AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&format!("graft cluster {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = from_now(AUTHORITY_DAYS);
        let key = KeyPair::generate()?;
        let secret = key.serialize_pem();
        let own = CertifiedIssuer::self_signed(params, key)?;
        let issued = Issued { cert: own.pem(), key: secret };
        Ok((Self::read(&issued)?, issued))
    }

    /// One that was made before.
    ///
    /// # Errors
    /// If it is no certificate, or not the key that belongs to it.
    pub fn read(Issued { cert, key }: &Issued) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(key).map_err(|error| AuthorityError(format!("the key cannot be read: {error}")))?;
        let issuer =
            Issuer::from_ca_cert_pem(cert, key).map_err(|error| AuthorityError(format!("the certificate cannot be read: {error}")))?;
        Ok(Self { issuer })
    }

    /// A certificate for a member, from now on for so many days.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn issue(&self, member: &MemberIdentity, days: u32) -> Result<Issued, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&member.member);
        params.subject_alt_names = vec![SanType::URI(member.uri().as_str().try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = from_now(days);
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { cert: cert.pem(), key: key.serialize_pem() })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn from_now(days: u32) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - Duration::hours(GOOD_SINCE_HOURS), now + Duration::days(days.into()))
}
