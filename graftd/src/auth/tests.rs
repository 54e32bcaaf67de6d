//! Who is believed, and who is not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use self::signing::{base64_url, provider_key};
use super::attempts::FAILURES_MAX;
use super::keys::Source;
use super::*;

#[path = "../../tests/fixtures/signing.rs"]
mod signing;

/// Tokens that a test has.
#[derive(Default)]
struct Known {
    tokens: Mutex<BTreeMap<String, Arc<ApiToken>>>,
    now: AtomicU64,
}

impl Tokens for Known {
    fn token(&self, id: &str) -> Option<Arc<ApiToken>> {
        self.tokens.lock().expect("not poisoned").get(id).cloned()
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

impl Known {
    fn make(&self, grants: &[&str], expires: u64) -> Token {
        let token = Token::mint(Kind::Api);
        let grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
        let secret_hash = token.secret_hash().into();
        let made = ApiToken { name: "deploy".to_owned(), secret_hash, grants, expires, ..Default::default() };
        self.tokens.lock().expect("not poisoned").insert(token.id.clone(), Arc::new(made));
        token
    }
}

/// Looks tokens up while somebody changes what is asked of callers.
struct Meanwhile<'a>(&'a Auth, &'a Known, Asked);

impl Tokens for Meanwhile<'_> {
    fn token(&self, id: &str) -> Option<Arc<ApiToken>> {
        self.0.ask(self.2.clone());
        self.1.token(id)
    }

    fn now(&self) -> u64 {
        self.1.now()
    }
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn bearer(text: &str) -> String {
    format!("Bearer {text}")
}

fn shown(authorization: Option<&str>) -> Shown<'_> {
    Shown { authorization: authorization.map(str::as_bytes), certificate: None, from: HERE }
}

fn said(caller: &Caller) -> (Option<&str>, &str, Vec<String>) {
    (caller.name.as_deref(), caller.shown_by.name(), caller.grants.iter().map(Grant::to_string).collect())
}

fn required(options: AuthOptions) -> Auth {
    Auth::new(AuthOptions { asked: Asked { required: true, ..options.asked }, ..options })
}

fn refused(auth: &Auth, text: &str, tokens: &Known) -> String {
    match auth.identify(shown(Some(text)), tokens) {
        Err(Refused::Bad(why)) => why,
        Err(Refused::Unknown) => UNKNOWN.to_owned(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn who_shows_nothing_may_do_everything_or_nothing() {
    let tokens = Known::default();
    let caller = Auth::new(AuthOptions::default()).identify(shown(None), &tokens).expect("nobody has to");
    assert_eq!(said(&caller), (None, "nothing", vec!["cluster-admin".to_owned()]));
    assert_eq!(required(AuthOptions::default()).identify(shown(None), &tokens), Err(Refused::Nothing));
}

#[test]
fn who_was_looked_at_by_other_rules_than_are_in_force_is_asked_anew() {
    let (auth, tokens) = (required(AuthOptions::default()), Known::default());
    let text = bearer(&tokens.make(&["viewer"], 0).reveal());
    let asked = Asked { required: true, root: Some([7; 32]), ..Asked::default() };
    let caller = auth.identify(shown(Some(&text)), &Meanwhile(&auth, &tokens, asked)).expect("it is good");
    assert!(!auth.still(&caller, &tokens), "it was found by what was asked before");
    let again = auth.identify(shown(Some(&text)), &tokens).expect("it is good");
    assert!(auth.still(&again, &tokens), "what was kept of the first look is of another turn");
}

#[test]
fn a_token_allows_what_it_says_until_it_is_revoked_or_expires() {
    let (auth, tokens) = (required(AuthOptions::default()), Known::default());
    let token = tokens.make(&["operator@billing", "worker@billing=charge"], 5_000);
    let text = bearer(&token.reveal());
    let caller = auth.identify(shown(Some(&text)), &tokens).expect("it is good");
    assert_eq!(said(&caller), (Some("deploy"), "token", vec!["operator@billing".to_owned(), "worker@billing=charge".to_owned()]));
    assert!(auth.still(&caller, &tokens));
    tokens.now.store(5_000, Ordering::Relaxed);
    assert!(!auth.still(&caller, &tokens), "it has expired");
    auth.kept.lock().expect("not poisoned").clear();
    assert_eq!(refused(&auth, &text, &tokens), format!("is API token {} (\"deploy\"), which has expired", token.id));

    let other = tokens.make(&["viewer"], 0);
    let caller = auth.identify(shown(Some(&bearer(&other.reveal()))), &tokens).expect("it is good");
    tokens.tokens.lock().expect("not poisoned").remove(&other.id);
    assert!(!auth.still(&caller, &tokens), "it was revoked");
    auth.kept.lock().expect("not poisoned").clear();
    assert!(refused(&auth, &bearer(&other.reveal()), &tokens).contains("not known"));
}

#[test]
fn what_is_no_good_token_is_refused_even_where_nobody_has_to_show_any() {
    let tokens = Known::default();
    let auth = Auth::new(AuthOptions::default());
    let token = tokens.make(&["viewer"], 0);
    let wrong_secret = format!("graft-api.{}.{}", token.id, "0".repeat(64));
    for (text, word) in [
        (bearer(&wrong_secret), "not known"),
        (bearer("graft-api.nobody.secret"), "not known"),
        (bearer("something"), "no identity provider"),
        (format!("Basic {}", token.reveal()), "Bearer TOKEN"),
        (token.reveal(), "Bearer TOKEN"),
        (String::new(), "Bearer TOKEN"),
    ] {
        let why = refused(&auth, &text, &tokens);
        assert!(why.contains(word), "{text}: {why}");
        assert!(!why.contains(&token.id), "the error shows nothing: {why}");
    }
}

#[test]
fn a_token_that_was_not_known_yet_is_no_guess() {
    let (auth, tokens, elsewhere) = (required(AuthOptions::default()), Known::default(), Known::default());
    let fresh = elsewhere.make(&["viewer"], 0);
    let text = bearer(&fresh.reveal());
    for _ in 0..2 * FAILURES_MAX {
        assert_eq!(auth.identify(shown(Some(&text)), &tokens), Err(Refused::Unknown));
        let caller = auth.identify_again(shown(Some(&text)), &elsewhere).expect("word of it has come");
        assert_eq!(said(&caller).0, Some("deploy"));
        auth.kept.lock().expect("not poisoned").clear();
    }
    // One that stays unknown was one.
    for _ in 0..FAILURES_MAX {
        assert_eq!(auth.identify(shown(Some(&text)), &tokens), Err(Refused::Unknown));
        assert_eq!(auth.identify_again(shown(Some(&text)), &tokens), Err(Refused::Unknown));
    }
    assert!(matches!(auth.identify(shown(Some(&text)), &tokens), Err(Refused::TooOften(_))));
}

#[test]
fn who_guesses_is_not_listened_to_and_who_was_believed_is() {
    let (auth, tokens) = (required(AuthOptions::default()), Known::default());
    let good = bearer(&tokens.make(&["viewer"], 0).reveal());
    auth.identify(shown(Some(&good)), &tokens).expect("it is good");
    for guess in 0..FAILURES_MAX {
        refused(&auth, &bearer(&format!("graft-api.a.{guess}")), &tokens);
    }
    let late = auth.identify(shown(Some("Bearer graft-api.a.b")), &tokens);
    assert!(matches!(late, Err(Refused::TooOften(wait)) if wait <= attempts::GIVEN_BACK), "{late:?}");
    auth.identify(shown(Some(&good)), &tokens).expect("it was believed a moment ago");
    let elsewhere = Shown { from: "10.0.0.7".parse().expect("an address"), ..shown(Some("Bearer graft-api.a.b")) };
    assert_eq!(auth.identify(elsewhere, &tokens), Err(Refused::Unknown));
}

#[test]
fn the_root_token_and_certificates_are_what_the_configuration_says() {
    let tokens = Known::default();
    let rules = Rules(vec!["certificate ops-* operator".parse().expect("a rule")]);
    let auth =
        required(AuthOptions { asked: Asked { root: Some(Sha256::digest("s3cret").into()), rules, ..Default::default() }, provider: None });
    let root = auth.identify(shown(Some("bearer s3cret")), &tokens).expect("it is the root token");
    assert_eq!(said(&root), (Some("root"), "root-token", vec!["cluster-admin".to_owned()]));
    refused(&auth, "Bearer s3cret2", &tokens);
    let with = |name| Shown { certificate: Some(name), ..shown(None) };
    let caller = auth.identify(with("ops-ann"), &tokens).expect("it has a certificate");
    assert_eq!(said(&caller), (Some("ops-ann"), "certificate", vec!["operator".to_owned()]));
    assert_eq!(said(&auth.identify(with("eve"), &tokens).expect("known, and allowed nothing")), (Some("eve"), "certificate", vec![]));
    // A token counts, whatever the connection shows.
    let both = Shown { certificate: Some("ops-ann"), ..shown(Some("Bearer s3cret")) };
    assert_eq!(auth.identify(both, &tokens).expect("it is the root token").shown_by, ShownBy::RootToken);
    let bad = Shown { certificate: Some("ops-ann"), ..shown(Some("Bearer no")) };
    assert!(matches!(auth.identify(bad, &tokens), Err(Refused::Bad(_))));
}

#[test]
fn what_is_asked_can_change() {
    let tokens = Known::default();
    let auth = Auth::new(AuthOptions::default());
    auth.identify(shown(None), &tokens).expect("nobody has to show anything");
    let root = |text: &str| Some(Sha256::digest(text).into());
    auth.ask(Asked { required: true, root: root("first"), ..Asked::default() });
    assert_eq!(auth.identify(shown(None), &tokens), Err(Refused::Nothing));
    auth.identify(shown(Some("Bearer first")), &tokens).expect("it is the root token");
    auth.ask(Asked { required: true, root: root("second"), ..Asked::default() });
    refused(&auth, "Bearer first", &tokens);
    auth.identify(shown(Some("Bearer second")), &tokens).expect("it is the root token now");
}

struct Issued {
    auth: Auth,
    key: EncodingKey,
    other: EncodingKey,
    _files: tempfile::TempDir,
}

fn issued() -> Issued {
    let files = tempfile::tempdir().expect("a directory");
    let (key, public) = provider_key("k1");
    let (other, _) = provider_key("k2");
    let file = files.path().join("jwks.json");
    std::fs::write(&file, json!({ "keys": [public] }).to_string()).expect("it is written");
    let provider = Provider { issuer: "https://id.example.com".to_owned(), audience: "graft".to_owned(), name_claim: "email".to_owned() };
    let keys = Keys::new(Source::File(file)).expect("a key set");
    let rules = Rules(vec!["claim groups=admins cluster-admin".parse().expect("a rule")]);
    let auth = required(AuthOptions { asked: Asked { rules, ..Default::default() }, provider: Some((provider, keys)) });
    Issued { auth, key, other, _files: files }
}

fn good_claims() -> serde_json::Value {
    let now = jsonwebtoken::get_current_timestamp();
    json!({ "iss": "https://id.example.com", "aud": ["x", "graft"], "exp": now + 300, "nbf": now - 5, "email": "ann.example.com", "groups": ["admins"] })
}

fn signed(key: &EncodingKey, kid: Option<&str>, claims: &serde_json::Value) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::EdDSA) };
    bearer(&encode(&header, claims, key).expect("it can be signed"))
}

#[test]
fn a_token_of_the_provider_allows_what_its_claims_do() {
    let Issued { auth, key, .. } = &issued();
    let tokens = Known::default();
    for kid in [Some("k1"), None] {
        let caller = auth.identify(shown(Some(&signed(key, kid, &good_claims()))), &tokens).expect("it is good");
        assert_eq!(said(&caller), (Some("ann.example.com"), "jwt", vec!["cluster-admin".to_owned()]));
        assert!(auth.still(&caller, &tokens));
    }
    let mut nobody = good_claims();
    nobody["groups"] = json!("users");
    let caller = auth.identify(shown(Some(&signed(key, None, &nobody))), &tokens).expect("it is known");
    assert!(caller.grants.is_empty(), "and allowed nothing");
}

#[test]
fn a_token_that_another_made_or_for_another_or_at_another_time_is_refused() {
    let Issued { auth, key, other, .. } = &issued();
    let tokens = Known::default();
    let now = jsonwebtoken::get_current_timestamp();
    let with = |claim: &str, value: serde_json::Value| {
        let mut claims = good_claims();
        claims[claim] = value;
        signed(key, Some("k1"), &claims)
    };
    let unsigned = format!("Bearer {}.{}.", base64_url(br#"{"alg":"none"}"#), base64_url(good_claims().to_string().as_bytes()));
    let hmac =
        encode(&Header { kid: Some("k1".into()), ..Header::default() }, &good_claims(), &EncodingKey::from_secret(b"x")).expect("signed");
    for (text, word) in [
        (signed(other, Some("k1"), &good_claims()), "signature"),
        (signed(other, Some("k2"), &good_claims()), "does not publish"),
        (with("iss", json!("https://evil.example.com")), "another issuer"),
        (with("aud", json!("others")), "another audience"),
        (with("exp", json!(now - 120)), "expired"),
        (with("nbf", json!(now + 120)), "not valid yet"),
        (with("exp", serde_json::Value::Null), "exp"),
        (with("email", json!(7)), "`email`"),
        (with("email", json!("ann\n")), "no history can hold"),
        (unsigned, "no JSON Web Token"),
        (bearer(&hmac), "public key"),
        (bearer(&"x".repeat(jwt::TOKEN_BYTES_MAX + 1)), "too long"),
    ] {
        // Each from an address of its own: who fails too often is not listened to.
        let why = refused(auth, &text, &tokens);
        assert!(why.contains(word), "{text}: {why}");
    }
}

#[test]
fn a_file_that_holds_no_keys_is_told_with_its_name() {
    let files = tempfile::tempdir().expect("a directory");
    let file = files.path().join("jwks.json");
    let said = Keys::new(Source::File(file.clone())).expect_err("it is not there");
    assert!(said.contains("jwks.json"), "{said}");
    std::fs::write(&file, "{}").expect("it is written");
    let said = Keys::new(Source::File(file)).expect_err("it is no key set");
    assert!(said.contains("no JSON Web Key Set"), "{said}");
}
