//! Connections to others than members and clients, where the other side alone shows who it is.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::pem::{MaterialError, authorities};

/// What trusts the authorities in this file, or else those of this machine.
///
/// # Errors
/// If the file cannot be read, or this machine has no authorities.
pub fn trusting(ca: Option<&Path>) -> Result<Arc<ClientConfig>, MaterialError> {
    let roots = match ca {
        Some(file) => authorities(file)?,
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(roots)
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("ring has both")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
