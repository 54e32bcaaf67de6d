//! Offers starts at a rate, whatever becomes of them: an open loop, as the world is. Nobody repeats what was refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graft_proto::v1::{Encoding, NewTask, Payload, StartRequest};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Semaphore};
use tonic::transport::{Channel, Endpoint};

use super::percentile;

/// Connections.
const CONNECTIONS: usize = 16;
/// Starts that may be under way at once; beyond, they are not sent, and counted as such.
const UNDER_WAY_MAX: usize = 12_000;
/// How often a portion is sent.
const PORTION_EVERY: Duration = Duration::from_millis(5);

/// What became of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Flooded {
    /// Sent.
    pub offered: u64,
    /// Answered with a run.
    pub accepted: u64,
    /// Refused with `RESOURCE_EXHAUSTED`.
    pub refused: u64,
    /// Every other answer, by code.
    pub failed: BTreeMap<String, u64>,
    /// Not sent: too many had no answer yet.
    pub held_back: u64,
    /// How long refusals took at the 99th percentile, in microseconds.
    pub refusal_p99_us: u64,
    /// How long acceptances took at the 99th percentile, in microseconds.
    pub accepted_p99_us: u64,
}

#[derive(Default)]
struct Tally {
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: Mutex<BTreeMap<String, u64>>,
    refusals_us: Mutex<Vec<u64>>,
    acceptances_us: Mutex<Vec<u64>>,
}

/// Offers `rate` starts a second of chains with `steps` steps for this time. Their ids begin with `prefix`.
pub async fn flood(url: &str, prefix: &str, steps: u32, rate: u64, time: Duration) -> Flooded {
    let mut channels: Vec<Channel> = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(Endpoint::from_shared(url.to_owned()).expect("an address").connect().await.expect("it listens"));
    }
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let tally = Arc::new(Tally::default());
    let (mut offered, mut held_back) = (0, 0);
    let began = Instant::now();
    let mut portions = tokio::time::interval(PORTION_EVERY);
    while began.elapsed() < time {
        portions.tick().await;
        let due = (began.elapsed().as_micros() as u64 * rate / 1_000_000).saturating_sub(offered + held_back);
        for _ in 0..due {
            let Ok(place) = places.clone().try_acquire_owned() else {
                held_back += 1;
                continue;
            };
            let config = Some(Payload { encoding: Encoding::Json.into(), data: format!("{{\"left\":{}}}", steps - 1).into() });
            let request = StartRequest {
                namespace: "default".to_owned(),
                workflow_id: format!("{prefix}-{offered}"),
                nodes: vec![NewTask { node: "chain".to_owned(), config, ..NewTask::default() }],
                ..StartRequest::default()
            };
            let mut client = WorkflowServiceClient::new(channels[offered as usize % CONNECTIONS].clone());
            offered += 1;
            let tally = tally.clone();
            tokio::spawn(async move {
                let asked = Instant::now();
                let answer = client.start(request).await;
                let took = asked.elapsed().as_micros() as u64;
                match answer {
                    Ok(_) => {
                        tally.accepted.fetch_add(1, Ordering::Relaxed);
                        tally.acceptances_us.lock().await.push(took);
                    }
                    Err(status) if status.code() == tonic::Code::ResourceExhausted => {
                        tally.refused.fetch_add(1, Ordering::Relaxed);
                        tally.refusals_us.lock().await.push(took);
                    }
                    Err(status) => *tally.failed.lock().await.entry(format!("{:?}", status.code())).or_default() += 1,
                }
                drop(place);
            });
        }
    }
    // All that was sent has its answer.
    drop(places.acquire_many(UNDER_WAY_MAX as u32).await.expect("nobody closes it"));
    let mut refusals = tally.refusals_us.lock().await.clone();
    let mut acceptances = tally.acceptances_us.lock().await.clone();
    Flooded {
        offered,
        accepted: tally.accepted.load(Ordering::Relaxed),
        refused: tally.refused.load(Ordering::Relaxed),
        failed: tally.failed.lock().await.clone(),
        held_back,
        refusal_p99_us: percentile(&mut refusals, 99),
        accepted_p99_us: percentile(&mut acceptances, 99),
    }
}
