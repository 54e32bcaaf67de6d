//! What certificates and tokens of an identity provider allow: said by the configuration, in lines of three words.
//!
//! | line | who |
//! |---|---|
//! | `certificate NAME GRANT` | whoever shows a certificate of that name |
//! | `claim CLAIM=VALUE GRANT` | whoever shows a token whose claim has that value, or is a list that holds it |
//!
//! In `NAME` and `VALUE` a `*` stands for any part. All lines that fit count, so their order does not matter.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use graft_machine::access::{Grant, matches};
use serde_json::{Map, Value};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    who: Who,
    grant: Grant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Certificate(String),
    Claim(String, String),
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [kind, who, grant] = words[..] else {
            return Err("has to have three words: `certificate NAME GRANT` or `claim CLAIM=VALUE GRANT`".to_owned());
        };
        let who = match (kind, who.split_once('=')) {
            ("certificate", _) => Who::Certificate(who.to_owned()),
            ("claim", Some((claim, value))) if !claim.is_empty() && !value.is_empty() => Who::Claim(claim.to_owned(), value.to_owned()),
            ("claim", _) => return Err("names no value of a claim, as in `claim groups=admins cluster-admin`".to_owned()),
            _ => return Err("begins with neither `certificate` nor `claim`".to_owned()),
        };
        let grant = grant.parse().map_err(|error| format!("has a grant, `{grant}`, that {error}"))?;
        Ok(Self { who, grant })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Who::Certificate(name) => write!(f, "certificate {name} {}", self.grant),
            Who::Claim(claim, value) => write!(f, "claim {claim}={value} {}", self.grant),
        }
    }
}

/// All lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(pub Vec<Rule>);

impl Rules {
    /// What the holder of a certificate of this name may do.
    pub fn of_certificate(&self, name: &str) -> Arc<[Grant]> {
        self.fitting(|who| matches!(who, Who::Certificate(pattern) if matches(pattern, name)))
    }

    /// What the holder of a token with these claims may do.
    pub fn of_claims(&self, claims: &Map<String, Value>) -> Arc<[Grant]> {
        let fits = |value: &Value, pattern: &str| match value {
            Value::String(text) => matches(pattern, text),
            Value::Array(texts) => texts.iter().filter_map(Value::as_str).any(|text| matches(pattern, text)),
            _ => false,
        };
        self.fitting(|who| matches!(who, Who::Claim(claim, pattern) if claims.get(claim).is_some_and(|value| fits(value, pattern))))
    }

    fn fitting(&self, fits: impl Fn(&Who) -> bool) -> Arc<[Grant]> {
        self.0.iter().filter(|rule| fits(&rule.who)).map(|rule| rule.grant.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(lines: &[&str]) -> Rules {
        Rules(lines.iter().map(|line| line.parse().unwrap_or_else(|error| panic!("{line} {error}"))).collect())
    }

    fn said(grants: &[Grant]) -> Vec<String> {
        grants.iter().map(Grant::to_string).collect()
    }

    #[test]
    fn a_line_is_written_as_it_was_read_and_what_is_none_is_refused() {
        for line in ["certificate ops-* cluster-admin", "claim groups=graft* operator@billing"] {
            assert_eq!(rules(&[line]).0[0].to_string(), line);
        }
        for (line, word) in [
            ("", "three words"),
            ("certificate ops", "three words"),
            ("certificate ops admin", "no role"),
            ("claim groups viewer", "value of a claim"),
            ("claim groups= viewer", "value of a claim"),
            ("user ann viewer", "neither"),
            ("certificate a b viewer", "three words"),
        ] {
            let error = line.parse::<Rule>().expect_err(line);
            assert!(error.contains(word), "{line}: {error}");
        }
    }

    #[test]
    fn every_line_that_fits_counts() {
        let rules = rules(&[
            "certificate ops-* operator",
            "certificate ops-ann namespace-admin@billing",
            "claim groups=admins cluster-admin",
            "claim email=*@example.com viewer",
        ]);
        assert_eq!(said(&rules.of_certificate("ops-ann")), ["operator", "namespace-admin@billing"]);
        assert!(rules.of_certificate("ann").is_empty());
        let claims = |text: &str| serde_json::from_str::<Map<String, Value>>(text).expect("an object");
        let both = claims(r#"{"groups": ["x", "admins"], "email": "ann@example.com"}"#);
        assert_eq!(said(&rules.of_claims(&both)), ["cluster-admin", "viewer"]);
        assert_eq!(said(&rules.of_claims(&claims(r#"{"groups": "admins"}"#))), ["cluster-admin"]);
        for none in [r#"{"groups": ["admins2"]}"#, r#"{"groups": {"admins": 1}}"#, r#"{"email": "ann@example.com.evil"}"#, "{}"] {
            assert!(rules.of_claims(&claims(none)).is_empty(), "{none}");
        }
    }
}
