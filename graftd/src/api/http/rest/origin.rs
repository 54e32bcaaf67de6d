//! What a browser is made to ask by a page that it shows, and who may not make it.
//!
//! Nothing here asks who somebody is: who can reach the port may use it. A browser reaches more than the pages that it shows should: any page can
//! make it send a request to this machine (it cannot read the answer, but what was ended stays ended), and a page whose name is made to
//! mean this machine (DNS rebinding) can read as well. So whatever changes something is refused when it comes from a page of another origin; and
//! a member that listens on loopback answers only where it was asked for by a name of loopback, or by the one that it advertises. Programs
//! send neither `Origin` nor `Sec-Fetch-Site`, and notice nothing of this.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use graft_proto::errors::{ErrorCode, Fault, quoted};
use http::uri::Authority;
use http::{HeaderMap, Method, Uri, header};

use super::super::problem::Refusal;
use super::route::finished;
use crate::api::Shared;

/// What a browser says of the page that a request comes from, next to what is asked.
const SEC_FETCH_SITE: &str = "sec-fetch-site";
/// What it says when no page of another origin is behind a request.
const OWN_SITES: [&str; 2] = ["same-origin", "none"];
/// A name of this machine, on this machine.
const LOCALHOST: &str = "localhost";

/// Under which names a member answers.
#[derive(Clone, Debug)]
pub(crate) enum Hosts {
    /// It can be reached from elsewhere, under names that it does not know.
    Any,
    /// Those of loopback, and the advertised one.
    Loopback { advertised: String },
}

impl Hosts {
    /// Of a listener at this address, which is advertised as `HOST:PORT`.
    pub(crate) fn of(listener: SocketAddr, advertised: &str) -> Self {
        if !listener.ip().to_canonical().is_loopback() {
            return Self::Any;
        }
        let host = advertised.parse::<Authority>().map(|authority| name(&authority)).unwrap_or_default();
        Self::Loopback { advertised: host }
    }

    fn have(&self, asked: &Authority) -> bool {
        let Self::Loopback { advertised } = self else { return true };
        let asked = name(asked);
        let address = asked.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        asked == LOCALHOST || asked == *advertised || address.is_ok_and(|address| address.to_canonical().is_loopback())
    }
}

/// The host of an authority, in one spelling.
fn name(authority: &Authority) -> String {
    let host = authority.host();
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Lets a request through, or refuses it.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let info = &shared.api.info;
    match check(&shared.hosts, &info.urls().of(&info.client_address), request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(fault) => finished(Refusal::from(fault).response(request.uri().path())),
    }
}

fn check(hosts: &Hosts, address: &str, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Fault> {
    let asked = asked(uri, headers)?;
    if let Some(stranger) = asked.iter().find(|asked| !hosts.have(asked)) {
        let detail = "is none under which this member answers: it listens on loopback, for this machine only";
        let remedy = format!("ask {address}; to be reached under another name, set client.advertise to it");
        return Err(Fault::new(ErrorCode::WrongOrigin, format!("host {}", quoted(stranger.as_str())), detail).remedy(remedy));
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let foreign = |what: String| {
        let detail = "says that a page of another origin is behind this request, which would change something";
        Err(Fault::new(ErrorCode::WrongOrigin, what, detail))
    };
    for site in headers.get_all(SEC_FETCH_SITE) {
        if !OWN_SITES.iter().any(|own| site == own) {
            return foreign(format!("the header Sec-Fetch-Site ({})", quoted(&String::from_utf8_lossy(site.as_bytes()))));
        }
    }
    for origin in headers.get_all(header::ORIGIN) {
        let uri = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        if !uri.is_some_and(|uri| asked.iter().any(|asked| same(&uri, asked))) {
            return foreign(format!("the header Origin ({})", quoted(&String::from_utf8_lossy(origin.as_bytes()))));
        }
    }
    Ok(())
}

/// Who was asked: what HTTP/2 calls the authority, and the header `Host`.
fn asked(uri: &Uri, headers: &HeaderMap) -> Result<Vec<Authority>, Fault> {
    let mut asked: Vec<Authority> = uri.authority().cloned().into_iter().collect();
    for host in headers.get_all(header::HOST) {
        let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        let Some(authority) = authority.filter(|authority| !authority.as_str().contains('@')) else {
            return Err(Fault::invalid(
                "the header Host",
                format!("is {}, which is none", quoted(&String::from_utf8_lossy(host.as_bytes()))),
            ));
        };
        asked.push(authority);
    }
    if asked.is_empty() {
        return Err(Fault::invalid("the header Host", "is missing").remedy("say whom you ask, as HTTP/1.1 demands"));
    }
    Ok(asked)
}

/// Whether a page of this origin came from whom it asks.
fn same(origin: &Uri, asked: &Authority) -> bool {
    let Some(authority) = origin.authority() else { return false };
    let usual = if origin.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 };
    name(authority) == name(asked) && authority.port_u16().unwrap_or(usual) == asked.port_u16().unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "graft.test:7420";

    fn loopback() -> Hosts {
        Hosts::of("127.0.0.1:7420".parse().expect("an address"), ADDRESS)
    }

    fn ask(hosts: &Hosts, method: Method, headers: &[(&'static str, &str)]) -> Result<(), Fault> {
        let value = |value: &str| http::HeaderValue::from_str(value).expect("a value");
        let headers = headers.iter().map(|(name, text)| (http::HeaderName::from_static(name), value(text)));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        check(hosts, ADDRESS, &method, &Uri::from_static("/api/v1/cluster"), &map)
    }

    #[test]
    fn a_listener_on_loopback_answers_under_names_of_loopback_and_the_advertised_one_only() {
        for host in
            ["localhost", "LocalHost:7420", "localhost.", "127.0.0.1:7420", "127.3.2.1", "[::1]:7420", "graft.test", "GRAFT.test:80"]
        {
            ask(&loopback(), Method::GET, &[("host", host)]).unwrap_or_else(|fault| panic!("{host}: {fault}"));
        }
        for host in ["evil.test", "localhost.evil.test", "evil.test:7420", "10.0.0.1", "0.0.0.0", "[::2]", "127.0.0.1.evil.test"] {
            let fault = ask(&loopback(), Method::GET, &[("host", host)]).expect_err(host);
            assert!(fault.code == ErrorCode::WrongOrigin && fault.to_string().contains("ask graft.test:7420;"), "{fault}");
            let open = Hosts::of("10.0.0.1:7420".parse().expect("an address"), ADDRESS);
            ask(&open, Method::GET, &[("host", host)]).expect("it is asked under names that it does not know");
        }
        for headers in [&[][..], &[("host", "")], &[("host", "a@localhost")], &[("host", "a b")]] {
            assert_eq!(ask(&loopback(), Method::GET, headers).expect_err("no host").code, ErrorCode::Invalid);
        }
        ask(&loopback(), Method::GET, &[("host", "localhost"), ("host", "evil.test")]).expect_err("both have to be good");
    }

    #[test]
    fn a_page_of_another_origin_reads_nothing_anyway_and_changes_nothing() {
        let post = |headers: &[(&'static str, &str)]| ask(&loopback(), Method::POST, &[&[("host", "localhost:7420")], headers].concat());
        post(&[]).expect("a program");
        for site in OWN_SITES {
            post(&[("sec-fetch-site", site)]).expect("the user, or a page of our own");
        }
        post(&[("origin", "http://localhost:7420")]).expect("a page of our own");
        for headers in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "http://evil.test"),
            ("origin", "http://localhost:8080"),
            ("origin", "http://localhost"),
            ("origin", "null"),
            ("origin", ""),
        ] {
            assert_eq!(post(&[headers]).expect_err(headers.1).code, ErrorCode::WrongOrigin, "{headers:?}");
            ask(&loopback(), Method::GET, &[("host", "localhost:7420"), headers]).expect("it reads");
        }
        let usual = |origin| ask(&Hosts::Any, Method::PUT, &[("host", "graft.test"), ("origin", origin)]);
        usual("https://graft.test").expect("the usual port of TLS");
        usual("http://graft.test:80").expect("the usual port");
        usual("http://graft.test:81").expect_err("another port");
    }
}
