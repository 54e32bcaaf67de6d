//! Who is on the other side of a connection, and that nobody listens: TLS 1.3 with the cryptography of `ring`.
//!
//! ```text
//! pem        certificates and keys out of files, and what is wrong with them
//! kept       what was made of files, made again when they change; what does not fit is told and the old stays
//! members    connections between members: both sides show a certificate that names cluster and member
//! until      connections end with the certificate of their other side
//! clients    connections of clients and workers: this side shows a certificate, and the other may have to
//! outside    connections to others, who alone show who they are: an identity provider, a collector of spans
//! authority  makes an authority and certificates, for who has none
//! ```
//!
//! A leaf: it knows no floor of the house.

pub mod authority;
pub mod clients;
mod kept;
pub mod members;
pub mod outside;
mod pem;
mod until;

pub use kept::LOOK_EVERY;
pub use pem::MaterialError;
