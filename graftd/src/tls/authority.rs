//! An authority for a cluster that has none: what `graft tls` makes. Whoever has an authority of their own needs nothing of this.
//!
//! Keys are ECDSA on P-256. A member's certificate has one URI that names it ([`graft_proto::peer_identity`]) and is good for both sides of a
//! connection; with the names of its hosts in it, clients know it as well. A client's has one URI, too, and is good for the calling side alone.

use std::fmt;

use graft_proto::peer_identity::{MemberIdentity, client_uri};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

/// How long an authority lasts, in days.
pub const AUTHORITY_DAYS: u32 = 3_650;
/// How long a certificate lasts unless somebody says otherwise, in days.
pub const CERTIFICATE_DAYS: u32 = 365;
/// Longest that a certificate may last, in days.
pub const CERTIFICATE_DAYS_MAX: u32 = AUTHORITY_DAYS;
/// Seconds of a day.
const DAY_SECONDS: u64 = 24 * 60 * 60;
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
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// The private key: whoever has it is the holder, or the authority.
    pub key: String,
}

impl fmt::Debug for Issued {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("cert", &self.cert).finish_non_exhaustive()
    }
}

/// Who holds a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A member.
    Member {
        /// Its cluster's name.
        cluster: String,
        /// Its own.
        member: String,
        /// Names and addresses under which clients reach it; none: members alone do.
        hosts: Vec<String>,
    },
    /// A client or a worker.
    Client {
        /// The cluster's name.
        cluster: String,
        /// Its own.
        name: String,
    },
}

impl Subject {
    /// A member, for other members.
    pub fn member(identity: &MemberIdentity) -> Self {
        Self::Member { cluster: identity.cluster.clone(), member: identity.member.clone(), hosts: Vec::new() }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member { cluster, member, .. } => write!(f, "member {member} of cluster {cluster}"),
            Self::Client { cluster, name } => write!(f, "client {name} of cluster {cluster}"),
        }
    }
}

/// Makes certificates.
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
        (params.not_before, params.not_after) = from_now(std::time::Duration::from_secs(u64::from(AUTHORITY_DAYS) * DAY_SECONDS));
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
        if let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(cert.as_bytes())
            && let Ok(own) = pem.parse_x509()
            && own.public_key().raw != key.subject_public_key_info()
        {
            return Err(AuthorityError("the key is not that of the certificate: what it signs, nobody would believe".to_owned()));
        }
        let issuer =
            Issuer::from_ca_cert_pem(cert, key).map_err(|error| AuthorityError(format!("the certificate cannot be read: {error}")))?;
        Ok(Self { issuer })
    }

    /// A certificate, from now on for so many days.
    ///
    /// # Errors
    /// If no key can be made, or a host is neither a name nor an address.
    pub fn issue(&self, subject: &Subject, days: u32) -> Result<Issued, AuthorityError> {
        self.issue_for(subject, std::time::Duration::from_secs(u64::from(days) * DAY_SECONDS))
    }

    /// As [`issue`](Self::issue), for that time; in whole seconds.
    ///
    /// # Errors
    /// As there.
    pub fn issue_for(&self, subject: &Subject, valid: std::time::Duration) -> Result<Issued, AuthorityError> {
        let (name, uri, hosts, usages) = match subject {
            Subject::Member { cluster, member, hosts } => {
                let uri = MemberIdentity { cluster: cluster.clone(), member: member.clone() }.uri();
                (member, uri, hosts.as_slice(), vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth])
            }
            Subject::Client { cluster, name } => (name, client_uri(cluster, name), &[][..], vec![ExtendedKeyUsagePurpose::ClientAuth]),
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into()?)];
        for host in hosts {
            params.subject_alt_names.push(match host.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.as_str().try_into().map_err(|_| AuthorityError(format!("`{host}` is no name of a host")))?),
            });
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        (params.not_before, params.not_after) = from_now(valid);
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

fn from_now(valid: std::time::Duration) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - Duration::hours(GOOD_SINCE_HOURS), now + valid)
}
