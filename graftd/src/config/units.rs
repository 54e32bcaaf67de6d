//! Durations, sizes and addresses as people write them. Parsed once, valid ever after.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration, written `250ms`, `10s`, `5m`, `1h` or `7d`. Whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u64);

/// A size, written `512B`, `64KiB`, `64MiB` or `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// A part of a whole, written `100%`, `5%` or `0.1%`: to a ten-thousandth of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// An address, written `HOST:PORT` (`127.0.0.1:7420`, `[::1]:7420`, `graft-0.example:7420`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: u16,
}

pub(super) const SPANS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
pub(super) const SIZES: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Span {
    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }
    /// In milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }
    /// As the standard library has it.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl Size {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }
    /// So many mebibytes.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }
    /// In bytes.
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }
}

impl Share {
    /// The whole.
    pub const ALL: Self = Self(1_000_000);

    /// So many millionths.
    pub const fn from_millionths(millionths: u32) -> Self {
        Self(millionths)
    }
    /// In millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

impl HostPort {
    /// `127.0.0.1` with this port.
    pub fn loopback(port: u16) -> Self {
        Self { host: "127.0.0.1".into(), port }
    }
    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// The same host with another port.
    pub fn with_port(&self, port: u16) -> Self {
        Self { host: self.host.clone(), port }
    }
    /// Whether only this machine reaches it, as far as the text tells: a name other than `localhost` may lead anywhere.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }
    /// The host, as it was written: an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
    /// Whether it stands for all addresses of the machine (`0.0.0.0`, `[::]`), so that nobody can be told to connect to it.
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }
    fn ip(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        number_with_unit(text, SPANS).map(Self).ok_or_else(|| format!("`{text}` is no duration; write it like 250ms, 10s, 5m, 1h or 7d"))
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        number_with_unit(text, SIZES).map(Self).ok_or_else(|| format!("`{text}` is no size; write it like 512B, 64KiB, 64MiB or 2GiB"))
    }
}

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is no share; write it like 100%, 5% or 0.1%, with at most four digits behind the point");
        let (whole, part) = text.strip_suffix('%').map(|number| number.split_once('.').unwrap_or((number, "0"))).ok_or_else(refused)?;
        let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole, 3) || !digits(part, 4) {
            return Err(refused());
        }
        let millionths = format!("{whole}{part:0<4}").parse().map_err(|_| refused())?;
        if millionths <= Self::ALL.0 { Ok(Self(millionths)) } else { Err(refused()) }
    }
}

impl FromStr for HostPort {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is no address; write it as HOST:PORT, like 127.0.0.1:7420 or [::1]:7420");
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let port = port.parse().map_err(|_| refused())?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        let this = Self { host: host.to_owned(), port };
        if plain || (bracketed && this.ip().is_some()) { Ok(this) } else { Err(refused()) }
    }
}

fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn with_unit(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = units.iter().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor));
    let (unit, factor) = fits.or(units.last()).expect("there are units");
    write!(f, "{}{unit}", value / factor)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_unit(f, self.0, SPANS)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_unit(f, self.0, SIZES)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Reads text into a type that parses it, and says what was expected if it is something else.
fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(deserializer: D, expected: &'static str) -> Result<T, D::Error> {
    struct Text<T>(&'static str, std::marker::PhantomData<T>);
    impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Text(expected, std::marker::PhantomData)).map_err(D::Error::custom)
}

/// A list, or (from the environment, where everything is text) its elements with commas between them.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + FromStr<Err: fmt::Display>,
{
    struct List<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de> + FromStr<Err: fmt::Display>> Visitor<'de> for List<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| part.parse().map_err(E::custom)).collect()
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = elements.next_element()? {
                list.push(element);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_any(List(std::marker::PhantomData))
}

macro_rules! as_text {
    ($($type:ty: $expected:literal,)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                from_text(deserializer, $expected)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

as_text! {
    Span: "a duration with a unit, like \"250ms\"",
    Size: "a size with a unit, like \"64MiB\"",
    Share: "a share, like \"5%\"",
    HostPort: "an address, like \"127.0.0.1:7420\"",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_back_what_they_write() {
        for text in ["0ms", "250ms", "10s", "5m", "36h", "7d"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["0B", "513B", "64KiB", "64MiB", "2GiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!("90s".parse::<Span>().unwrap().millis(), 90_000);
    }

    #[test]
    fn shares_read_back_what_they_write() {
        for (text, millionths) in [("100%", 1_000_000), ("5%", 50_000), ("0.1%", 1_000), ("12.5%", 125_000), ("0.0001%", 1), ("0%", 0)] {
            assert_eq!(text.parse::<Share>().unwrap(), Share::from_millionths(millionths));
            assert_eq!(Share::from_millionths(millionths).to_string(), text);
        }
        for text in ["", "%", "5", "0.5", "101%", "100.0001%", "1.%", ".1%", "0.00001%", "-1%", "1 %", "1e1%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for text in ["250", "", "ms", "-1s", "1.5s", "10 parsecs", "99999999999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert!("64".parse::<Size>().is_err() && "64MB".parse::<Size>().is_err());
    }

    #[test]
    fn an_address_knows_whether_it_stays_on_this_machine() {
        let address = |text: &str| text.parse::<HostPort>().unwrap();
        assert!(address("127.0.0.1:1").is_loopback() && address("[::1]:1").is_loopback() && address("localhost:1").is_loopback());
        assert!(!address("10.0.0.1:1").is_loopback() && !address("graft-0.example:1").is_loopback());
        assert!(address("0.0.0.0:1").is_unspecified() && address("[::]:1").is_unspecified());
        for text in ["7420", ":7420", "host:", "host:70000", "::1:7420", "http://a:1"] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }
}
