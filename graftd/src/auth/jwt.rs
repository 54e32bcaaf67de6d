//! Tokens of an identity provider: JSON Web Tokens (RFC 7519), signed with one of the keys that the provider publishes (RFC 7517), made by it (`iss`)
//! for us (`aud`), and in time (`exp`, `nbf`). Shared secrets and unsigned tokens are never taken, whatever a token says of itself.

use std::fmt;

pub use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::jwk::KeyAlgorithm;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;
/// By how much clocks may differ, in seconds.
const LEEWAY_S: u64 = 60;
/// Signatures that are taken: with public keys alone.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Whom we take tokens from, and how they name their holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// `iss`, as it is.
    pub issuer: String,
    /// One of `aud`.
    pub audience: String,
    /// The claim that holds the name of whoever shows it.
    pub name_claim: String,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// Its holder.
    pub name: String,
    /// It holds until then, in seconds since the Unix epoch.
    pub until: u64,
    /// All that it says.
    pub all: Map<String, Value>,
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Its key is not among those that are known: there may be newer ones.
    UnknownKey,
    /// It is wrong, as a fragment that reads after "the token".
    Wrong(String),
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey => f.write_str("is signed with a key that the provider does not publish"),
            Self::Wrong(why) => f.write_str(why),
        }
    }
}

impl Provider {
    /// Checks a token against the keys, now.
    ///
    /// # Errors
    /// If it is not to be taken. The error says nothing that the token holds.
    pub fn check(&self, keys: &JwkSet, token: &str) -> Result<Claims, NotTaken> {
        let wrong = |why: &str| NotTaken::Wrong(why.to_owned());
        if token.len() > TOKEN_BYTES_MAX {
            return Err(wrong("is too long"));
        }
        let header = decode_header(token).map_err(|_| wrong("is no JSON Web Token"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(wrong("is not signed with a public key that is taken here"));
        }
        let fits = |algorithm: Option<KeyAlgorithm>| algorithm.is_none_or(|algorithm| algorithm.to_string().parse() == Ok(header.alg));
        let key = match &header.kid {
            Some(id) => keys.find(id),
            None => keys.keys.first().filter(|_| keys.keys.len() == 1),
        };
        let key = key.ok_or(NotTaken::UnknownKey)?;
        if !fits(key.common.key_algorithm) {
            return Err(wrong("is signed in another way than its key is for"));
        }
        let key = DecodingKey::from_jwk(key).map_err(|_| wrong("is signed with a key of a kind that is not known here"))?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let all = decode::<Map<String, Value>>(token, &key, &validation).map_err(|error| NotTaken::Wrong(why(&error)))?.claims;
        let name = match all.get(&self.name_claim) {
            Some(Value::String(name)) => name.clone(),
            _ => return Err(NotTaken::Wrong(format!("has no claim `{}` with a name", self.name_claim))),
        };
        let until = all.get("exp").and_then(Value::as_f64).map_or(0, |until| until as u64).saturating_add(LEEWAY_S);
        Ok(Claims { name, until, all })
    }
}

fn why(error: &jsonwebtoken::errors::Error) -> String {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::ExpiredSignature => "has expired".to_owned(),
        ErrorKind::ImmatureSignature => "is not valid yet".to_owned(),
        ErrorKind::InvalidIssuer => "is of another issuer".to_owned(),
        ErrorKind::InvalidAudience => "is for another audience".to_owned(),
        ErrorKind::InvalidSignature => "has a signature that is wrong".to_owned(),
        ErrorKind::MissingRequiredClaim(claim) => format!("has no claim `{claim}`"),
        _ => "is malformed".to_owned(),
    }
}
