//! How long a caller of gRPC waits for its answer, as its request says. Source: "gRPC over HTTP2", section Requests.

use std::time::Duration;

use http::HeaderMap;

/// The header.
pub(super) const TIMEOUT: &str = "grpc-timeout";

/// `None`: it does not say, or not so that it can be read.
pub(super) fn of(headers: &HeaderMap) -> Option<Duration> {
    read(headers.get(TIMEOUT)?.to_str().ok()?)
}

/// At most 8 digits and a unit.
fn read(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_in_every_unit_and_nothing_else_is() {
        let good = [("2H", 7_200_000_000_000), ("3M", 180_000_000_000), ("4S", 4_000_000_000), ("5m", 5_000_000), ("6u", 6_000), ("7n", 7)];
        for (text, nanos) in good {
            assert_eq!(read(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for bad in ["", "S", "5", "5s", "-5S", "5 S", "123456789S", "5é"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
