//! Who may join a cluster that is formed. The leader asks this of everybody who is not a member yet.
//!
//! | policy | who may |
//! |---|---|
//! | `open` | whoever reaches the peer port and names the cluster: with TLS, whoever has a certificate of its authority |
//! | `restricted` | of those, who is expected by name, or is called as a member is (it comes back with an empty disk), or shows a join token |
//! | `strict` | of those, whom an operator has approved by name; the name must be that of the certificate, so TLS is needed |
//!
//! Pure: what a grant says is decided by the replicated machine, when the grant is used.

use graft_machine::access::matches;

use crate::auth::token::Token;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::token::Kind;

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
        let token = Token::mint(Kind::Join);
        let by = policy.judge(Joiner { token: Some(&token), ..joiner("x") }).expect("it has a token");
        assert_eq!(by, Admission::By(Grant { id: token.id.clone(), secret_hash: token.secret_hash() }));
    }

    #[test]
    fn strict_wants_an_approval_and_a_certificate() {
        let said = JoinPolicy::Strict.judge(Joiner { certified: false, ..joiner("x") }).expect_err("anybody could say so");
        assert!(said.contains("TLS"), "{said}");
        let token = Token::mint(Kind::Join);
        let by = JoinPolicy::Strict.judge(Joiner { token: Some(&token), ..joiner("x") });
        assert_eq!(by, Ok(Admission::By(Grant { id: "x".into(), secret_hash: Vec::new() })), "a token is not enough");
    }
}
