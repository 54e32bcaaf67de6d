//! Who may join a cluster that is formed. The leader asks this of everybody who is not a member yet.
//!
//! | policy | who may |
//! |---|---|
//! | `open` | whoever reaches the peer port and names the cluster: with TLS, whoever has a certificate of its authority |
//! | `restricted` | of those, who is expected by name, or is called as a member is (it comes back with an empty disk), or shows a join token |
//! | `strict` | of those, whom an operator has approved by name; the name must be that of the certificate, so TLS is needed |
//!
//! Pure: what a grant says is decided by the replicated machine, when the grant is used.

use std::fmt;

use sha2::{Digest, Sha256};

/// What every token begins with, so that one is recognised where it should not be.
const TOKEN_PREFIX: &str = "graft-join";
/// Random bytes in a token's secret.
const SECRET_BYTES: usize = 32;

/// Who may join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinPolicy {
    /// Everybody of the cluster's name.
    Open,
    /// Who is expected, or has a token.
    Restricted {
        /// Names; a `*` stands for any part of one.
        expected: Vec<String>,
    },
    /// Who is approved.
    Strict,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Joiner<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether its certificate says so.
    pub certified: bool,
    /// Whether a member of this name is part of the cluster.
    pub is_member_by_name: bool,
    /// Its token.
    pub token: Option<&'a Token>,
}

/// How it may join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As it is.
    Free,
    /// By this grant, which has to be used.
    By(Grant),
}

/// A grant, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: String,
    /// SHA-256 of the secret that was shown; empty for an approval.
    pub secret_hash: Vec<u8>,
}

impl JoinPolicy {
    /// Whether somebody may join; the error says what is missing, and how to come by it.
    ///
    /// # Errors
    /// If the policy does not let it in.
    pub fn judge(&self, joiner: Joiner<'_>) -> Result<Admission, String> {
        let Joiner { name, certified, is_member_by_name, token } = joiner;
        match self {
            Self::Open => Ok(Admission::Free),
            Self::Restricted { expected } => match token {
                Some(token) => Ok(Admission::By(Grant { id: token.id.clone(), secret_hash: token.secret_hash() })),
                None if is_member_by_name || expected.iter().any(|pattern| matches(pattern, name)) => Ok(Admission::Free),
                None => Err(format!(
                    "`{name}` is not expected here (cluster.expected_members) and shows no join token; make one with \
                     `graft cluster join-token create` and name its file in cluster.join_token_file"
                )),
            },
            Self::Strict if !certified => {
                Err("the join policy is strict, and between members without TLS nobody can show who it is; set cluster.peer_ca".to_owned())
            }
            Self::Strict => Ok(Admission::By(Grant { id: name.to_owned(), secret_hash: Vec::new() })),
        }
    }
}

/// Whether a name fits a pattern, in which a `*` stands for any part.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// A join token: `graft-join.ID.SECRET`. Only the hash of the secret is ever stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Names its grant.
    pub id: String,
    secret: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Token {
    /// A new one, from the system's randomness.
    pub fn mint() -> Self {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        // 122 random bits each.
        let mut secret = random();
        while secret.len() < 2 * SECRET_BYTES {
            secret.push_str(&random());
        }
        Self { id: random()[..12].to_owned(), secret }
    }

    /// Reads a token; surrounding white space is ignored.
    ///
    /// # Errors
    /// If the text is none. The error does not show it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.trim().split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(TOKEN_PREFIX), Some(id), Some(secret), None) if is_word(id) && is_word(secret) => {
                Ok(Self { id: id.to_owned(), secret: secret.to_owned() })
            }
            _ => Err(format!("it is no join token: one looks like {TOKEN_PREFIX}.ID.SECRET")),
        }
    }

    /// The whole token, secret included.
    pub fn reveal(&self) -> String {
        format!("{TOKEN_PREFIX}.{}.{}", self.id, self.secret)
    }

    /// SHA-256 of the secret.
    pub fn secret_hash(&self) -> Vec<u8> {
        Sha256::digest(self.secret.as_bytes()).to_vec()
    }
}

fn is_word(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joiner(name: &str) -> Joiner<'_> {
        Joiner { name, certified: true, is_member_by_name: false, token: None }
    }

    #[test]
    fn open_lets_in_who_names_the_cluster() {
        assert_eq!(JoinPolicy::Open.judge(Joiner { certified: false, ..joiner("x") }), Ok(Admission::Free));
    }

    #[test]
    fn restricted_wants_an_expected_name_or_a_token() {
        let policy = JoinPolicy::Restricted { expected: vec!["graft-*".into()] };
        assert_eq!(policy.judge(joiner("graft-7")), Ok(Admission::Free));
        let said = policy.judge(joiner("x")).expect_err("nobody expects it");
        assert!(said.contains("`x` is not expected") && said.contains("join-token create"), "{said}");
        assert_eq!(policy.judge(Joiner { is_member_by_name: true, ..joiner("x") }), Ok(Admission::Free), "it comes back");
        let token = Token::mint();
        let by = policy.judge(Joiner { token: Some(&token), ..joiner("x") }).expect("it has a token");
        assert_eq!(by, Admission::By(Grant { id: token.id.clone(), secret_hash: token.secret_hash() }));
    }

    #[test]
    fn strict_wants_an_approval_and_a_certificate() {
        let said = JoinPolicy::Strict.judge(Joiner { certified: false, ..joiner("x") }).expect_err("anybody could say so");
        assert!(said.contains("TLS"), "{said}");
        let token = Token::mint();
        let by = JoinPolicy::Strict.judge(Joiner { token: Some(&token), ..joiner("x") });
        assert_eq!(by, Ok(Admission::By(Grant { id: "x".into(), secret_hash: Vec::new() })), "a token is not enough");
    }

    #[test]
    fn a_star_stands_for_any_part_of_a_name() {
        for (pattern, fits, does_not) in [
            ("graft-0", vec!["graft-0"], vec!["graft-01", "graft", "agraft-0"]),
            ("graft-*", vec!["graft-0", "graft-", "graft-a-b"], vec!["graft", "xgraft-0"]),
            ("*", vec!["", "a"], vec![]),
            ("*-db-*", vec!["eu-db-1", "-db-"], vec!["db-1", "eu-db1"]),
            ("a*b*c", vec!["abc", "axbxc", "abbc"], vec!["ac", "abcd", "ab"]),
            ("a*a", vec!["aa", "aba"], vec!["a"]),
        ] {
            for name in fits {
                assert!(matches(pattern, name), "{pattern} fits {name}");
            }
            for name in does_not {
                assert!(!matches(pattern, name), "{pattern} does not fit {name}");
            }
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_made_and_never_shown() {
        let token = Token::mint();
        assert_eq!(Token::parse(&format!(" {}\n", token.reveal())), Ok(token.clone()));
        assert_ne!(token, Token::mint());
        assert!(!format!("{token:?}").contains(&token.secret));
        assert_eq!(token.secret_hash().len(), 32);
        for text in ["", "graft-join", "graft-join.a", "graft-join.a.b.c", "graft-join..b", "other.a.b", "graft-join.a.b c"] {
            let said = Token::parse(text).expect_err(text);
            assert!(said.contains("graft-join.ID.SECRET"), "{said}");
        }
    }
}
