//! What systems beside us say: the API of Kubernetes, whoever announces something in the local network, an identity provider.

use graftd::auth::jwt::Provider;
use graftd::auth::keys::{address_of_keys, key_set};
use graftd::discovery::sources::{EndpointSlices, Instance, PeerPort, SliceEvent, judge};
use graftd::discovery::stateful_set::surplus_of;
use serde_json::Value;

use crate::fuzz::{Target, Verdict, taken};

/// Slices of a Service and a StatefulSet. The first byte says what happens to a slice, the second to which; a second slice is always there and well.
pub(super) fn kubernetes() -> Target {
    let well = r#"{"endpoints":[{"addresses":["10.0.0.1"]}],"ports":[{"name":"peer","port":7421}]}"#;
    let well: Value = serde_json::from_str(well).expect("JSON");
    let run = move |bytes: &[u8]| {
        let Some((&kind, rest)) = bytes.split_first() else { return Ok(Verdict::Refused) };
        let Ok(object) = serde_json::from_slice::<Value>(rest) else { return Ok(Verdict::Refused) };
        if surplus_of(&object, u64::from(kind)).is_some_and(|replicas| replicas == 0) {
            return Err("a pod is to go since there are to be none at all".into());
        }
        let mut slices = EndpointSlices::new(PeerPort::Named("peer".into()));
        slices.take(SliceEvent::Applied("well".into(), well.clone()));
        match kind % 3 {
            0 => drop(slices.take(SliceEvent::Applied("other".into(), object))),
            1 => {
                for event in [SliceEvent::ListBegins, SliceEvent::Listed("well".into(), well.clone())] {
                    slices.take(event);
                }
                slices.take(SliceEvent::Listed("other".into(), object));
                slices.take(SliceEvent::ListEnds);
            }
            _ => {
                slices.take(SliceEvent::Applied("other".into(), object));
                slices.take(SliceEvent::Deleted("other".into()));
            }
        }
        let addresses = slices.addresses();
        if !addresses.iter().any(|address| address == "10.0.0.1:7421") {
            return Err(format!("a slice took another one's address with it: {addresses:?}"));
        }
        let wrong = |address: &&String| address.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err());
        if let Some(wrong) = addresses.iter().find(wrong) {
            return Err(format!("{wrong:?} is no HOST:PORT"));
        }
        let left_out = kind % 3 == 2 && addresses.len() > 1;
        if left_out {
            Err(format!("a slice that is gone left something: {addresses:?}"))
        } else {
            taken(slices.trouble().map_or(Ok(()), Err))
        }
    };
    let slice = r#"{"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.2","2001:db8::1","graft-0.graft"],"conditions":{"ready":false}}],
        "ports":[{"name":"client","port":7420},{"name":"peer","port":7421}]}"#;
    let set = r#"{"metadata":{"deletionTimestamp":null},"spec":{"replicas":3,"ordinals":{"start":1}}}"#;
    let seeds = (0..3).flat_map(|kind| [slice, set].map(|text| [&[kind], text.as_bytes()].concat())).collect();
    let words =
        &["null", "[]", "{}", "70000", "-1", "\"\"", "\"ports\"", "\"addresses\"", "\"peer\"", "18446744073709551615", "fe80::1%eth0"];
    Target { name: "kubernetes", words, longest: 1_024, seeds, run: Box::new(run) }
}

/// Two texts of an instance of mDNS: its cluster and its address.
pub(super) fn announcements() -> Target {
    let run = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let (cluster, address) = text.split_once('\n').unwrap_or((&text, ""));
        match judge("graft", cluster, address) {
            Instance::Candidate(found) if cluster != "graft" || found != address || found.rsplit_once(':').is_none() => {
                Err(format!("{cluster:?} at {address:?} became the candidate {found:?}"))
            }
            Instance::OtherCluster(other) if other != cluster || other == "graft" => Err(format!("{cluster:?} became {other:?}")),
            Instance::Senseless("") => Err("a refusal without words".into()),
            Instance::Candidate(_) => Ok(Verdict::Taken),
            Instance::OtherCluster(_) | Instance::Senseless(_) => Ok(Verdict::Refused),
        }
    };
    let seeds =
        ["graft\n10.0.0.1:7421", "graft\n[2001:db8::1]:7421", "other\nhost:7421", "graft\nhost"].map(|text| text.as_bytes().to_vec());
    Target { name: "announcements", words: &["graft", "\n", ":7421", ":"], longest: 512, seeds: seeds.to_vec(), run: Box::new(run) }
}

/// What a provider says of itself, and its keys. Whatever keys it has, neither a token that nobody has signed is taken, nor one that is signed with
/// what others know as well.
pub(super) fn providers() -> Target {
    /// Of the holder `x` for the audience `a`, by `i`: signed with the shared secret `key`, and not signed.
    const TOKENS: [&str; 2] = [
        "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJpIiwiYXVkIjoiYSIsInN1YiI6IngiLCJleHAiOjQxMDI0NDQ4MDB9.binDMpoXTlCFluY9kcnVMwEEL-9idTORH7ElOpyR_gM",
        "eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.eyJpc3MiOiJpIiwiYXVkIjoiYSIsInN1YiI6IngiLCJleHAiOjQxMDI0NDQ4MDB9.AAAA",
    ];
    let provider = Provider { issuer: "i".into(), audience: "a".into(), name_claim: "sub".into() };
    let run = move |bytes: &[u8]| {
        let address = address_of_keys("https://id.example.com", bytes);
        let keys = key_set(bytes);
        if let Ok(keys) = &keys {
            for token in TOKENS {
                if provider.check(keys, token).is_ok() {
                    return Err(format!("{token} was taken, which nobody has signed"));
                }
            }
        }
        taken(if address.is_ok() || keys.is_ok() { Ok(()) } else { Err(()) })
    };
    let seeds = [
        r#"{"issuer":"https://id.example.com","jwks_uri":"https://id.example.com/keys"}"#,
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k","alg":"EdDSA"}]}"#,
        r#"{"keys":[{"kty":"oct","k":"a2V5","kid":"k"}]}"#,
        r#"{"keys":[{"kty":"RSA","n":"sXch","e":"AQAB","kid":"k","alg":"RS256"},{"kty":"EC","crv":"P-256","x":"f83O","y":"x_FE","kid":"l"}]}"#,
    ];
    let words = &[
        "\"keys\":[",
        "\"kty\":",
        "\"oct\"",
        "\"OKP\"",
        "\"alg\":\"HS256\"",
        "\"alg\":\"RSA1_5\"",
        "\"kid\":\"k\"",
        "\"x\":",
        "\"n\":",
        "null",
    ];
    Target { name: "providers", words, longest: 1_024, seeds: seeds.map(|text| text.as_bytes().to_vec()).to_vec(), run: Box::new(run) }
}
