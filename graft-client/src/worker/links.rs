//! The streams to the members, as the engine sees them: which there should be, which there are, and when to try again.

use std::time::Duration;

use crate::backoff::Backoff;

/// Most members that a worker keeps streams to.
pub(super) const MEMBERS_MAX: usize = 64;
/// First and longest wait before a lost stream is opened again.
const WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// First and longest wait before a stream is asked for again that was refused for good: what was wrong (a token, a version) may be mended while
/// the worker runs, but not from one second to the next.
const WAIT_REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));
/// How long an address rests that turned out to be another name of a member that is there already, to belong to another cluster, or to be one where
/// the token may not be shown.
const REST_MS: u64 = 60_000;
/// When another name of a member is tried, after the stream to it under its first name has gone, in milliseconds.
const ALIAS_WAIT_MS: u64 = 1_000;
/// Longest time between asking for a stream and its Welcome.
const OPEN_MS_MAX: u64 = 10_000;

/// One stream, told apart from the one that stood at the same address before.
pub(super) type LinkId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is open; to be tried again then.
    Waiting { until: u64 },
    /// Asked for; no Welcome yet.
    Opening { since: u64 },
    /// The member has answered.
    Welcomed { member: u64 },
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) address: String,
    pub(super) phase: Phase,
    /// Given by the user: never forgotten.
    configured: bool,
    /// The member that answered here last.
    member: Option<u64>,
    /// The last try was refused for good.
    refused: bool,
    /// It is opened as a detour to the leader.
    pub(super) detour: bool,
    backoff: Backoff,
    /// The same for tries that are refused for good.
    patience: Backoff,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Links {
    links: Vec<Link>,
    ids: LinkId,
    seed: u64,
}

impl Links {
    /// For the configured addresses, to be opened at once. The seed decides the jitter of the waits.
    pub(super) fn new(configured: &[String], seed: u64) -> Self {
        let mut links = Self { links: Vec::new(), ids: 0, seed };
        for address in configured {
            links.add(address, true);
        }
        links
    }

    fn add(&mut self, address: &str, configured: bool) {
        self.ids += 1;
        let seed = self.seed.wrapping_add(self.ids.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (backoff, patience) = (Backoff::new(WAIT.0, WAIT.1, seed), Backoff::new(WAIT_REFUSED.0, WAIT_REFUSED.1, seed));
        let (address, phase) = (address.to_owned(), Phase::Waiting { until: 0 });
        self.links.push(Link { id: self.ids, address, phase, configured, member: None, refused: false, detour: false, backoff, patience });
    }

    pub(super) fn get(&self, id: LinkId) -> Option<&Link> {
        self.links.iter().find(|link| link.id == id)
    }

    /// Whether the stream is open or being opened.
    pub(super) fn is_open(&self, id: LinkId) -> bool {
        self.get(id).is_some_and(|link| !matches!(link.phase, Phase::Waiting { .. }))
    }

    fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    /// The links to open now, their addresses, and whether each is a detour.
    pub(super) fn open(&mut self, now: u64) -> Vec<(LinkId, String, bool)> {
        let mut open = Vec::new();
        for at in 0..self.links.len() {
            let link = &self.links[at];
            if matches!(link.phase, Phase::Waiting { until } if until <= now) {
                // A second stream to a member would make it close the first.
                if !link.detour && link.member.is_some_and(|member| self.is_served(member, at)) {
                    self.links[at].phase = Phase::Waiting { until: now + REST_MS };
                    continue;
                }
                let link = &mut self.links[at];
                self.ids += 1;
                link.id = self.ids;
                link.phase = Phase::Opening { since: now };
                open.push((link.id, link.address.clone(), link.detour));
            }
        }
        open
    }

    /// Whether another link than this one is open to the member, or about to be; a detour to it is worth less than a way of its own.
    fn is_served(&self, member: u64, but: usize) -> bool {
        let open = |link: &Link| !matches!(link.phase, Phase::Waiting { .. }) && !link.detour;
        self.links.iter().enumerate().any(|(at, link)| at != but && link.member == Some(member) && open(link))
    }

    /// The links that have been opening for too long.
    pub(super) fn overdue(&self, now: u64) -> Vec<LinkId> {
        let overdue = |link: &&Link| matches!(link.phase, Phase::Opening { since } if since + OPEN_MS_MAX <= now);
        self.links.iter().filter(overdue).map(|link| link.id).collect()
    }

    /// A member has answered on this link. `false` if it had answered on another one, which stays.
    pub(super) fn welcomed(&mut self, id: LinkId, member: u64) -> bool {
        if self.links.iter().any(|link| link.id != id && link.phase == Phase::Welcomed { member }) {
            return false;
        }
        if let Some(link) = self.get_mut(id) {
            (link.phase, link.member, link.refused) = (Phase::Welcomed { member }, Some(member), false);
            link.backoff.reset();
            link.patience.reset();
        }
        true
    }

    /// The stream is gone: wait, then try again; for long if the member would not have it, and not if it had taken it before. Another name of the
    /// same member gets its turn after it.
    pub(super) fn closed(&mut self, id: LinkId, now: u64) {
        let Some(link) = self.get_mut(id) else { return };
        let wait = if link.refused { link.patience.wait() } else { link.backoff.wait() };
        link.phase = Phase::Waiting { until: now + crate::next::millis(wait) };
        let Some(member) = link.member else { return };
        for alias in self.links.iter_mut().filter(|link| link.id != id && link.member == Some(member)) {
            if let Phase::Waiting { until } = &mut alias.phase {
                *until = (*until).min(now + ALIAS_WAIT_MS);
            }
        }
    }

    /// The address is another name of a member to which there is a stream already: it rests as long as that one stands.
    pub(super) fn is_alias(&mut self, id: LinkId, member: u64, now: u64) {
        if let Some(link) = self.get_mut(id) {
            link.member = Some(member);
        }
        self.rest(id, now);
    }

    /// The member at this address has refused this worker for good, or has not: then the stream was lost. Whether all that the user gave have
    /// refused it.
    pub(super) fn refused(&mut self, id: LinkId, refused: bool) -> bool {
        if let Some(link) = self.get_mut(id) {
            link.refused = refused && matches!(link.phase, Phase::Opening { .. });
        }
        self.links.iter().filter(|link| link.configured).all(|link| link.refused)
    }

    /// The address is of no use for now.
    pub(super) fn rest(&mut self, id: LinkId, now: u64) {
        if let Some(link) = self.get_mut(id) {
            link.phase = Phase::Waiting { until: now + REST_MS };
        }
    }

    /// The members are these: streams to new ones, none any more to addresses that are gone and not open.
    pub(super) fn members(&mut self, addresses: &[String]) {
        let waiting = |link: &Link| matches!(link.phase, Phase::Waiting { .. });
        self.links.retain(|link| link.configured || !waiting(link) || addresses.contains(&link.address));
        for address in addresses {
            if self.links.len() < MEMBERS_MAX && !self.links.iter().any(|link| link.address == *address) {
                self.add(address, false);
            }
        }
    }

    /// Chooses the stream that is to be a detour from now on: one whose member has greeted, another than the last one if there is one. It is to
    /// be closed.
    pub(super) fn choose_detour(&mut self) -> Option<LinkId> {
        let standing = |link: &&Link| matches!(link.phase, Phase::Welcomed { .. });
        let fresh = self.links.iter().filter(standing).find(|link| !link.detour);
        let chosen = fresh.or_else(|| self.links.iter().find(standing))?.id;
        self.end_detours();
        self.get_mut(chosen).expect("found above").detour = true;
        Some(chosen)
    }

    /// The leader has been reached directly: no stream is a detour any more.
    pub(super) fn end_detours(&mut self) {
        self.links.iter_mut().for_each(|link| link.detour = false);
    }

    /// The detour to this member that stands beside the link on which the member has greeted directly.
    pub(super) fn detour_beside(&self, id: LinkId, member: u64) -> Option<LinkId> {
        let direct = self.get(id).is_some_and(|link| !link.detour);
        let detour = self.links.iter().find(|link| link.detour && link.id != id && link.phase == Phase::Welcomed { member });
        detour.filter(|_| direct).map(|link| link.id)
    }

    /// The links whose member has answered.
    pub(super) fn standing(&self) -> Vec<LinkId> {
        self.links.iter().filter(|link| matches!(link.phase, Phase::Welcomed { .. })).map(|link| link.id).collect()
    }

    /// The links that are open or being opened.
    pub(super) fn alive(&self) -> Vec<LinkId> {
        self.links.iter().filter(|link| !matches!(link.phase, Phase::Waiting { .. })).map(|link| link.id).collect()
    }

    /// When something is to be done next.
    pub(super) fn next_timeout(&self) -> Option<u64> {
        let due = |link: &Link| match link.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Opening { since } => Some(since + OPEN_MS_MAX),
            Phase::Welcomed { .. } => None,
        };
        self.links.iter().filter_map(due).min()
    }
}
