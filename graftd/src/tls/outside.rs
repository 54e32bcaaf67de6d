//! Talking to others than members and clients, where the other side alone shows who it is: asking for a document, or calling a service.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use tonic::body::Body;
use tower::Service;

use super::pem::{MaterialError, authorities};

/// Longest time for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Largest document, in bytes.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// Asks others for documents. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outside(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Outside {
    /// Trusts the authorities in this file, or else those of this machine.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn trusting(ca: Option<&Path>) -> Result<Self, MaterialError> {
        let connector = HttpsConnectorBuilder::new().with_tls_config(trusting(ca)?).https_or_http().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// The document at that address, in bounded time and size.
    ///
    /// # Errors
    /// If there is none, in words that begin with the address.
    pub async fn document(&self, address: &str) -> Result<Bytes, String> {
        let wrong = |why: String| format!("{address}: {why}");
        let uri: Uri = address.parse().map_err(|error| wrong(format!("is no address: {error}")))?;
        if !may_be_asked(&uri) {
            return Err(wrong("is asked over https alone, or on loopback".to_owned()));
        }
        let request = Request::get(uri).header(header::ACCEPT, "application/json").body(Empty::new());
        let request = request.map_err(|error| wrong(error.to_string()))?;
        let asking = async {
            let answer = self.0.request(request).await.map_err(|error| wrong(causes(&error)))?;
            if answer.status() != StatusCode::OK {
                return Err(wrong(format!("answered {}", answer.status())));
            }
            let body = Limited::new(answer.into_body(), DOCUMENT_BYTES_MAX).collect().await;
            body.map(|body| body.to_bytes()).map_err(|error| wrong(error.to_string()))
        };
        tokio::time::timeout(ANSWER_MAX, asking).await.map_err(|_| wrong(format!("gave no answer within {ANSWER_MAX:?}")))?
    }
}

/// A client whose connections stay, over which requests with such bodies go.
type Kept = Client<HttpsConnector<HttpConnector>, Body>;

/// Calls a service of others: a connection is made when it is needed, and kept. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OutsideCalls {
    client: Kept,
    origin: Uri,
}

impl OutsideCalls {
    /// What answers in HTTP/2 at that address, as gRPC needs it; over TLS if it says `https`, where the authorities in this file are trusted, or
    /// else those of this machine.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn grpc(origin: Uri, ca: Option<&Path>) -> Result<Self, MaterialError> {
        Self::at(origin, ca, true)
    }

    /// As [`grpc`](Self::grpc), in HTTP/1.1, or in HTTP/2 if the other side offers it over TLS.
    ///
    /// # Errors
    /// As there.
    pub fn http(origin: Uri, ca: Option<&Path>) -> Result<Self, MaterialError> {
        Self::at(origin, ca, false)
    }

    fn at(origin: Uri, ca: Option<&Path>, http2_only: bool) -> Result<Self, MaterialError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(ANSWER_MAX));
        let connector = HttpsConnectorBuilder::new().with_tls_config(trusting(ca)?).https_or_http();
        let connector =
            if http2_only { connector.enable_http2().wrap_connector(http) } else { connector.enable_all_versions().wrap_connector(http) };
        Ok(Self { client: Client::builder(TokioExecutor::new()).http2_only(http2_only).build(connector), origin })
    }

    /// The address.
    pub fn origin(&self) -> Uri {
        self.origin.clone()
    }
}

impl Service<Request<Body>> for OutsideCalls {
    type Response = <Kept as Service<Request<Body>>>::Response;
    type Error = <Kept as Service<Request<Body>>>::Error;
    type Future = <Kept as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.client.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.client.call(request)
    }
}

fn trusting(ca: Option<&Path>) -> Result<ClientConfig, MaterialError> {
    let roots = match ca {
        Some(file) => authorities(file)?,
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(roots)
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("ring has both");
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

/// What comes in the clear could be anybody's, but on this machine.
pub fn may_be_asked(uri: &Uri) -> bool {
    let loopback =
        |host: &str| host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => uri.host().is_some(),
        Some("http") => uri.host().is_some_and(loopback),
        _ => false,
    }
}

/// The error and what caused it, in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_asked_in_the_clear_but_this_machine() {
        for (address, may) in [
            ("https://id.example.com/keys", true),
            ("http://localhost:8080", true),
            ("http://127.0.0.1", true),
            ("http://[::1]:1/x", true),
            ("http://id.example.com", false),
            ("http://localhost.example.com", false),
            ("ftp://localhost", false),
            ("/keys", false),
        ] {
            assert_eq!(may_be_asked(&address.parse().expect("an address")), may, "{address}");
        }
    }
}
