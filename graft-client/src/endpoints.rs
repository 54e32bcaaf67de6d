//! Where servers answer.

use graft_proto::errors::ErrorCode;

use crate::error::ClientError;

/// Addresses of members, at least one: a URL, several separated by commas, or a list.
///
/// A scheme may be left out (`http://` is meant). One address is enough; with more, the client finds its way when a member is down.
#[derive(Clone, Debug)]
pub struct Endpoints(Vec<String>);

impl Endpoints {
    /// The addresses as URLs, without repeats.
    ///
    /// # Errors
    /// If there is none, or one that is no URL of a host.
    pub(crate) fn into_urls(self) -> Result<Vec<String>, ClientError> {
        let mut urls: Vec<String> = Vec::new();
        for address in &self.0 {
            let url = normal(address)?;
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        if urls.is_empty() {
            return Err(bad("no address was given"));
        }
        Ok(urls)
    }
}

/// One address as `scheme://host:port`.
pub(crate) fn normal(address: &str) -> Result<String, ClientError> {
    let address = address.trim();
    let address = address.strip_suffix('/').filter(|rest| !rest.ends_with(":/")).unwrap_or(address);
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let uri: http::Uri = url.parse().map_err(|error| bad(format!("\"{address}\" is no URL: {error}")))?;
    if uri.host().is_none_or(str::is_empty) {
        return Err(bad(format!("\"{address}\" names no host")));
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if let Some((_, port)) = authority.rsplit(']').next().and_then(|tail| tail.rsplit_once(':'))
        && port.parse::<u16>().is_err()
    {
        return Err(bad(format!("\"{address}\" has no port that there can be: \"{port}\"")));
    }
    match uri.scheme_str() {
        Some("http" | "https") => Ok(url),
        other => Err(bad(format!("\"{address}\" has the scheme \"{}\"; http and https are known", other.unwrap_or_default()))),
    }
}

/// Whether TLS is spoken with this URL.
pub(crate) fn is_secure(url: &str) -> bool {
    url.starts_with("https://")
}

/// Whether what is sent to this URL stays on this machine.
pub(crate) fn is_loopback(url: &str) -> bool {
    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(|host| host.trim_matches(['[', ']']).to_owned()));
    host.is_some_and(|host| host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()))
}

fn bad(message: impl Into<String>) -> ClientError {
    ClientError::new(ErrorCode::BadEndpoint, "connect", "", message)
        .remedied("Give the client address of a graftd, such as http://127.0.0.1:7420.")
}

impl From<&str> for Endpoints {
    fn from(text: &str) -> Self {
        Self(text.split(',').filter(|part| !part.trim().is_empty()).map(str::to_owned).collect())
    }
}

impl From<String> for Endpoints {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for Endpoints {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl<T: Into<String>> From<Vec<T>> for Endpoints {
    fn from(list: Vec<T>) -> Self {
        Self(list.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<String>, const N: usize> From<[T; N]> for Endpoints {
    fn from(list: [T; N]) -> Self {
        Self(list.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_be_written_in_several_ways() {
        let urls = Endpoints::from("127.0.0.1:1, http://b:2/,127.0.0.1:1").into_urls().unwrap();
        assert_eq!(urls, ["http://127.0.0.1:1", "http://b:2"]);
        assert_eq!(Endpoints::from("https://a:1").into_urls().unwrap(), ["https://a:1"]);
        assert_eq!(Endpoints::from("https://[::1]").into_urls().unwrap(), ["https://[::1]"]);
        assert_eq!(Endpoints::from(vec!["a:1"]).into_urls().unwrap(), ["http://a:1"]);
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_an_example() {
        for text in ["", " , ", "ftp://a:1", "http://", "a b", "a:99999", "https://[::1]:70000", "a:"] {
            let error = Endpoints::from(text).into_urls().unwrap_err();
            assert_eq!(error.code(), ErrorCode::BadEndpoint.name(), "{text}");
            assert!(error.to_string().contains("http://127.0.0.1:7420"), "{error}");
        }
    }
}
