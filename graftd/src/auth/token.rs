//! Secrets that are handed out as text: `graft-api.ID.SECRET` and `graft-join.ID.SECRET`. What a token begins with tells it from others, also where it
//! should not be: in a log, or in a repository. Only the hash of the secret is ever stored; with 122 random bits and more it needs no slow
//! one.

use std::fmt;

use sha2::{Digest, Sha256};

/// Random bytes in a token's secret, at least.
const SECRET_BYTES: usize = 32;
/// Longest id or secret that is read, in bytes.
const WORD_BYTES_MAX: usize = 128;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asking the API.
    Api,
    /// Joining the cluster.
    Join,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Api => "graft-api",
            Self::Join => "graft-join",
        }
    }

    const fn called(self) -> &'static str {
        match self {
            Self::Api => "API token",
            Self::Join => "join token",
        }
    }
}

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    kind: Kind,
    /// Names it.
    pub id: String,
    secret: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("kind", &self.kind).field("id", &self.id).finish_non_exhaustive()
    }
}

impl Token {
    /// A new one, from the system's randomness.
    pub fn mint(kind: Kind) -> Self {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        // 122 random bits each.
        let mut secret = random();
        while secret.len() < 2 * SECRET_BYTES {
            secret.push_str(&random());
        }
        Self { kind, id: random()[..12].to_owned(), secret }
    }

    /// Reads a token; surrounding white space is ignored.
    ///
    /// # Errors
    /// If the text is none of this kind. The error does not show it.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        let mut parts = text.trim().split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(prefix), Some(id), Some(secret), None) if prefix == kind.prefix() && is_word(id) && is_word(secret) => {
                Ok(Self { kind, id: id.to_owned(), secret: secret.to_owned() })
            }
            _ => Err(format!("it is no {}: one looks like {}.ID.SECRET", kind.called(), kind.prefix())),
        }
    }

    /// The whole token, secret included.
    pub fn reveal(&self) -> String {
        format!("{}.{}.{}", self.kind.prefix(), self.id, self.secret)
    }

    /// SHA-256 of the secret.
    pub fn secret_hash(&self) -> Vec<u8> {
        Sha256::digest(self.secret.as_bytes()).to_vec()
    }
}

/// Compares hashes of secrets without telling by the time that it takes where they differ.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    use subtle::ConstantTimeEq;
    a.ct_eq(b).into()
}

fn is_word(text: &str) -> bool {
    (1..=WORD_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_made_and_never_shown() {
        for (kind, looks) in [(Kind::Api, "graft-api.ID.SECRET"), (Kind::Join, "graft-join.ID.SECRET")] {
            let token = Token::mint(kind);
            assert_eq!(Token::parse(kind, &format!(" {}\n", token.reveal())), Ok(token.clone()));
            assert_ne!(token, Token::mint(kind));
            assert!(!format!("{token:?}").contains(&token.secret));
            assert_eq!(token.secret_hash().len(), 32);
            let prefix = kind.prefix();
            for rest in ["", ".a", ".a.b.c", "..b", ".a.b c", "x.a.b"] {
                let text = format!("{prefix}{rest}");
                let said = Token::parse(kind, &text).expect_err(&text);
                assert!(said.contains(looks) && (rest.is_empty() || !said.contains(&text)), "{said}");
            }
        }
        Token::parse(Kind::Api, &Token::mint(Kind::Join).reveal()).expect_err("it is for something else");
    }

    #[test]
    fn hashes_are_the_same_only_if_every_byte_is() {
        let hash = Token::mint(Kind::Api).secret_hash();
        assert!(same(&hash, &hash.clone()));
        assert!(!same(&hash, &hash[1..]) && !same(&hash, b""));
        for at in 0..hash.len() {
            let mut other = hash.clone();
            other[at] ^= 1;
            assert!(!same(&hash, &other), "byte {at}");
        }
    }
}
