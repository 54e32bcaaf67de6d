//! Times and durations as text. A time of 0 is "none" on the wire.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use graft_proto::documents::time::rfc3339;

/// Milliseconds since the Unix epoch, by this machine's clock.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The time of day in UTC: `04:05:06.789`.
pub(crate) fn clock(ms: u64) -> String {
    let of_day = ms % 86_400_000;
    let (hours, minutes, seconds) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", of_day % 1_000)
}

/// A duration in its two largest units: `340µs`, `12ms`, `3.2s`, `2m05s`, `3h12m`, `4d06h`.
pub(crate) fn duration_us(us: u64) -> String {
    let (ms, s) = (us / 1_000, us / 1_000_000);
    match us {
        0..1_000 => format!("{us}µs"),
        1_000..1_000_000 => format!("{ms}ms"),
        1_000_000..60_000_000 => format!("{s}.{}s", ms / 100 % 10),
        _ if s < 3_600 => format!("{}m{:02}s", s / 60, s % 60),
        _ if s < 86_400 => format!("{}h{:02}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3_600 % 24),
    }
}

/// A duration that was measured, with three digits: `86µs`, `1.04ms`, `17.6ms`, `823ms`, `1.30s`.
pub(crate) fn three_digits(us: u64) -> String {
    let (value, unit) = match us {
        0..1_000 => return format!("{us}µs"),
        1_000..999_500 => (us as f64 / 1e3, "ms"),
        _ => (us as f64 / 1e6, "s"),
    };
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}{unit}")
}

/// A duration in milliseconds, as [`duration_us`] writes it.
pub(crate) fn duration_ms(ms: u64) -> String {
    if ms == 0 { "0ms".to_owned() } else { duration_us(ms.saturating_mul(1_000)) }
}

/// How long ago: `3m05s ago`; `-` for 0.
pub(crate) fn ago(ms: u64, now_ms: u64) -> String {
    if ms == 0 { "-".to_owned() } else { format!("{} ago", duration_ms(now_ms.saturating_sub(ms))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_has_three_digits() {
        let told =
            [(0, "0µs"), (86, "86µs"), (1_044, "1.04ms"), (9_996, "10.0ms"), (17_649, "17.6ms"), (823_295, "823ms"), (1_300_000, "1.30s")];
        for (us, text) in told {
            assert_eq!(three_digits(us), text);
        }
    }

    #[test]
    fn durations_are_short() {
        let cases = [
            (340, "340µs"),
            (12_345, "12ms"),
            (3_250_000, "3.2s"),
            (125_000_000, "2m05s"),
            (11_520_000_000, "3h12m"),
            (367_200_000_000, "4d06h"),
        ];
        for (us, text) in cases {
            assert_eq!(duration_us(us), text);
        }
        assert_eq!(ago(1_000, 186_000), "3m05s ago");
        assert_eq!(ago(0, 5), "-");
    }
}
