//! The place in its caller's trace that a workflow was started from: W3C Trace Context, level 1.
//!
//! It is text while it travels (`traceparent`, in a header or a field) and four numbers once it is taken: what is stored cannot be malformed. The
//! machine keeps it and does nothing with it.

use std::fmt;

use prost::Message;

/// Bytes of a `traceparent` of the version that is written here.
const TEXT_BYTES: usize = 55;
/// The flag that says that the caller records its trace.
const SAMPLED: u32 = 1;

/// A span of somebody else's, which what follows belongs below. Displays as `traceparent` has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct TraceParent {
    /// The first half of the trace's id.
    #[prost(fixed64, tag = "1")]
    pub trace_high: u64,
    /// The second half.
    #[prost(fixed64, tag = "2")]
    pub trace_low: u64,
    /// The span's id.
    #[prost(fixed64, tag = "3")]
    pub span: u64,
    /// 1: the trace is recorded.
    #[prost(uint32, tag = "4")]
    pub flags: u32,
}

impl TraceParent {
    /// The span of these ids.
    pub fn of(trace: u128, span: u64, sampled: bool) -> Self {
        Self { trace_high: (trace >> 64) as u64, trace_low: trace as u64, span, flags: if sampled { SAMPLED } else { 0 } }
    }

    /// Reads a `traceparent`. One of a later version is read as far as this one goes, as its specification asks. `None`: it is malformed, and to be
    /// treated as if it were not there.
    pub fn parse(text: &str) -> Option<Self> {
        let (known, later) = text.split_at_checked(TEXT_BYTES)?;
        let mut fields = known.split('-');
        let mut field = |digits: usize| {
            let text = fields.next().filter(|text| text.len() == digits)?;
            let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            lower.then(|| u128::from_str_radix(text, 16).ok()).flatten()
        };
        let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        let ends = match version {
            0 => later.is_empty(),
            0xff => false,
            _ => later.is_empty() || later.starts_with('-'),
        };
        let parent = Self::of(trace, span as u64, flags as u32 & SAMPLED != 0);
        (ends && parent.is_valid()).then_some(parent)
    }

    /// Whether it names a span: an id of zeros is none.
    pub fn is_valid(&self) -> bool {
        self.trace() != 0 && self.span != 0
    }

    /// The trace's id.
    pub fn trace(&self) -> u128 {
        u128::from(self.trace_high) << 64 | u128::from(self.trace_low)
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace(), self.span, self.flags & SAMPLED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_alike() {
        let parent = TraceParent::parse(GOOD).expect("it is one");
        assert_eq!((parent.trace(), parent.span), (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7));
        assert!(parent.is_sampled() && parent.to_string() == GOOD);
        let unsampled = GOOD.replace("-01", "-00");
        assert_eq!(TraceParent::parse(&unsampled).map(|parent| (parent.is_sampled(), parent.to_string())), Some((false, unsampled)));
        assert_eq!(TraceParent::decode(parent.encode_to_vec().as_slice()), Ok(parent));
    }

    #[test]
    fn flags_that_this_version_does_not_know_are_left_out() {
        let parent = TraceParent::parse(&GOOD.replace("-01", "-fb")).expect("it is one");
        assert_eq!(parent.to_string(), GOOD);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_this_one_goes() {
        let later = GOOD.replacen("00", "cc", 1);
        let same = TraceParent::parse(GOOD);
        for text in [later.clone(), later.clone() + "-", later.clone() + "-what-the-future-brings"] {
            assert_eq!(TraceParent::parse(&text), same, "{text}");
        }
        assert_eq!(TraceParent::parse(&(later + ".what")), None);
    }

    #[test]
    fn what_is_malformed_is_none() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
        let cases = [
            String::new(),
            GOOD[..54].to_owned(),
            GOOD.to_owned() + "-",
            GOOD.to_owned() + "0",
            format!(" {GOOD}"),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "0x", 1),
            GOOD.to_uppercase(),
            GOOD.replace('-', "_"),
            GOOD.replace("4bf9", "4bg9"),
            GOOD.replace("-00f067aa0ba902b7-", "0-00f067aa0ba902b-"),
            GOOD.replace("4bf9", "+bf9"),
            GOOD.replace("4bf9", "4bä"),
            zero_trace,
            zero_span,
        ];
        for text in cases {
            assert_eq!(TraceParent::parse(&text), None, "{text}");
        }
    }
}
