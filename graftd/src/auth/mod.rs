//! Who asks, and what it may do. A leaf: it sees the machine's [`graft_machine::access`] and no floor of the house.
//!
//! Somebody shows who it is in one of four ways, the first that there is counting:
//!
//! 1. `authorization: Bearer TOKEN`: an API token ([`token`]; the machine keeps its hash), the root token that the configuration names, or a token
//!    of an identity provider ([`jwt`], [`keys`]). A token that is not good is refused, whatever else is shown.
//! 2. The certificate of the connection, whose name the configuration gives grants ([`rules`]).
//! 3. Nothing: where callers have to show who they are (`auth.required`), that is refused.
//!
//! The outcome is a [`Caller`] with its grants. Whether a caller may do what it asks for stands in one place of the API floor (`api/access`), for
//! gRPC and REST alike. Who fails to show who it is too often is not listened to for a while ([`attempts`]).
//!
//! Identifying is synchronous and takes microseconds: answers about tokens are kept for [`KEPT_FOR`], so that a revoked one is refused within that
//! time.

pub mod attempts;
pub mod caller;
pub mod jwt;
pub mod keys;
pub mod redacted;
pub mod rules;
pub mod token;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use graft_machine::access::{ApiToken, Grant, Role};
use graft_machine::names::check_name;
use graft_proto::errors::quoted;
use sha2::{Digest, Sha256};

use self::attempts::Attempts;
use self::caller::{Caller, ShownBy};
use self::jwt::{NotTaken, Provider};
use self::keys::Keys;
use self::rules::Rules;
use self::token::{Kind, Token, same};

/// How long what is known of a token is believed without looking again.
pub const KEPT_FOR: Duration = Duration::from_secs(1);
/// Tokens that something is kept of; with more, all is looked up again.
const KEPT_MAX: usize = 10_000;
/// What is said of a token that is not known, whether it is the id or the secret that is wrong: that is nobody's business.
pub const UNKNOWN: &str = "is not known: it was revoked, or never made here";
/// Name of whoever shows the root token.
pub const ROOT: &str = "root";

/// The API tokens that exist, and the machine's time.
pub trait Tokens {
    /// The token of this id.
    fn token(&self, id: &str) -> Option<Arc<ApiToken>>;
    /// The machine's time, in milliseconds since the Unix epoch.
    fn now(&self) -> u64;
}

/// What is asked of callers.
#[derive(Debug, Default)]
pub struct AuthOptions {
    /// What may change while the daemon runs.
    pub asked: Asked,
    /// Whose tokens are taken, and where its keys come from.
    pub provider: Option<(Provider, Keys)>,
}

/// What may change while the daemon runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Whether each caller has to show who it is.
    pub required: bool,
    /// SHA-256 of the root token.
    pub root: Option<[u8; 32]>,
    /// What certificates and claims allow.
    pub rules: Rules,
}

/// Identifies callers.
#[derive(Debug, Default)]
pub struct Auth {
    asked: RwLock<Arc<Asked>>,
    provider: Option<(Provider, Keys)>,
    attempts: Attempts,
    kept: Mutex<HashMap<[u8; 32], Kept>>,
    /// How often something else was asked.
    turns: AtomicU64,
}

/// What is known of a token, by the hash of its text.
#[derive(Clone, Debug)]
struct Kept {
    caller: Known,
    until: Instant,
    /// The turn of what is asked of callers in which it was looked at.
    turn: u64,
}

/// A caller, wherever it asks from.
#[derive(Clone, Debug)]
struct Known {
    name: Arc<str>,
    shown_by: ShownBy,
    grants: Arc<[Grant]>,
}

impl Known {
    fn caller(self, from: IpAddr, turn: u64) -> Caller {
        let Self { name, shown_by, grants } = self;
        Caller { name: Some(name), shown_by, grants, from, asked: turn }
    }
}

/// Why nobody is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has shown nothing.
    Nothing,
    /// It has shown an API token whose id nobody has told this member of, yet: see [`Auth::identify_again`].
    Unknown,
    /// The same, and this member cannot ask the others whether there is such a token.
    Unsure,
    /// What it has shown is not good: a fragment that reads after "the token".
    Bad(String),
    /// It has failed too often, and is listened to again after so long.
    TooOften(Duration),
}

impl Refused {
    /// In a word, for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing_shown",
            Self::Unknown | Self::Bad(_) => "bad_token",
            Self::Unsure => "cannot_tell",
            Self::TooOften(_) => "too_often",
        }
    }
}

/// What a request shows of its caller.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The value of its header `authorization`.
    pub authorization: Option<&'a [u8]>,
    /// The name in the certificate of its connection.
    pub certificate: Option<&'a str>,
    /// Where the connection comes from.
    pub from: IpAddr,
}

impl Auth {
    /// As it is configured.
    pub fn new(options: AuthOptions) -> Self {
        let AuthOptions { asked, provider } = options;
        Self {
            asked: RwLock::new(Arc::new(asked)),
            provider,
            attempts: Attempts::default(),
            kept: Mutex::default(),
            turns: AtomicU64::new(0),
        }
    }

    /// From now on something else is asked of callers. Who was believed a moment ago is looked at again, and what is being answered for long
    /// ends: who asks again is asked anew. Whether it was something else.
    pub fn ask(&self, asked: Asked) -> bool {
        let mut now = self.asked.write().expect("nobody panics while it is held");
        if **now == asked {
            return false;
        }
        *now = Arc::new(asked);
        drop(now);
        self.turns.fetch_add(1, Ordering::AcqRel);
        self.kept.lock().expect("nobody panics while holding it").clear();
        true
    }

    fn asked(&self) -> Arc<Asked> {
        self.asked.read().expect("nobody panics while it is held").clone()
    }

    /// Whether callers have to show who they are.
    pub fn is_required(&self) -> bool {
        self.asked().required
    }

    /// Who asks.
    ///
    /// # Errors
    /// If it shows something that is not good, or nothing where it has to. A token that is unknown here may be so new that only other members
    /// know of it.
    pub fn identify(&self, shown: Shown<'_>, tokens: &impl Tokens) -> Result<Caller, Refused> {
        let Shown { authorization, certificate, from } = shown;
        let Some(authorization) = authorization else { return self.without_token(certificate, from) };
        // Before anything is looked at: who is found by what was asked before is no caller of this turn.
        let turn = self.turns.load(Ordering::Acquire);
        let now = Instant::now();
        let told: [u8; 32] = Sha256::digest(authorization).into();
        if let Some(known) = self.kept(&told, now, turn) {
            return Ok(known.caller(from, turn));
        }
        // Who has a token that we have made is not shut out because somebody else at that address guesses: ours cannot be guessed.
        let listened_to = self.attempts.may_try(from, now);
        let found = match listened_to {
            Ok(()) => self.look_at(authorization, tokens),
            Err(wait) => api_token(authorization).map_or(Err(Refused::TooOften(wait)), |token| of_api_token(&token, tokens)),
        };
        match (found, listened_to) {
            (Ok(known), _) => {
                self.keep(told, &known, now, turn);
                Ok(known.caller(from, turn))
            }
            (Err(_), Err(wait)) => Err(Refused::TooOften(wait)),
            (Err(why), Ok(())) => {
                self.attempts.failed(from, now);
                Err(why)
            }
        }
    }

    /// Who shows a token that was unknown here, once this member has caught up with what was acknowledged before. The attempt has been counted;
    /// it is forgiven if the token is good after all.
    ///
    /// # Errors
    /// As [`Self::identify`].
    pub fn identify_again(&self, shown: Shown<'_>, tokens: &impl Tokens) -> Result<Caller, Refused> {
        let Shown { authorization, certificate, from } = shown;
        let Some(authorization) = authorization else { return self.without_token(certificate, from) };
        let turn = self.turns.load(Ordering::Acquire);
        let known = self.look_at(authorization, tokens)?;
        self.attempts.forgive(from);
        self.keep(Sha256::digest(authorization).into(), &known, Instant::now(), turn);
        Ok(known.caller(from, turn))
    }

    /// Whether a caller that was identified may go on, on a stream that lasts: what it has shown holds, and callers are asked for the same as then.
    pub fn still(&self, caller: &Caller, tokens: &impl Tokens) -> bool {
        let holds = match &caller.shown_by {
            ShownBy::Token(id) => tokens.token(id).is_some_and(|token| token.stands(tokens.now())),
            ShownBy::Jwt { until } => tokens.now() / 1_000 < *until,
            ShownBy::Nothing | ShownBy::Certificate | ShownBy::RootToken => true,
        };
        holds && caller.asked == self.turns.load(Ordering::Acquire)
    }

    fn without_token(&self, certificate: Option<&str>, from: IpAddr) -> Result<Caller, Refused> {
        let everything: fn() -> Arc<[Grant]> = || Arc::new([Grant::everywhere(Role::ClusterAdmin)]);
        let turn = self.turns.load(Ordering::Acquire);
        let asked = self.asked();
        match certificate {
            None if asked.required => Err(Refused::Nothing),
            None => Ok(Caller { name: None, shown_by: ShownBy::Nothing, grants: everything(), from, asked: turn }),
            Some(name) => {
                let grants = if asked.required { asked.rules.of_certificate(name) } else { everything() };
                Ok(Caller { name: Some(name.into()), shown_by: ShownBy::Certificate, grants, from, asked: turn })
            }
        }
    }

    fn look_at(&self, authorization: &[u8], tokens: &impl Tokens) -> Result<Known, Refused> {
        let bad = |why: &str| Refused::Bad(why.to_owned());
        let missing = || bad("is missing: the header authorization has to be `Bearer TOKEN`");
        let text = std::str::from_utf8(authorization).map_err(|_| bad("holds characters that no token has"))?;
        let (scheme, secret) = text.split_once(' ').ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let secret = secret.trim();
        let asked = self.asked();
        if let Some(root) = &asked.root
            && same(root, &Sha256::digest(secret.as_bytes()))
        {
            return Ok(Known {
                name: ROOT.into(),
                shown_by: ShownBy::RootToken,
                grants: Arc::new([Grant::everywhere(Role::ClusterAdmin)]),
            });
        }
        if let Ok(token) = Token::parse(Kind::Api, secret) {
            return of_api_token(&token, tokens);
        }
        let Some((provider, keys)) = &self.provider else {
            return Err(bad("is neither an API token nor the root token, and no identity provider is configured"));
        };
        let claims = provider.check(&keys.now(), secret).map_err(|error| {
            if error == NotTaken::UnknownKey {
                keys.look_again();
            }
            Refused::Bad(error.to_string())
        })?;
        if check_name(&claims.name).is_err() || claims.name == ROOT {
            let why =
                format!("names its holder in the claim `{}` in a way that no history can hold, or as the root token", provider.name_claim);
            return Err(Refused::Bad(why));
        }
        let grants = asked.rules.of_claims(&claims.all);
        Ok(Known { name: claims.name.into(), shown_by: ShownBy::Jwt { until: claims.until }, grants })
    }

    fn kept(&self, told: &[u8; 32], now: Instant, turn: u64) -> Option<Known> {
        let kept = self.kept.lock().expect("nobody panics while holding it");
        kept.get(told).filter(|kept| now < kept.until && kept.turn == turn).map(|kept| kept.caller.clone())
    }

    fn keep(&self, told: [u8; 32], caller: &Known, now: Instant, turn: u64) {
        let mut kept = self.kept.lock().expect("nobody panics while holding it");
        if kept.len() >= KEPT_MAX && !kept.contains_key(&told) {
            kept.clear();
        }
        kept.insert(told, Kept { caller: caller.clone(), until: now + KEPT_FOR, turn });
    }
}

/// The API token that a header shows, if it does.
fn api_token(authorization: &[u8]) -> Option<Token> {
    let (scheme, secret) = std::str::from_utf8(authorization).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Token::parse(Kind::Api, secret.trim()).ok()).flatten()
}

fn of_api_token(token: &Token, tokens: &impl Tokens) -> Result<Known, Refused> {
    let stands = tokens.token(&token.id).ok_or(Refused::Unknown)?;
    if !same(&stands.secret_hash, &token.secret_hash()) {
        return Err(Refused::Bad(UNKNOWN.to_owned()));
    }
    if !stands.stands(tokens.now()) {
        return Err(Refused::Bad(format!("is API token {} ({}), which has expired", token.id, quoted(&stands.name))));
    }
    // What a newer version of the machine grants is nothing here.
    let grants = stands.grants.iter().filter_map(|grant| grant.parse().ok()).collect();
    Ok(Known { name: stands.name.as_str().into(), shown_by: ShownBy::Token(token.id.as_str().into()), grants })
}

/// Least length of a root token, in bytes.
const ROOT_BYTES_MIN: usize = 32;

/// SHA-256 of a root token, as a file holds it; surrounding white space is ignored.
///
/// # Errors
/// If it could be guessed, or sent by nobody.
pub fn root_hash(text: &str) -> Result<[u8; 32], String> {
    let text = text.trim();
    if text.len() < ROOT_BYTES_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "holds no root token: at least {ROOT_BYTES_MIN} characters of ASCII without spaces; `openssl rand -hex 32` makes one"
        ));
    }
    Ok(Sha256::digest(text.as_bytes()).into())
}

#[cfg(test)]
mod tests;
