//! Workers: who is connected, and why streams and sessions ended.

use prometheus::{IntCounter, Registry};

use super::make::counters;
use super::rows::Rows;

/// See the module.
#[derive(Debug)]
pub struct WorkerMetrics {
    /// Worker sessions connected to the leader (leader only).
    pub connected: Rows,
    /// Streams of workers to this member that ended, by whom: the worker or the network (`worker`), or this member (`member`).
    pub streams_ended: [IntCounter; 2],
    /// Sessions that ended, by reason: `goodbye`, `silent`, `refused`.
    pub sessions_ended: [IntCounter; 3],
}

impl WorkerMetrics {
    pub(super) fn new(r: &Registry) -> Self {
        let streams = counters(r, "graft_worker_streams_ended_total", "Streams of workers that ended", &["by"], &[]);
        let sessions = counters(r, "graft_worker_sessions_ended_total", "Sessions of workers that ended", &["reason"], &[]);
        Self {
            connected: Rows::new(r, "graft_workers_connected", "Worker sessions connected to the leader", &[]),
            streams_ended: ["worker", "member"].map(|by| streams.with_label_values(&[by])),
            sessions_ended: ["goodbye", "silent", "refused"].map(|reason| sessions.with_label_values(&[reason])),
        }
    }
}
