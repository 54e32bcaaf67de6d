//! Times and durations as text. A time of 0 is "none" on the wire.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, by this machine's clock.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// RFC 3339 in UTC with milliseconds: `2026-11-24T04:05:06.789Z`. `None` for 0.
pub(crate) fn rfc3339(ms: u64) -> Option<String> {
    if ms == 0 {
        return None;
    }
    let (year, month, day) = civil(ms / 86_400_000);
    Some(format!("{year:04}-{month:02}-{day:02}T{}Z", clock(ms)))
}

/// The time of day in UTC: `04:05:06.789`.
pub(crate) fn clock(ms: u64) -> String {
    let of_day = ms % 86_400_000;
    let (hours, minutes, seconds) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", of_day % 1_000)
}

/// Year, month and day of a count of days since 1970-01-01, in the Gregorian calendar.
///
/// Counts from 1 March of year 0, so that the leap day is the last of its year and months have lengths in a pattern of five.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_MARCH_0: u64 = 719_468;
    const DAYS_PER_ERA: u64 = 146_097;
    let days = days + DAYS_FROM_MARCH_0;
    let (era, of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
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
    fn times_are_written_in_rfc_3339() {
        let cases = [
            (1, "1970-01-01T00:00:00.001Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_795_493_106_789, "2026-11-24T04:05:06.789Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
        ];
        for (ms, text) in cases {
            assert_eq!(rfc3339(ms).as_deref(), Some(text));
        }
        assert_eq!(rfc3339(0), None);
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
