//! Whether anybody answers at all.
//!
//! The client repeats a call for as long as it may, which is right while members change leaders, and wrong for a person who forgot to start a
//! server. So a verb first knocks: if every address refuses for [`PATIENCE`], it says so.

use std::time::Duration;

use futures::future::select_ok;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Uri;

use crate::error::{CliError, CliResult};

/// How long a refusal is taken for a server that is just starting.
const PATIENCE: Duration = Duration::from_secs(2);
/// The wait between knocks.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for one answer.
const KNOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// Waits until one of the addresses takes a connection; at most two seconds, or `most` if that is less.
pub(crate) async fn reach(addr: &str, most: Duration) -> CliResult {
    let until = Instant::now() + PATIENCE.min(most);
    loop {
        let knocks = addr.split(',').filter(|part| !part.trim().is_empty()).map(|part| Box::pin(knock(part.trim())));
        let Err(reason) = select_ok(knocks).await else { return Ok(()) };
        if Instant::now() + PAUSE >= until {
            return Err(CliError::Unreachable { addr: addr.to_owned(), reason });
        }
        sleep(PAUSE).await;
    }
}

async fn knock(address: &str) -> Result<(), String> {
    let with_scheme = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let uri: Uri = with_scheme.parse().map_err(|error| format!("\"{address}\" is no URL: {error}"))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(80);
    match timeout(KNOCK_TIMEOUT, TcpStream::connect((host, port))).await {
        Ok(Ok(_stream)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err(format!("no answer within {} s", KNOCK_TIMEOUT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_that_answers_is_enough() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        reach(&format!("http://127.0.0.1:1,{address}"), Duration::from_secs(2)).await.unwrap();
    }

    #[tokio::test]
    async fn nobody_at_all_is_unavailable_and_the_error_says_what_to_do() {
        let error = reach("http://127.0.0.1:1", Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(error.exit_code(), 6);
        let text = error.to_string();
        assert!(text.contains("http://127.0.0.1:1") && text.contains("refused") && text.contains("graft dev"), "{text}");
    }
}
