//! The smallest HTTP client that reads health and metrics: one GET, one answer.

use std::io::{Error, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Longest wait for a connection, and for each part of an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Status code and body of `GET path` at `address` (`HOST:PORT`).
pub fn get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let answer = whole(address, path)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status, body))
}

/// An answer with its head.
fn whole(address: &str, path: &str) -> std::io::Result<String> {
    let found = address.to_socket_addrs()?.next().ok_or_else(|| Error::other(format!("{address} is no address")))?;
    let mut stream = TcpStream::connect_timeout(&found, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What the clock of whoever answers at `address` shows, as the head of an answer says it.
pub fn date(address: &str) -> std::io::Result<String> {
    let answer = whole(address, "/healthz")?;
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    let date = head.lines().find_map(|line| line.to_ascii_lowercase().starts_with("date: ").then(|| line["date: ".len()..].to_owned()));
    date.ok_or_else(|| Error::other(format!("no date: {head}")))
}

/// The values of metric lines (`name` or `name{labels}` exactly as they are exposed) of one scrape, 0 for what is not there.
pub fn metrics<const N: usize>(address: &str, names: [&str; N]) -> std::io::Result<[f64; N]> {
    let (_, body) = get(address, "/metrics")?;
    let value = |name| body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
    Ok(names.map(|name| value(name).unwrap_or(0.0)))
}
