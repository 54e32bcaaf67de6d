//! How values on the command line are read: durations, labels, what is unfolded.

use std::time::Duration;

/// A wait without an end, as it is written.
pub(crate) const FOREVER: &str = "forever";
/// Everything, where nodes are named.
const ALL: &str = "all";

/// How long a command waits for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// As long as it takes.
    Forever,
    /// At most for so long.
    AtMost(Duration),
}

/// What a graph shows task by task instead of folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfold {
    /// Every node.
    All,
    /// This node.
    Node(String),
}

/// Reads `KEY=VALUE`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE, such as team=sales".to_owned()),
    }
}

/// Reads `250ms`, `10s`, `5m`, `1h` or `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let refused = || "a duration is a whole number with a unit: 250ms, 10s, 5m, 1h or 7d".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refused())?;
    let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
    number.checked_mul(*ms).map(Duration::from_millis).ok_or_else(refused)
}

/// Reads a duration that is not zero.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| if time.is_zero() { Err("it must be longer than nothing".to_owned()) } else { Ok(time) })
}

/// Reads how long is waited.
pub(crate) fn wait(text: &str) -> Result<Wait, String> {
    if text == FOREVER { Ok(Wait::Forever) } else { some_time(text).map(Wait::AtMost) }
}

/// Reads a node's name, or `all`.
pub(crate) fn unfold(text: &str) -> Result<Unfold, String> {
    match text {
        "" => Err("name a node, or all".to_owned()),
        ALL => Ok(Unfold::All),
        node => Ok(Unfold::Node(node.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "5", "s", "1.5s", "5 s", "-1s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(bad).unwrap_err().contains("10s"), "{bad}");
        }
    }

    #[test]
    fn a_wait_of_nothing_is_none() {
        assert_eq!(wait("5s"), Ok(Wait::AtMost(Duration::from_secs(5))));
        assert_eq!(wait(FOREVER), Ok(Wait::Forever));
        assert!(wait("0s").unwrap_err().contains("longer than nothing"));
    }
}
