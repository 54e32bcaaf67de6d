//! Certificates and keys out of files in PEM.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {why}", file.display())]
pub struct MaterialError {
    /// Which file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl MaterialError {
    pub(super) fn of(file: &Path, why: String) -> Self {
        Self { file: file.to_owned(), why }
    }
}

/// The certificates in a file, at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| MaterialError::of(file, format!("cannot be read: {error}")))?;
    let read: Result<Vec<_>, _> = read.collect();
    match read.map_err(|error| MaterialError::of(file, format!("is no PEM: {error}")))? {
        none if none.is_empty() => Err(MaterialError::of(file, "holds no certificate in PEM".to_owned())),
        some => Ok(some),
    }
}

/// The certificates in a file, as those to whom everything has to lead.
pub(super) fn authorities(file: &Path) -> Result<Arc<RootCertStore>, MaterialError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(file)? {
        let added = roots.add(authority);
        added.map_err(|error| MaterialError::of(file, format!("holds a certificate that is no authority: {error}")))?;
    }
    Ok(Arc::new(roots))
}

/// The private key in a file.
pub(super) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, MaterialError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| MaterialError::of(file, format!("holds no private key in PEM: {error}")))
}

/// A certificate, taken apart.
pub(super) fn parsed<'a>(cert: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    X509Certificate::from_der(cert).map(|(_, cert)| cert).map_err(|error| format!("is no certificate: {error}"))
}

/// When a certificate expires.
pub(super) fn expiry(cert: &CertificateDer<'_>) -> Result<ASN1Time, String> {
    Ok(parsed(cert)?.validity().not_after)
}
