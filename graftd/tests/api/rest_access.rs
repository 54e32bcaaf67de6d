//! REST for who asks, API tokens and the list of acts, at a member that asks everybody who he is.

use graftd::auth::{Asked, Auth, AuthOptions, root_hash};
use serde_json::{Value, json};

use crate::http::Answer;
use crate::member::{Member, within};

const ROOT: &str = "a-root-token-that-nobody-could-guess";
const TOKENS: &str = "/api/v1/access/tokens";

async fn guarded() -> Member {
    let root = Some(root_hash(ROOT).expect("long enough"));
    let asked = Asked { required: true, root, ..Asked::default() };
    Member::start_with_auth(Auth::new(AuthOptions { asked, provider: None })).await
}

/// Asks with a token; with an empty one, without.
async fn ask(member: &Member, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("content-type", "application/json")];
    if !token.is_empty() {
        headers.push(("authorization", bearer.as_str()));
    }
    let body = body.map(ToString::to_string).unwrap_or_default();
    member.http(method, path, &headers, body.as_bytes()).await
}

async fn told(member: &Member, token: &str, path: &str) -> Value {
    let answer = ask(member, token, "GET", path, None).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_made_shown_listed_and_taken_away() {
    let member = guarded().await;
    let stranger = ask(&member, "", "GET", "/api/v1/access/me", None).await;
    stranger.problem(401, "GR0030");
    assert_eq!(stranger.header("www-authenticate"), "Bearer");
    let me = told(&member, ROOT, "/api/v1/access/me").await;
    let who = |name: &str, shown_by: &str, grants: &[&str]| json!({ "apiVersion": "graft/v1", "kind": "WhoAmI", "name": name, "shown_by": shown_by, "grants": grants, "required": true });
    assert_eq!(me, who("root", "root-token", &["cluster-admin"]));

    let new = json!({ "name": "sales", "grants": ["namespace-admin@sales"], "ttl_ms": 60_000 });
    let made = ask(&member, ROOT, "POST", TOKENS, Some(&new)).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let made = made.json();
    let (secret, token) = (made["secret"].as_str().expect("a secret").to_owned(), &made["token"]);
    assert_eq!((&made["kind"], &token["name"], &token["created_by"]), (&json!("NewApiToken"), &json!("sales"), &json!("client:root")));
    let id = token["id"].as_str().expect("an id").to_owned();
    assert_eq!(told(&member, &secret, "/api/v1/access/me").await, who("sales", "token", &["namespace-admin@sales"]));

    // It hands out no more than it has, and sees only what it could have made.
    for (grants, status, code) in [(json!(["viewer"]), 403, "GR0031"), (json!(["admin"]), 400, "GR0001"), (json!([]), 400, "GR0001")] {
        let body = json!({ "name": "more", "grants": grants });
        ask(&member, &secret, "POST", TOKENS, Some(&body)).await.problem(status, code);
    }
    let body = json!({ "name": "seller", "grants": ["operator@sales"] });
    assert_eq!(ask(&member, &secret, "POST", TOKENS, Some(&body)).await.status, 200);
    let body = json!({ "name": "elsewhere", "grants": ["viewer@billing"] });
    assert_eq!(ask(&member, ROOT, "POST", TOKENS, Some(&body)).await.status, 200);
    let names = |page: &Value| {
        let mut names: Vec<_> = page["tokens"].as_array().expect("rows").iter().map(|token| token["name"].clone()).collect();
        names.sort_by_key(ToString::to_string);
        names
    };
    let seen = told(&member, &secret, TOKENS).await;
    assert_eq!(
        (&seen["kind"], names(&seen), &seen["next_cursor"]),
        (&json!("ApiTokenList"), vec![json!("sales"), json!("seller")], &json!(null))
    );
    let first = told(&member, ROOT, &format!("{TOKENS}?limit=2")).await;
    let cursor = first["next_cursor"].as_str().expect("more");
    let rest = told(&member, ROOT, &format!("{TOKENS}?cursor={cursor}")).await;
    assert_eq!((names(&first).len(), names(&rest).len()), (2, 1));

    let left = ask(&member, ROOT, "DELETE", &format!("{TOKENS}/{id}"), None).await;
    assert_eq!((left.status, names(&left.json())), (200, vec![json!("elsewhere"), json!("seller")]));
    ask(&member, ROOT, "DELETE", &format!("{TOKENS}/{id}"), None).await.problem(404, "GR0032");
    // A member believes what it has looked up for a second.
    within(async { while ask(&member, &secret, "GET", "/api/v1/access/me", None).await.status == 200 {} }).await;
    ask(&member, &secret, "GET", "/api/v1/access/me", None).await.problem(401, "GR0030");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_administrators_did_is_listed_and_no_secret_is_in_it() {
    let member = guarded().await;
    let made = ask(&member, ROOT, "POST", TOKENS, Some(&json!({ "name": "ann", "grants": ["operator"] }))).await.json();
    let secret = made["secret"].as_str().expect("a secret");
    let limit = ask(&member, ROOT, "PUT", "/api/v1/limits/total", Some(&json!({ "max": 9 }))).await;
    assert_eq!(limit.status, 200, "{}", limit.body);
    ask(&member, secret, "GET", "/api/v1/access/acts", None).await.problem(403, "GR0031");

    let page = told(&member, ROOT, "/api/v1/access/acts").await;
    let methods: Vec<_> = page["acts"].as_array().expect("rows").iter().map(|act| (&act["method"], &act["outcome"])).collect();
    let done = |method: &str, outcome: String| (json!(method), json!(outcome));
    let token = format!("ok: API token {}", made["token"]["id"].as_str().expect("an id"));
    let expected = [done("LimitService.set", "ok".to_owned()), done("AccessService.create_token", token)];
    assert_eq!((methods, &page["more"]), (expected.iter().map(|(method, ok)| (method, ok)).collect(), &json!(false)));
    assert!(!page.to_string().contains(secret.rsplit('.').next().expect("the secret part")), "{page}");
    let first = told(&member, ROOT, "/api/v1/access/acts?limit=1").await;
    assert_eq!((&first["acts"][0], &first["more"]), (&page["acts"][0], &json!(true)));
    let number = &first["acts"][0]["number"];
    let rest = told(&member, ROOT, &format!("/api/v1/access/acts?before={number}")).await;
    assert_eq!(
        (rest["acts"].as_array().expect("rows"), &rest["more"]),
        (&page["acts"].as_array().expect("rows")[1..].to_vec(), &json!(false))
    );

    // To make a token again would make another one.
    let headers =
        [("authorization", "Bearer a-root-token-that-nobody-could-guess"), ("idempotency-key", "k"), ("content-type", "application/json")];
    let again = member.http("POST", TOKENS, &headers, json!({ "name": "b", "grants": ["viewer"] }).to_string().as_bytes()).await;
    again.problem(400, "GR0001");
    member.stop().await;
}
