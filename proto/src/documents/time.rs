//! Points in time as text: RFC 3339. A time of 0 is "none" on the wire.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MS_PER_DAY: u64 = 86_400_000;
const DAYS_FROM_MARCH_0: u64 = 719_468;
const DAYS_PER_ERA: u64 = 146_097;
/// RFC 3339 has four digits for the year.
const YEAR_10000: u64 = 253_402_300_800_000;

/// A point in time, in milliseconds since the Unix epoch. As text it is RFC 3339 in UTC: `2026-11-24T04:05:06.789Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// As the wire has it: 0 is no time.
    pub fn of(ms: u64) -> Option<Self> {
        (ms > 0).then_some(Self(ms))
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-24T04:05:06.789Z`. `None` for 0.
pub fn rfc3339(ms: u64) -> Option<String> {
    Time::of(ms).map(|time| time.to_string())
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0 / MS_PER_DAY);
        let of_day = self.0 % MS_PER_DAY;
        let (hours, minutes, seconds) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", of_day % 1_000)
    }
}

/// Year, month and day of a count of days since 1970-01-01, in the Gregorian calendar.
///
/// Counts from 1 March of year 0, so that the leap day is the last of its year and months have lengths in a pattern of five.
fn civil(days: u64) -> (u64, u64, u64) {
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

/// Days since 1970-01-01 of a date, for years from 1970 on: the other way round.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * DAYS_PER_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - DAYS_FROM_MARCH_0
}

/// A text that is no point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTime;

impl fmt::Display for NoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is no time like 2026-11-24T04:05:06Z (RFC 3339, from 1970 on)")
    }
}

impl std::error::Error for NoTime {}

impl FromStr for Time {
    type Err = NoTime;

    /// Reads RFC 3339, with any offset; what is finer than a millisecond is cut off.
    fn from_str(text: &str) -> Result<Self, NoTime> {
        parse(text).ok_or(NoTime)
    }
}

fn parse(text: &str) -> Option<Time> {
    let (date, rest) = text.is_ascii().then(|| text.split_at_checked(10)).flatten()?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let (year, month, day) = (number(&date[..4], 9_999)?, number(&date[5..7], 12)?, number(&date[8..], 31)?);
    let (hours, minutes, seconds) = (number(&clock[..2], 23)?, number(&clock[3..5], 59)?, number(&clock[6..], 60)?);
    let marks = [date.as_bytes()[4], date.as_bytes()[7], clock.as_bytes()[2], clock.as_bytes()[5]];
    if marks != *b"--::" || year < 1970 || month == 0 || day == 0 {
        return None;
    }
    let day_of_epoch = days(year, month, day);
    // 31 February is another day in the calendar.
    if civil(day_of_epoch) != (year, month, day) {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
        None => ("000", rest),
    };
    let ms = number(&format!("{fraction:0<3}")[..3], 999).filter(|_| !fraction.is_empty())?;
    let local = day_of_epoch * MS_PER_DAY + (hours * 3_600 + minutes * 60 + seconds) * 1_000 + ms;
    let offset = |text: &str| {
        let (hours, minutes) = text.split_once(':').filter(|_| text.len() == 5)?;
        Some((number(hours, 23)? * 60 + number(minutes, 59)?) * 60_000)
    };
    let utc = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => local,
        ("+", ahead) => local.checked_sub(offset(ahead)?)?,
        ("-", behind) => local.checked_add(offset(behind)?)?,
        _ => return None,
    };
    // A leap second or an offset may lead into a year that could not be written.
    (utc < YEAR_10000).then_some(Time(utc))
}

fn number(text: &str, max: u64) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| *number <= max)
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(|error: NoTime| serde::de::Error::custom(format!("{text:?} {error}")))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: [(u64, &str); 6] = [
        (1, "1970-01-01T00:00:00.001Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
        (1_795_493_106_789, "2026-11-24T04:05:06.789Z"),
        (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ];

    #[test]
    fn times_are_written_in_rfc_3339_and_read_back() {
        for (ms, text) in CASES {
            assert_eq!(rfc3339(ms).as_deref(), Some(text));
            assert_eq!(text.parse(), Ok(Time(ms)), "{text}");
        }
        assert_eq!(rfc3339(0), None);
        for day in 0..60_000 {
            let time = Time(day * MS_PER_DAY + 1);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    /// Found by feeding it damaged texts.
    #[test]
    fn a_time_that_could_not_be_written_is_not_read() {
        for text in ["9999-12-31T23:59:60Z", "9999-12-31T23:59:59-00:01", "9999-12-31T00:01:00-23:59"] {
            assert_eq!(text.parse::<Time>(), Err(NoTime), "{text}");
        }
        assert!("9999-12-31T23:59:59.999Z".parse::<Time>().is_ok());
    }

    #[test]
    fn offsets_and_fractions_are_understood() {
        for text in ["2026-11-24T05:05:06.789+01:00", "2026-11-23 22:35:06.7891234-05:30", "2026-11-24t04:05:06.789z"] {
            assert_eq!(text.parse(), Ok(Time(1_795_493_106_789)), "{text}");
        }
        assert_eq!("2026-11-24T04:05:06.7Z".parse(), Ok(Time(1_795_493_106_700)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let wrong = [
            "",
            "now",
            "2026-11-24",
            "2026-11-24T04:05:06",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T04:05:06.Z",
            "2026-11-24T04:05:06+1:00",
            "2026/11/24T04:05:06Z",
            "2026-11-24T04:05:06Zx",
            "2026-11-2äT04:05:06Z",
            "+026-11-24T04:05:06Z",
            "2026-00-10T00:00:00Z",
            "1970-01-01T00:00:00+01:00",
            "2026-11-24T04:05:06.123",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Time>(), Err(NoTime), "{text}");
        }
    }
}
