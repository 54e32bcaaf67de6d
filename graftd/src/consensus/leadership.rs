//! Who leads: for the proposer as openraft sees it ([`Compass`]), for the floors above only after the read barrier of the new term.

use std::sync::Arc;
use std::time::Duration;

use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{ReadPolicy, ServerState};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::apply::Shared;
use super::links::Links;
use super::member::MemberInfo;
use super::types::{Raft, Types};

/// A new leader whose read barrier failed tries again after so long, unless something changes before.
const BARRIER_RETRY: Duration = Duration::from_millis(50);

/// Who leads, as this member sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This member leads, and has applied everything of earlier terms.
    Leader {
        /// In this term.
        term: u64,
    },
    /// Another member leads, or none is known (or this one has not yet passed the read barrier of its term).
    Follower {
        /// In this term.
        term: u64,
        /// The leader.
        leader: Option<MemberInfo>,
    },
}

/// Where commands go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// This member leads.
    Here {
        /// In this term.
        term: u64,
    },
    /// That one leads.
    There(MemberInfo),
    /// None is known.
    Nowhere,
}

impl Route {
    /// Raft id of the leader, if it is known; `me` is this member's.
    pub(crate) fn leader(&self, me: u64) -> Option<u64> {
        match self {
            Self::Here { .. } => Some(me),
            Self::There(leader) => Some(leader.raft_id),
            Self::Nowhere => None,
        }
    }
}

type ServerMetrics = openraft::metrics::RaftServerMetrics<Types>;

/// Reads who leads from openraft, never holding its watch.
#[derive(Clone)]
pub(crate) struct Compass {
    server: WatchReceiverOf<Types, ServerMetrics>,
}

impl Compass {
    pub(crate) fn new(raft: &Raft) -> Self {
        Self { server: raft.server_metrics() }
    }

    pub(crate) fn metrics(&self) -> ServerMetrics {
        self.server.borrow_watched().clone()
    }

    pub(crate) fn route(&self) -> Route {
        let now = self.metrics();
        if now.state == ServerState::Leader {
            return Route::Here { term: now.vote.leader_id.term };
        }
        match now.current_leader.filter(|leader| *leader != now.id).and_then(|leader| now.membership_config.get_node(&leader).cloned()) {
            Some(leader) => Route::There(leader),
            None => Route::Nowhere,
        }
    }

    /// As [`Self::metrics`]; what is returned is no change any more.
    fn look(&mut self) -> ServerMetrics {
        self.server.borrow_and_update().clone()
    }

    /// Another one, which waits for changes after now.
    pub(crate) fn fresh(&self) -> Self {
        let mut compass = self.clone();
        compass.look();
        compass
    }

    /// Waits until commands go elsewhere than to this leader.
    pub(crate) async fn until_not(mut self, leader: &MemberInfo) {
        while matches!(self.route(), Route::There(now) if now.raft_id == leader.raft_id) {
            self.changed().await;
        }
    }

    /// Waits for a change since the last call (or look); for ever, once openraft has stopped.
    pub(crate) async fn changed(&mut self) {
        if self.server.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Tells the floors above who leads.
pub(crate) struct Herald {
    pub(crate) raft: Raft,
    pub(crate) compass: Compass,
    pub(crate) shared: Arc<Shared>,
    pub(crate) links: Arc<Links>,
    pub(crate) told: watch::Sender<Leadership>,
    pub(crate) stop: CancellationToken,
}

impl Herald {
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.follow()).await;
        self.shared.feeds.close_before(u64::MAX);
    }

    async fn follow(&mut self) {
        let (mut last_leader, mut stood_in) = (None, 0);
        loop {
            let now = self.compass.look();
            let term = now.vote.leader_id.term;
            // Who leads alone has nobody to send heartbeats to, and nobody stands for election against it: a hundred ticks a second are for nothing.
            let alone = now.state == ServerState::Leader && now.membership_config.nodes().count() == 1;
            self.raft.runtime_config().tick(!alone);
            self.links.learn(now.membership_config.nodes().map(|(_, member)| member));
            self.note(&now, &mut last_leader, &mut stood_in);
            if now.state == ServerState::Leader {
                self.shared.feeds.close_before(term);
                if *self.told.borrow() == (Leadership::Leader { term }) {
                    self.compass.changed().await;
                    continue;
                }
                self.tell(Leadership::Follower { term, leader: None });
                let mut compass = self.compass.clone();
                tokio::select! {
                    passed = self.barrier() => match passed {
                        true if self.compass.route() == (Route::Here { term }) => self.tell(Leadership::Leader { term }),
                        true => {}
                        false => drop(tokio::time::timeout(BARRIER_RETRY, compass.changed()).await),
                    },
                    () = compass.changed() => {}
                }
            } else {
                self.shared.feeds.close_before(u64::MAX);
                let leader = match self.compass.route() {
                    Route::There(leader) => Some(leader),
                    Route::Here { .. } | Route::Nowhere => None,
                };
                self.tell(Leadership::Follower { term, leader });
                self.compass.changed().await;
            }
        }
    }

    /// Whether this member, as the leader, has applied everything that was acknowledged before.
    async fn barrier(&self) -> bool {
        let Ok(linearizer) = self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await else { return false };
        let index = linearizer.read_log_id().index() + 1;
        self.shared.applied.subscribe().wait_for(|applied| *applied >= index).await.is_ok()
    }

    fn tell(&self, news: Leadership) {
        self.told.send_if_modified(|told| {
            let changed = *told != news;
            if changed {
                tracing::info!(?news, "leadership");
                *told = news;
            }
            changed
        });
    }

    fn note(&self, now: &ServerMetrics, last_leader: &mut Option<u64>, stood_in: &mut u64) {
        let metrics = &self.shared.metrics.raft;
        metrics.is_leader.set(i64::from(now.state == ServerState::Leader));
        metrics.term.set(now.vote.leader_id.term as i64);
        if now.current_leader.is_some() && now.current_leader != *last_leader {
            *last_leader = now.current_leader;
            metrics.leader_changes.inc();
        }
        // Whoever leads has stood for it, however short that was.
        let stands = matches!(now.state, ServerState::Candidate | ServerState::Leader);
        if stands && now.vote.leader_id.term > *stood_in {
            *stood_in = now.vote.leader_id.term;
            metrics.elections_started.inc();
        }
    }
}
