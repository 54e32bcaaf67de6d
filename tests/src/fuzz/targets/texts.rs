//! Texts that people and programs write: cursors, names, times, units, the configuration, what joining members show, certificates.

use std::fmt::{Debug, Display};
use std::fs;
use std::str::FromStr;

use graft_convert::{cursors, names as checked};
use graft_machine::access::{Grant, Role};
use graft_machine::trace::TraceParent;
use graft_proto::documents::Time;
use graft_proto::peer_identity::{MemberIdentity, is_name};
use graftd::auth::jwt::{JwkSet, Provider};
use graftd::auth::rules::Rule;
use graftd::auth::token::{Kind, Token};
use graftd::config::{Flags, HostPort, Share, Size, Sources, Span, load};
use graftd::discovery::join_policy::{JoinPolicy, Joiner};
use graftd::discovery::sources::PeerPort;
use graftd::tls::authority::{Authority, Issued, Subject};
use graftd::tls::members::{MaterialFiles, PeerSecurity};

use super::messages::reasoned;
use crate::fuzz::{Outcome, Target, Verdict, same, taken};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(super) fn cursors() -> Target {
    const QUESTION: &str = "workflows of default";
    let run = |bytes: &[u8]| {
        let cursor = cursors::make(QUESTION, bytes);
        if bytes.len() < 900 {
            same(
                "the key of a cursor",
                &Ok(Some(bytes.to_vec())),
                &cursors::read(QUESTION, &cursor).map_err(|fault| format!("{fault:?}")),
            )?;
        }
        if cursors::read("another question", &cursor).is_ok() {
            return Err("a cursor of another list was taken".into());
        }
        let text = text(bytes);
        let position = cursors::read_position(3, &text);
        if let Ok(at) = &position {
            same(
                "a position",
                &Ok(*at),
                &cursors::read_position(3, &cursors::position(3, at.index, at.ordinal)).map_err(|fault| format!("{fault:?}")),
            )?;
        }
        let read = [reasoned(position)?, reasoned(cursors::read(QUESTION, &text))?];
        taken(if read.contains(&Verdict::Taken) { Ok(()) } else { Err(()) })
    };
    let made = cursors::make(QUESTION, b"default\0order-1");
    let seeds = seeds(&[&made, &cursors::position(3, 77, 2), "3-0-ffffffffffffffff-ffffffff"]);
    Target { name: "cursors", words: &["-", "+1", "ffffffffffffffff", "01", "é"], longest: 2_100, seeds, run: Box::new(run) }
}

pub(super) fn names() -> Target {
    let run = |bytes: &[u8]| {
        let text = text(bytes);
        if let Some(identity) = MemberIdentity::of_uri(&text) {
            same("a member's URI", &text, &identity.uri())?;
            if !is_name(&identity.cluster) || !is_name(&identity.member) {
                return Err("a URI with a name that is none was taken".into());
            }
        }
        let words: Vec<&str> = text.split('\n').collect();
        let labels = words.chunks(2).map(|pair| (pair[0].to_owned(), pair.get(1).copied().unwrap_or("").to_owned())).collect();
        let read = [
            reasoned(checked::namespace(text.clone()))?,
            reasoned(checked::node(text.clone()))?,
            reasoned(checked::workflow_id(text.clone()))?,
            reasoned(checked::id("the request id", text.clone()))?,
            reasoned(checked::labels(labels))?,
        ];
        taken(if read.contains(&Verdict::Taken) { Ok(()) } else { Err(()) })
    };
    let seeds = seeds(&["default", "graft://prod.eu/members/graft-0", "order-1", "till\n3\ncity\nüß", "a/b"]);
    Target {
        name: "names",
        words: &["graft://", "/members/", "\0", "..", "\u{202e}", "=", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
        longest: 512,
        seeds,
        run: Box::new(run),
    }
}

/// A text that is read is written so that it is read as the same.
fn round<T: FromStr + Display + PartialEq + Debug>(what: &str, text: &str) -> Outcome {
    let Ok(value) = text.parse::<T>() else { return Ok(Verdict::Refused) };
    same(what, &Some(&value), &value.to_string().parse::<T>().ok().as_ref())?;
    Ok(Verdict::Taken)
}

pub(super) fn traceparents() -> Target {
    let run = |bytes: &[u8]| {
        let text = text(bytes);
        let Some(parent) = TraceParent::parse(&text) else { return Ok(Verdict::Refused) };
        if !parent.is_valid() {
            return Err("an id of zeros was taken".into());
        }
        same("a traceparent", &Some(parent), &TraceParent::parse(&parent.to_string()))?;
        Ok(Verdict::Taken)
    };
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let seeds = seeds(&[good, "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-later"]);
    Target { name: "traceparents", words: &["-", "00", "ff", "0000000000000000", "+", "é"], longest: 80, seeds, run: Box::new(run) }
}

pub(super) fn times() -> Target {
    let run = |bytes: &[u8]| {
        if let Some(number) = bytes.first_chunk() {
            // Whatever number comes over the wire is shown.
            let time = Time(u64::from_be_bytes(*number));
            if time.0 < 253_402_300_800_000 {
                same("a time", &Some(time), &time.to_string().parse().ok())?;
            } else {
                let _ = time.to_string();
            }
        }
        round::<Time>("a time", &text(bytes))
    };
    let seeds = seeds(&["2026-11-24T04:05:06.789Z", "1970-01-01T00:00:00Z", "2024-02-29T23:59:59.999+02:30", "9999-12-31T23:59:60Z"]);
    Target {
        name: "times",
        words: &["T", "Z", "+00:00", "-23:59", ".999999999", "9999", "02-30", ":60"],
        longest: 64,
        seeds,
        run: Box::new(run),
    }
}

pub(super) fn units() -> Target {
    let run = |bytes: &[u8]| {
        let text = text(bytes);
        let address = text.parse::<HostPort>().ok();
        if let Some(address) = &address {
            let _ = (address.is_loopback(), address.is_unspecified(), address.with_port(1).port());
        }
        let read = [
            round::<Span>("a duration", &text)?,
            round::<Size>("a size", &text)?,
            round::<Share>("a share", &text)?,
            round::<HostPort>("an address", &text)?,
        ];
        taken(if read.contains(&Verdict::Taken) { Ok(()) } else { Err(()) })
    };
    let seeds = seeds(&["250ms", "7d", "64MiB", "512 B", "12.5%", "127.0.0.1:7420", "[::1]:7420", "graft-0.graft:65535"]);
    Target {
        name: "units",
        words: &["GiB", "18446744073709551615", "h", "[::]", ":0", "::ffff:127.0.0.1", " "],
        longest: 64,
        seeds,
        run: Box::new(run),
    }
}

pub(super) fn configuration() -> Target {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("graftd.toml");
    let run = move |bytes: &[u8]| {
        let _kept = &dir;
        // The file as it is, and its lines as variables of the environment.
        fs::write(&file, bytes).map_err(|error| error.to_string())?;
        let variable = |line: &str| {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            (format!("GRAFT__{}", name.trim().to_uppercase().replace('.', "__")), value.trim().to_owned())
        };
        let text = text(bytes);
        let environment = text.lines().take(8).map(variable).collect();
        let flags = Flags { config: Some(file.clone()), ..Flags::default() };
        let sources = [Sources::none(), Sources { usual_file: "/nonexistent".into(), environment }];
        let mut read = Verdict::Refused;
        for (flags, sources) in [(flags, &sources[0]), (Flags::default(), &sources[1])] {
            match load(&flags, sources) {
                Ok(loaded) => {
                    let told = loaded.problems.iter().all(|problem| !problem.why.is_empty() && !problem.remedy.is_empty());
                    if !told {
                        return Err(format!("a problem without words: {:?}", loaded.problems));
                    }
                    read = Verdict::Taken;
                    let _ = loaded.accepted();
                }
                Err(error) if error.problems.is_empty() || error.to_string().is_empty() => return Err("a refusal without a reason".into()),
                Err(_) => {}
            }
        }
        Ok(read)
    };
    let example = "[node]\nname = \"m1\"\n[client]\nlisten = \"127.0.0.1:0\"\n[cluster]\nexpect = 3\npeers = [\"h:1\", \"h:2\"]\n[raft]\nheartbeat = \"50ms\"\n[scheduler]\nnode_limits = { ocr = 4 }\n";
    let variables =
        "raft.heartbeat=100ms\ncluster.peers=a:1,b:2\nscheduler.node_limits={ ocr = 4 }\nstorage.cache=64MiB\nsecurity.insecure=true\n";
    let words = &[
        "[raft]",
        "[node]",
        "[cluster]",
        "heartbeat",
        "= \"",
        "\"\"\"",
        "'''",
        "[[",
        "{",
        "}",
        "1e9",
        "0x7f",
        "nan",
        "inf",
        "2026-01-01",
        "true",
        "GRAFT__",
        "__",
        ".",
        "#",
    ];
    Target { name: "configuration", words, longest: 1_024, seeds: seeds(&[example, variables]), run: Box::new(run) }
}

/// Join tokens, the patterns of names that may join, and the port that Kubernetes is asked for.
pub(super) fn joining() -> Target {
    let run = |bytes: &[u8]| {
        let text = text(bytes);
        let token = Token::parse(Kind::Join, &text);
        if let Ok(token) = &token {
            same("a join token", &Ok(token), &Token::parse(Kind::Join, &token.reveal()).as_ref())?;
            let secret = token.reveal().rsplit('.').next().unwrap_or_default().to_owned();
            if !format!("Token {{ id: {:?}, .. }}", token.id).contains(&secret) && format!("{token:?}").contains(&secret) {
                return Err("a join token shows its secret".into());
            }
        }
        let (pattern, name) = text.split_once('\n').unwrap_or((&text, ""));
        let joiner = Joiner { name, certified: true, is_member_by_name: false, token: None };
        let judged = JoinPolicy::Restricted { expected: vec![pattern.to_owned()] }.judge(joiner);
        let plain = !pattern.contains('*');
        if plain && judged.is_ok() != (pattern == name) {
            return Err(format!("`{name}` is judged by `{pattern}`: {judged:?}"));
        }
        let port = round::<PeerPort>("a port", &text)?;
        taken(if token.is_ok() || judged.is_ok() || port == Verdict::Taken { Ok(()) } else { Err(()) })
    };
    let token = Token::mint(Kind::Join).reveal();
    let seeds = seeds(&[&token, "graft-*\ngraft-7", "*-a-*b\nx-a-yb", "peer", "7421"]);
    Target { name: "joining", words: &["graft-join.", ".", "*", "**", "\n", "65536", "peer"], longest: 320, seeds, run: Box::new(run) }
}

/// What callers show, and what the configuration says that they may do.
pub(super) fn access() -> Target {
    let keys = JwkSet { keys: Vec::new() };
    let provider = Provider { issuer: "i".into(), audience: "a".into(), name_claim: "sub".into() };
    let run = move |bytes: &[u8]| {
        let text = text(bytes);
        let token = Token::parse(Kind::Api, &text);
        let (grant, rule) = (text.parse::<Grant>(), text.parse::<Rule>());
        if let Ok(grant) = &grant {
            same("a grant", &Ok(grant), &grant.to_string().parse::<Grant>().as_ref())?;
            let everything = Grant::everywhere(Role::ClusterAdmin);
            if !everything.covers(grant) || grant.covers(&everything) && *grant != everything {
                return Err(format!("{grant} and cluster-admin cover each other in the wrong way"));
            }
        }
        if let Ok(rule) = &rule {
            same("a rule", &Ok(rule), &rule.to_string().parse::<Rule>().as_ref())?;
        }
        if provider.check(&keys, &text).is_ok() {
            return Err("a token was taken that no key has signed".into());
        }
        taken(if token.is_ok() || grant.is_ok() || rule.is_ok() { Ok(()) } else { Err(()) })
    };
    let token = Token::mint(Kind::Api).reveal();
    let jwt = "eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.eyJzdWIiOiJhIn0.AAAA";
    let seeds = seeds(&[&token, jwt, "worker@a=b,c-*", "viewer", "certificate ops-* operator@a", "claim groups=x* cluster-admin"]);
    let words = &[
        "graft-api.",
        ".",
        "*",
        "@",
        "=",
        ",",
        "viewer",
        "operator",
        "worker",
        "namespace-admin",
        "cluster-admin",
        "certificate ",
        "claim ",
    ];
    Target { name: "access", words, longest: 512, seeds, run: Box::new(run) }
}

pub(super) fn certificates() -> Target {
    let (authority, issued) = Authority::create("test").expect("an authority");
    let identity = MemberIdentity { cluster: "test".into(), member: "m1".into() };
    let member = authority.issue(&Subject::member(&identity), 1).expect("a certificate");
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let files = MaterialFiles { ca: path("ca.pem"), cert: path("member.pem"), key: path("member.key") };
    let good = [issued.cert.clone(), member.cert.clone(), member.key.clone()];
    let ca_key = issued.key.clone();
    let run = move |bytes: &[u8]| {
        let _kept = &dir;
        let Some((which, rest)) = bytes.split_first() else { return Ok(Verdict::Refused) };
        let which = usize::from(*which) % 3;
        for (at, file) in [&files.ca, &files.cert, &files.key].into_iter().enumerate() {
            fs::write(file, if at == which { rest } else { good[at].as_bytes() }).map_err(|error| error.to_string())?;
        }
        let text = text(rest);
        let _ = Authority::read(&Issued { cert: text.clone(), key: ca_key.clone() });
        let _ = Authority::read(&Issued { cert: good[0].clone(), key: text });
        match PeerSecurity::tls(files.clone(), identity.clone()) {
            Ok(_) => Ok(Verdict::Taken),
            Err(error) if error.to_string().is_empty() => Err("a refusal without a reason".into()),
            Err(_) => Ok(Verdict::Refused),
        }
    };
    let seeds = [issued.cert, member.cert, member.key].iter().enumerate().map(|(at, pem)| [&[at as u8], pem.as_bytes()].concat()).collect();
    let words =
        &["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\n", "MII", "AAAA", "====", "\n"];
    Target { name: "certificates", words, longest: 4_096, seeds, run: Box::new(run) }
}
