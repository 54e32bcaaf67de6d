//! Health, for probes and for people.
//!
//! `/livez` says that the process answers, and that neither its disk nor its consensus has been at one thing for a minute: a member without a leader,
//! or behind, or on a slow disk, is not made better by a restart, and one that hangs is. `/readyz` says
//! whether it should get traffic, and why not; a disk that is nearly full is no reason, for what runs has to go on: `?verbose` and `/healthz`
//! say it. `/healthz` is `/readyz` with the member's place in the cluster, as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::api::Shared;
use crate::consensus::ClusterStatus;
use crate::observability::readiness::Readiness;

pub(super) async fn livez(State(shared): State<Arc<Shared>>) -> Response {
    match shared.api.consensus.stuck() {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("stuck: {why}\n")).into_response(),
    }
}

pub(super) async fn readyz(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let readiness = readiness(&shared);
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part == "verbose" || part.starts_with("verbose=")));
    let text = match verbose {
        true => checks(&shared),
        false if readiness.ready => "ok\n".to_owned(),
        false => format!("not ready: {}\n", readiness.reason),
    };
    (code(&readiness), [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

pub(super) async fn healthz(State(shared): State<Arc<Shared>>) -> Response {
    let readiness = readiness(&shared);
    let status = shared.api.consensus.status();
    let body = serde_json::json!({
        "ready": readiness.ready,
        "reason": readiness.reason,
        "starts_refused": shared.api.consensus.starts_refused(),
        "version": shared.api.info.version,
        "member": { "name": shared.api.info.member_name, "raft_id": status.member, "client_address": shared.api.info.client_address },
        "cluster": {
            "id": status.cluster_id,
            "name": status.cluster_name,
            "epoch": status.epoch,
            "leader": status.leader,
            "term": status.term,
            "members": status.members.len(),
        },
        "index": { "last": status.last_index, "applied": status.applied_index, "flushed": status.flushed_index },
    });
    (code(&readiness), Json(body)).into_response()
}

/// A member that stops is not ready, whatever it was before.
fn readiness(shared: &Shared) -> Readiness {
    match shared.shutdown.is_cancelled() {
        true => Readiness { ready: false, reason: "shutting down".to_owned() },
        false => shared.api.info.readiness.borrow().clone(),
    }
}

fn code(readiness: &Readiness) -> StatusCode {
    if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// A line for each thing that is looked at, good or not, and the verdict.
pub(in crate::api) fn checks(shared: &Shared) -> String {
    let consensus = &shared.api.consensus;
    told(&readiness(shared), &consensus.status(), consensus.starts_refused(), consensus.stuck())
}

fn told(readiness: &Readiness, status: &ClusterStatus, starts_refused: Option<String>, stuck: Option<String>) -> String {
    let line = |good: bool, text: String| format!("[{}]{text}\n", if good { '+' } else { '-' });
    let formed = !status.cluster_id.is_empty();
    let mut text = line(formed, format!("cluster {}", if formed { status.cluster_id.as_str() } else { "is not formed yet" }));
    text += &line(
        status.leader != 0,
        match status.leader {
            0 => format!("leader is not known in term {}", status.term),
            leader => format!("leader {leader:x} in term {}", status.term),
        },
    );
    text += &line(true, format!("log last {} applied {} flushed {}", status.last_index, status.applied_index, status.flushed_index));
    text += &line(stuck.is_none(), stuck.unwrap_or_else(|| "log, state and consensus go on".to_owned()));
    text += &line(starts_refused.is_none(), starts_refused.unwrap_or_else(|| "disk has room for new workflows".to_owned()));
    text += &line(readiness.ready, if readiness.ready { "ready".to_owned() } else { format!("not ready: {}", readiness.reason) });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checks_name_what_is_missing() {
        let waiting = Readiness { ready: false, reason: "no leader is known".into() };
        let text = told(
            &waiting,
            &ClusterStatus { cluster_id: "c".into(), term: 3, ..ClusterStatus::default() },
            Some("the disk is full".into()),
            Some("the disk hangs".into()),
        );
        assert!(text.contains("[-]the disk is full\n") && text.contains("[-]the disk hangs\n"), "{text}");
        assert!(text.contains("[+]cluster c") && text.contains("[-]leader is not known in term 3"), "{text}");
        assert!(text.ends_with("[-]not ready: no leader is known\n"), "{text}");
        let ready = Readiness { ready: true, reason: String::new() };
        let text = told(&ready, &ClusterStatus { cluster_id: "c".into(), leader: 1, ..ClusterStatus::default() }, None, None);
        assert!(!text.contains("[-]") && text.ends_with("[+]ready\n"), "{text}");
    }
}
