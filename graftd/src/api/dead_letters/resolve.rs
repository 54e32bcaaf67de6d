//! Redriving and discarding: one dead letter by its number, several by name, or a page of those that a filter finds.
//!
//! Whatever is asked for, each dead letter is one command with one answer, and the command carries a request id of its own, which is made of
//! the request's and of the dead letter's name. What has been done is answered again and not done again. A member that cannot say what
//! became of one (there is no leader, say) fails the whole call: the client repeats it, here or at another member.
//!
//! A repeat must also find the same dead letters, though what the first try has done is no dead letter any more, and though others have been
//! given up meanwhile, perhaps again ones that the first try has redriven. For a filter, three things see to that:
//!
//! - **What is done is found again.** The ids of the parts begin with the same word, made of the request id and the cursor, and end with the
//!   dead letter's place, so that a range of the machine's table of requests *is* the list of what this page has done. It counts into the
//!   limit, is told again as done, and is not asked for again. So all tries of a page together do no more than its limit, in whatever order
//!   they run, and also while an earlier try still goes on at another member: both choose from the same range, in the same order.
//! - **The range has an end.** A first page looks at what had been given up when it was asked for; its cursor carries that time, and the
//!   pages behind it keep to it. A first page that is repeated has no cursor; it reads the time from what its first try has left in the
//!   table: the time at which the answers expire lies a fixed span behind it. (Not if the client has set that time itself: then the
//!   repeat looks at what had been given up when *it* was asked for, and the limit still holds. Who wants both gives `until_ms`.)
//! - **The next page begins at the same place**: behind the last row that was taken, be it from the table of requests.
//!
//! What is refused stays where it is, and is not remembered: refused ones count into the limit of their page, and the cursor leads past
//! them, so that a thousand that can never be redriven are in nobody's way. A page is small ([`MANY_MAX`]) because a client waits for it; it
//! is also why its answer stays far below the largest message, whatever the refusals say. A page that looks at many rows to find few ends
//! early, perhaps with no result at all, and has a cursor as well.
//!
//! A dry run goes the same way up to the command, and then asks the machine's own check. Whoever shows its results and is told to go on names
//! exactly those: nothing that was not shown is touched, whatever the filter finds by then.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use graft_convert::{cursors, dead_letters, names, rejections, tasks as convert};
use graft_machine::command::{Command, ControlTask, RedriveTask};
use graft_machine::ids::{Run, TaskId, TaskRef};
use graft_machine::limits::{NOT_AFTER_AHEAD_MAX, STATE_BYTES_MAX};
use graft_machine::reply::{Rejection, RejectionCode};
use graft_machine::state::StateRead;
use graft_machine::tables::{DeadLetterKey, RequestRecord, TableKey};
use graft_machine::task::Task;
use graft_machine::time::Millis;
use graft_machine::view;
use graft_proto::errors::Fault;
use graft_proto::v1;

use super::super::requests::{Identity, NOT_AFTER_MARGIN, Target};
use super::super::{Shared, tasks};
use super::find::{Next, Query, read_key};

/// Dead letters of one request.
const MANY_MAX: usize = 500;
/// Commands of one request that are under way at once.
const AT_ONCE: usize = 64;
/// A dry run ends its page early when the states that it would patch have so many bytes together.
const PATCHED_BYTES_MAX: usize = 64 * STATE_BYTES_MAX;
/// What lies between the time at which a request was asked for and the time at which its answers expire, if the client has not set that.
const EXPIRY_AHEAD: Millis = NOT_AFTER_AHEAD_MAX - NOT_AFTER_MARGIN;

/// Which dead letters are meant.
pub(super) enum Which {
    One(v1::DeadLetterRef),
    Several(Vec<v1::DeadLetterRef>),
    Filter(v1::DeadLetterFilter),
}

/// What is done with a dead letter.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Redrive { config: Option<Bytes>, state_patch: Bytes },
    Discard,
}

impl Action {
    fn verb(&self) -> &'static str {
        match self {
            Self::Redrive { .. } => "redrive",
            Self::Discard => "discard",
        }
    }

    /// What would become of a dead letter: its run and its task, or the refusal.
    fn would(&self, state: &impl StateRead, now: Millis, at: &Target, task: TaskId) -> Result<(Run, Arc<Task>), Fault> {
        let answer = match self.command(at.clone(), task, String::new()) {
            Command::Redrive(command) => view::would_redrive(state, now, &command),
            Command::Discard(command) => view::would_discard(state, now, &command),
            other => unreachable!("{other:?} is nothing that is done with a dead letter"),
        };
        answer.map_err(rejections::fault)
    }

    fn command(&self, at: Target, task: TaskId, reason: String) -> Command {
        let Target { namespace, id, run } = at;
        match self {
            Self::Redrive { config, state_patch } => {
                let (config, state_patch) = (config.clone(), state_patch.clone());
                Command::Redrive(RedriveTask { namespace, id, run, task, config, state_patch, reason })
            }
            Self::Discard => Command::Discard(ControlTask { namespace, id, run, task, reason }),
        }
    }
}

/// A request that does something with dead letters.
pub(super) struct Asked {
    pub(super) namespace: String,
    pub(super) which: Which,
    pub(super) action: Action,
    pub(super) reason: String,
    pub(super) limit: u32,
    pub(super) cursor: String,
    pub(super) dry_run: bool,
    /// Whether the client has set the time at which its request expires.
    pub(super) sets_expiry: bool,
}

impl Asked {
    /// Does it, or says what it would do.
    pub(super) async fn answer(mut self, shared: &Arc<Shared>, identity: Identity) -> Result<v1::ResolveDeadLettersResponse, Fault> {
        self.namespace = names::namespace(self.namespace)?;
        tasks::check_reason(&self.reason)?;
        let is_page = !self.cursor.is_empty() || self.limit != 0;
        if is_page && !matches!(self.which, Which::Filter(_)) {
            return Err(Fault::invalid("the request", "has a cursor or a limit without a filter").remedy("they go with a filter only"));
        }
        let dry_run = self.dry_run;
        let (results, next_cursor) = match std::mem::replace(&mut self.which, Which::Several(Vec::new())) {
            Which::One(one) => (vec![self.one(shared, identity, one).await?], String::new()),
            Which::Several(several) => (self.several(shared, identity, several).await?, String::new()),
            Which::Filter(filter) => self.page(shared, identity, dead_letters::Filter::new(Some(filter))?).await?,
        };
        Ok(v1::ResolveDeadLettersResponse { results, next_cursor, dry_run })
    }

    fn target(&self, one: &v1::DeadLetterRef) -> Result<Target, Fault> {
        Target::new(self.namespace.clone(), one.workflow_id.clone(), one.run)
    }

    /// One that was named alone: its refusal is the call's.
    async fn one(&self, shared: &Arc<Shared>, identity: Identity, one: v1::DeadLetterRef) -> Result<v1::DeadLetterResult, Fault> {
        let target = self.target(&one)?;
        if self.dry_run {
            let (action, at, now) = (self.action.clone(), target.clone(), shared.api.consensus.machine_time());
            shared.linearizable().await?;
            let would = shared.read_view(move |view| action.would(view, view::meta(view).time.max(now), &at, one.task)).await?;
            let (run, task) = would?;
            return Ok(result(target.id, run, one.task, task.node.clone(), None));
        }
        // A request that was done before is answered as it was then, though its dead letter is none any more.
        let node = node_now(&shared.latest(), &target, one.task);
        let run = self.act(shared, identity, target.clone(), one.task).await?;
        Ok(result(target.id, run, one.task, node, None))
    }

    /// Those that were named, each with its answer.
    async fn several(
        &self,
        shared: &Arc<Shared>,
        identity: Identity,
        several: Vec<v1::DeadLetterRef>,
    ) -> Result<Vec<v1::DeadLetterResult>, Fault> {
        if several.len() > MANY_MAX {
            let detail = format!("names {}, at most {MANY_MAX} are allowed", several.len());
            return Err(Fault::too_large("dead_letters", detail).remedy("name the rest in another request"));
        }
        let named: Vec<_> = several.iter().map(|one| Ok((self.target(one)?, one.task))).collect::<Result<_, Fault>>()?;
        let (action, dry_run, now) = (self.action.clone(), self.dry_run, shared.api.consensus.machine_time());
        shared.linearizable().await?;
        let found = shared.read_view(move |view| {
            let now = view::meta(view).time.max(now);
            let look = |(target, task): (Target, TaskId)| match dry_run {
                true => {
                    let would = action.would(view, now, &target, task);
                    let (run, node) = would.as_ref().map_or((target.run, String::new()), |(run, task)| (*run, task.node.clone()));
                    (Chosen { target, run, task, node, part: String::new() }, would.err())
                }
                false => {
                    let part = format!("{}/{}/{task}", target.id, target.run);
                    let (run, node) = (target.run, node_now(view, &target, task));
                    (Chosen { target, run, task, node, part }, None)
                }
            };
            named.into_iter().map(look).collect::<Vec<_>>()
        });
        let found = found.await?;
        if dry_run {
            return Ok(found.into_iter().map(|(chosen, refused)| chosen.told(refused)).collect());
        }
        self.all(shared, found.into_iter().map(|(chosen, _)| (identity.of_part(&chosen.part), chosen)).collect()).await
    }

    /// A page of those that a filter finds, and where the next one begins.
    async fn page(
        &self,
        shared: &Arc<Shared>,
        mut identity: Identity,
        filter: dead_letters::Filter,
    ) -> Result<(Vec<v1::DeadLetterResult>, String), Fault> {
        let limit = match self.limit as usize {
            0 => MANY_MAX,
            limit if limit <= MANY_MAX => limit,
            limit => {
                let detail = format!("is {limit}, at most {MANY_MAX} are allowed");
                return Err(Fault::too_large("limit", detail).remedy("go on with the cursor"));
            }
        };
        let ask = Page {
            query: Query { namespace: self.namespace.clone(), filter },
            action: self.action.clone(),
            limit,
            cursor: self.cursor.clone(),
            now: shared.api.consensus.machine_time(),
            done_as: (!self.dry_run).then(|| Done {
                start: format!("{}/", identity.of_part(&format!("page\0{}", self.cursor)).request_id),
                payload_hash: identity.payload_hash,
                request_id: identity.request_id.clone(),
                tells_time: !self.sets_expiry,
            }),
        };
        shared.linearizable().await?;
        let Found { told, chosen, asked_at, next_cursor } = shared.read_view(move |view| ask.find(view)).await??;
        if !self.sets_expiry && self.cursor.is_empty() {
            identity.not_after = asked_at.saturating_add(EXPIRY_AHEAD);
        }
        let (places, chosen): (Vec<_>, Vec<_>) = chosen.into_iter().unzip();
        let part = |chosen: Chosen| (Identity { request_id: chosen.part.clone(), ..identity.clone() }, chosen);
        let done = self.all(shared, chosen.into_iter().map(part).collect()).await?;
        let mut results: Vec<_> = told.into_iter().chain(places.into_iter().zip(done)).collect();
        results.sort_by_key(|(place, _)| *place);
        Ok((results.into_iter().map(|(_, result)| result).collect(), next_cursor))
    }

    /// Does it with each of them; the first answer that is none fails the whole.
    async fn all(&self, shared: &Arc<Shared>, parts: Vec<(Identity, Chosen)>) -> Result<Vec<v1::DeadLetterResult>, Fault> {
        let each = parts.into_iter().map(|(identity, chosen)| async move {
            match self.act(shared, identity, chosen.target.clone(), chosen.task).await {
                Ok(run) => Ok(Chosen { run, ..chosen }.told(None)),
                Err(fault) if fault.detail().retryable || fault.detail().outcome_unknown => Err(fault),
                Err(refused) => Ok(chosen.told(Some(refused))),
            }
        });
        stream::iter(each).buffered(AT_ONCE).try_collect().await
    }

    async fn act(&self, shared: &Arc<Shared>, identity: Identity, at: Target, task: TaskId) -> Result<Run, Fault> {
        let command = self.action.command(at, task, self.reason.clone());
        shared.done(self.action.verb(), identity, command).await.map(|done| done.run)
    }
}

/// A dead letter that something is to be done with.
#[derive(Clone, Debug)]
struct Chosen {
    target: Target,
    run: Run,
    task: TaskId,
    node: String,
    /// What its part of the request is called.
    part: String,
}

impl Chosen {
    fn told(self, refused: Option<Fault>) -> v1::DeadLetterResult {
        result(self.target.id, self.run, self.task, self.node, refused)
    }
}

fn result(workflow_id: String, run: Run, task: TaskId, node: String, refused: Option<Fault>) -> v1::DeadLetterResult {
    let message = refused.as_ref().map_or_else(String::new, Fault::to_string);
    v1::DeadLetterResult { workflow_id, run, task, node, message, refused: refused.map(|fault| fault.detail()) }
}

/// Node of a dead letter, or of a task that was one, for the answer; empty if nothing is known of it any more.
fn node_now(state: &impl StateRead, target: &Target, task: TaskId) -> String {
    target.find(state).map_or_else(|_| String::new(), |workflow| node_of(state, TaskRef { run: workflow.run, task }))
}

fn node_of(state: &impl StateRead, at: TaskRef) -> String {
    let resolved = || view::resolution(state, at).and_then(|(_, event)| convert::resolved(&event)).map(|summary| summary.node);
    view::task(state, at).map(|task| task.node.clone()).or_else(resolved).unwrap_or_default()
}

/// A page of a filter, to be found.
struct Page {
    query: Query,
    action: Action,
    limit: usize,
    cursor: String,
    /// What the machine's time should be.
    now: Millis,
    /// Under which name it is done; none: it is only asked about.
    done_as: Option<Done>,
}

/// What a page that was done before is found by.
struct Done {
    /// How the ids of its parts begin.
    start: String,
    payload_hash: u64,
    request_id: String,
    /// Whether the time at which its answers expire tells when it was asked for.
    tells_time: bool,
}

/// Where a dead letter stands in the order of its list: when it was given up (0 in the list of a run), its run and its number.
type Place = (Millis, Run, TaskId);

/// A page that was found.
#[derive(Debug)]
struct Found {
    /// What is answered already.
    told: Vec<(Place, v1::DeadLetterResult)>,
    /// What is to be done.
    chosen: Vec<(Place, Chosen)>,
    /// The time that its range, and the pages behind it, go up to.
    asked_at: Millis,
    next_cursor: String,
}

impl Page {
    fn find(mut self, state: &impl StateRead) -> Result<Found, Fault> {
        let question = self.query.question(self.action.verb());
        let begun = cursors::read(&question, &self.cursor)?.map(|bytes| begun(&bytes, &self.cursor)).transpose()?;
        let done = self.done_before(state)?;
        let now = self.now.max(view::meta(state).time);
        let (asked_at, after) = match begun {
            Some((asked_at, after)) => (asked_at, Some(after)),
            None => (done.iter().filter_map(|(_, record)| self.asked_at(record)).min().unwrap_or(now), None),
        };
        self.query.filter.until = self.query.filter.until.min(asked_at.saturating_add(1));
        let is_done: HashSet<(Run, TaskId)> = done.iter().map(|(key, _)| (key.run, key.task)).collect();
        let mut told: Vec<_> = done.iter().map(|(key, _)| (self.place(key), self.told_again(state, key))).collect();
        let (mut room, mut patched, mut chosen) = (self.limit.saturating_sub(done.len()), 0, Vec::new());
        let next = self.query.each(state, after, done.len(), |key, workflow, task| {
            if is_done.contains(&(key.run, key.task)) {
                return true;
            }
            let patches = matches!(&self.action, Action::Redrive { state_patch, .. } if !state_patch.is_empty());
            if room == 0 || patched >= PATCHED_BYTES_MAX {
                return false;
            }
            room -= 1;
            let target = Target { namespace: self.query.namespace.clone(), id: workflow.id.clone(), run: key.run };
            let part = self.done_as.as_ref().map_or_else(String::new, |done| part_id(&done.start, key));
            let letter = Chosen { target, run: key.run, task: key.task, node: task.node.clone(), part };
            if self.done_as.is_some() {
                chosen.push((self.place(key), letter));
            } else {
                patched += if patches { workflow.state.len() } else { 0 };
                let refused = self.action.would(state, now, &letter.target, key.task).err();
                told.push((self.place(key), letter.told(refused)));
            }
            true
        });
        let next_cursor = match next {
            Next::Nothing => String::new(),
            // What was done before is no row any more, and may be behind the last one that is.
            Next::Behind(last) => {
                let done = done.iter().map(|(key, _)| key.clone());
                let last = last.into_iter().chain(done).max_by_key(|key| self.place(key));
                last.map_or_else(String::new, |key| cursors::make(&question, &going_on(asked_at, &key)))
            }
        };
        Ok(Found { told, chosen, asked_at, next_cursor })
    }

    fn place(&self, key: &DeadLetterKey) -> Place {
        (if self.query.filter.workflow().is_some() { 0 } else { key.at }, key.run, key.task)
    }

    /// What this page has done before, in whatever try.
    fn done_before(&self, state: &impl StateRead) -> Result<Vec<(DeadLetterKey, Arc<RequestRecord>)>, Fault> {
        let Some(done) = &self.done_as else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (key, record) in view::answered(state, &self.query.namespace, &done.start, None, MANY_MAX) {
            if record.payload_hash != done.payload_hash {
                let detail = "was used for another request; a request that differs needs an id of its own";
                return Err(rejections::fault(Rejection::new(
                    RejectionCode::RequestConflict,
                    format!("request {:?}", done.request_id),
                    detail,
                )));
            }
            let place = key.id.strip_prefix(&done.start).and_then(|place| read_place(&self.query.namespace, place));
            found.extend(place.map(|place| (place, record)));
        }
        Ok(found)
    }

    /// When a part was asked for, from when its answer expires.
    fn asked_at(&self, record: &RequestRecord) -> Option<Millis> {
        self.done_as.as_ref().filter(|done| done.tells_time).and_then(|_| record.expires.checked_sub(EXPIRY_AHEAD))
    }

    fn told_again(&self, state: &impl StateRead, key: &DeadLetterKey) -> v1::DeadLetterResult {
        // Its run may have been deleted since.
        let id = view::workflow(state, key.run).map_or_else(String::new, |workflow| workflow.id.clone());
        result(id, key.run, key.task, node_of(state, TaskRef { run: key.run, task: key.task }), None)
    }
}

/// What a cursor of a page carries: up to when the pages go, and the last row of the page before.
fn going_on(asked_at: Millis, last: &DeadLetterKey) -> Vec<u8> {
    [&asked_at.to_be_bytes()[..], &last.to_bytes()].concat()
}

fn begun(bytes: &[u8], cursor: &str) -> Result<(Millis, DeadLetterKey), Fault> {
    let (asked_at, key) = bytes.split_first_chunk().ok_or_else(|| cursors::broken(cursor))?;
    Ok((Millis::from_be_bytes(*asked_at), read_key(key, cursor)?))
}

/// The request id of a part of a page: the ids of a page sort as its dead letters do.
fn part_id(start: &str, key: &DeadLetterKey) -> String {
    format!("{start}{:016x}/{:016x}/{:08x}", key.at, key.run, key.task)
}

/// The dead letter in the end of such an id.
fn read_place(namespace: &str, text: &str) -> Option<DeadLetterKey> {
    let mut parts = text.split('/').map(|part| u64::from_str_radix(part, 16).ok());
    let (at, run, task) = (parts.next()??, parts.next()??, TaskId::try_from(parts.next()??).ok()?);
    parts.next().is_none().then(|| DeadLetterKey { namespace: namespace.to_owned(), at, run, task })
}

#[cfg(test)]
mod tests {
    use graft_machine::apply_entry;
    use graft_machine::command::{ENTRY_FORMAT, Envelope, FailTask, FailureKind, LogEntry, MACHINE_VERSION, OnConflict, StartWorkflow};
    use graft_machine::ids::AttemptRef;
    use graft_machine::limits::{ID_BYTES_MAX, LIST_EXAMINED_MAX, NAME_BYTES_MAX};
    use graft_machine::memory::Memory;
    use graft_machine::task::NewTask;
    use graft_proto::ANSWER_BYTES_MAX;
    use graft_proto::errors::ErrorCode;
    use prost::Message;

    use super::*;

    /// A machine whose clock goes on by a second with every command.
    struct Machine {
        state: Memory,
        index: u64,
    }

    impl Machine {
        /// With dead letters: one of each of these workflows, in this order.
        fn with(ids: &[&str]) -> Self {
            let mut machine = Self { state: Memory::new(), index: 0 };
            ids.iter().for_each(|id| machine.give_up(id));
            machine
        }

        fn now(&self) -> Millis {
            1_000 * self.index
        }

        fn apply(&mut self, envelope: Envelope) -> graft_machine::reply::Answer {
            self.index += 1;
            let entry = LogEntry { format: ENTRY_FORMAT, machine_version: MACHINE_VERSION, time: self.now(), commands: vec![envelope] };
            apply_entry(&mut self.state, self.index, &entry).remove(0).reply
        }

        fn start(&mut self, id: &str) -> Run {
            self.start_at(id, "charge")
        }

        fn start_at(&mut self, id: &str, node: &str) -> Run {
            let nodes = vec![NewTask { node: node.into(), ..Default::default() }];
            let on_conflict = OnConflict::ReplaceFinished as i32;
            let start = StartWorkflow { namespace: "default".into(), id: id.into(), nodes, on_conflict, ..Default::default() };
            self.apply(Envelope::internal("client:ann", Command::Start(start))).expect("started");
            view::find(&self.state, "default", id, 0).expect("there").run
        }

        fn give_up(&mut self, id: &str) {
            let run = self.start(id);
            self.fail(run);
        }

        /// The only task of a run is given up.
        fn fail(&mut self, run: Run) {
            let attempt = view::task(&self.state, TaskRef { run, task: 1 }).expect("open").attempt;
            let (at, kind) = (AttemptRef { run, task: 1, attempt }, FailureKind::Permanent as i32);
            let fail = FailTask { at, kind, message: "no".into(), ..Default::default() };
            self.apply(Envelope::internal("system", Command::Fail(fail))).expect("given up");
        }

        fn find(&self, ask: &Ask, cursor: &str) -> Result<Found, Fault> {
            ask.page(self.now(), cursor).find(&self.state)
        }

        /// Does the first so many that were found, as the service does; what is refused is told.
        fn act(&mut self, ask: &Ask, found: &Found, many: usize) -> Vec<(String, bool)> {
            let mut done = Vec::new();
            for (_, chosen) in found.chosen.iter().take(many).cloned() {
                let envelope = Envelope {
                    principal: "client:ann".into(),
                    request_id: chosen.part,
                    payload_hash: ask.payload_hash,
                    not_after: found.asked_at + EXPIRY_AHEAD,
                    command: Some(ask.action.command(chosen.target.clone(), chosen.task, String::new())),
                };
                done.push((chosen.target.id, self.apply(envelope).is_ok()));
            }
            done
        }

        fn dead_letters(&self) -> Vec<String> {
            let keys = view::dead_letters(&self.state, "default", None, 1_000);
            keys.iter().map(|key| view::workflow(&self.state, key.run).expect("there").id.clone()).collect()
        }
    }

    /// A request for pages of a filter.
    struct Ask {
        action: Action,
        limit: usize,
        payload_hash: u64,
        dry_run: bool,
    }

    impl Ask {
        fn discard(limit: usize) -> Self {
            Self { action: Action::Discard, limit, payload_hash: 7, dry_run: false }
        }

        fn redrive(limit: usize) -> Self {
            Self { action: Action::Redrive { config: None, state_patch: Bytes::new() }, ..Self::discard(limit) }
        }

        fn page(&self, now: Millis, cursor: &str) -> Page {
            Page {
                query: Query { namespace: "default".into(), filter: dead_letters::Filter::new(None).expect("all") },
                action: self.action.clone(),
                limit: self.limit,
                cursor: cursor.to_owned(),
                now,
                done_as: (!self.dry_run).then(|| Done {
                    start: format!("r-1{cursor:.40}/"),
                    payload_hash: self.payload_hash,
                    request_id: "r-1".into(),
                    tells_time: true,
                }),
            }
        }
    }

    fn chosen(found: &Found) -> Vec<&str> {
        found.chosen.iter().map(|(_, chosen)| chosen.target.id.as_str()).collect()
    }

    fn told(found: &Found) -> Vec<(&str, bool)> {
        found.told.iter().map(|(_, result)| (result.workflow_id.as_str(), result.refused.is_none())).collect()
    }

    #[test]
    fn a_repeat_tells_what_was_done_and_does_the_rest_of_the_same_range_and_no_more() {
        let mut machine = Machine::with(&["a", "b", "c", "d", "e", "f"]);
        let ask = Ask::discard(4);
        let first = machine.find(&ask, "").expect("a page");
        assert_eq!((chosen(&first), told(&first)), (vec!["a", "b", "c", "d"], vec![]));
        machine.act(&ask, &first, 2);
        machine.give_up("g");

        let second = machine.find(&ask, "").expect("a page");
        assert_eq!((chosen(&second), told(&second)), (vec!["c", "d"], vec![("a", true), ("b", true)]));
        assert_eq!((&second.next_cursor, second.asked_at), (&first.next_cursor, first.asked_at));
        // The first try has gone on meanwhile: the two do the same.
        machine.act(&ask, &first, 4);
        assert_eq!(machine.act(&ask, &second, 4), [("c".to_owned(), true), ("d".to_owned(), true)]);
        assert_eq!(machine.dead_letters(), ["e", "f", "g"]);
        let third = machine.find(&ask, "").expect("a page");
        assert_eq!((chosen(&third), told(&third).len(), &third.next_cursor), (vec![], 4, &first.next_cursor));
        assert_eq!(third.told[0].1.node, "charge", "from the history");

        // The next page ends where the first one's range does.
        let next = machine.find(&ask, &first.next_cursor).expect("a page");
        assert_eq!((chosen(&next), next.next_cursor.as_str()), (vec!["e", "f"], ""));
    }

    #[test]
    fn a_repeat_leaves_what_was_given_up_since_be_it_again() {
        let mut machine = Machine::with(&["a", "b"]);
        let ask = Ask::redrive(10);
        let first = machine.find(&ask, "").expect("a page");
        machine.act(&ask, &first, 1);
        machine.give_up("c");
        machine.fail(1);
        assert_eq!(machine.dead_letters(), ["b", "c", "a"]);
        let second = machine.find(&ask, "").expect("a page");
        assert_eq!((chosen(&second), told(&second)), (vec!["b"], vec![("a", true)]));
        // Even a first try that is late does not redrive twice.
        machine.act(&ask, &first, 2);
        machine.act(&ask, &second, 2);
        assert_eq!(machine.dead_letters(), ["c", "a"]);
    }

    #[test]
    fn two_tries_at_once_do_no_more_than_the_limit_whatever_is_done_beside_them() {
        for begun in 0..4 {
            let mut machine = Machine::with(&["a", "b", "c", "d", "e", "f"]);
            let ask = Ask::discard(3);
            let first = machine.find(&ask, "").expect("a page");
            machine.act(&ask, &first, begun);
            let second = machine.find(&ask, "").expect("a page");
            let (one, other) = (machine.act(&ask, &first, 3), machine.act(&ask, &second, 3));
            assert!(one.iter().chain(&other).all(|(_, is_done)| *is_done), "{one:?} {other:?}");
            assert_eq!(machine.dead_letters(), ["d", "e", "f"], "{begun} were done before the second try");
        }
    }

    #[test]
    fn those_that_are_always_refused_are_in_nobodys_way() {
        let mut machine = Machine::with(&["a", "b", "c"]);
        machine.start("a");
        machine.start("b");
        let ask = Ask::redrive(2);
        let first = machine.find(&ask, "").expect("a page");
        assert_eq!(machine.act(&ask, &first, 2), [("a".to_owned(), false), ("b".to_owned(), false)]);
        let next = machine.find(&ask, &first.next_cursor).expect("a page");
        assert_eq!((machine.act(&ask, &next, 2), next.next_cursor.as_str()), (vec![("c".to_owned(), true)], ""));
        let again = machine.find(&ask, "").expect("a page");
        assert_eq!(chosen(&again), ["a", "b"], "what was refused is asked for again");
    }

    #[test]
    fn what_others_have_given_up_is_gone_past_and_a_repeat_goes_as_far() {
        let mut machine = Machine::with(&[]);
        for n in 0..=LIST_EXAMINED_MAX {
            let run = machine.start_at(&format!("w-{n}"), if n == 3 || n == LIST_EXAMINED_MAX { "ship" } else { "charge" });
            machine.fail(run);
        }
        let filter = v1::DeadLetterFilter { node: "ship".into(), ..Default::default() };
        let find = |machine: &Machine, cursor: &str| {
            let mut page = Ask::discard(10).page(machine.now(), cursor);
            page.query.filter = dead_letters::Filter::new(Some(filter.clone())).expect("good");
            page.find(&machine.state).expect("a page")
        };
        let first = find(&machine, "");
        assert_eq!(chosen(&first), ["w-3"], "the last one is beyond what one call looks at");
        machine.act(&Ask::discard(10), &first, 10);
        let again = find(&machine, "");
        assert_eq!((told(&again), &again.next_cursor), (vec![("w-3", true)], &first.next_cursor));
        let rest = find(&machine, &first.next_cursor);
        assert_eq!((chosen(&rest), rest.next_cursor.as_str()), (vec!["w-5000"], ""));
    }

    #[test]
    fn a_dry_run_says_of_each_what_will_become_of_it() {
        let mut machine = Machine::with(&["a", "b", "c"]);
        machine.start("b");
        for ask in [Ask::redrive(10), Ask::discard(10)] {
            let dry = Ask { dry_run: true, ..ask };
            let would = machine.find(&dry, "").expect("a page");
            assert!(would.chosen.is_empty());
            let ask = Ask { dry_run: false, ..dry };
            let found = machine.find(&ask, "").expect("a page");
            let mut copy = Machine { state: machine.state.clone(), index: machine.index };
            let did = copy.act(&ask, &found, 10);
            assert_eq!(told(&would), did.iter().map(|(id, is_done)| (id.as_str(), *is_done)).collect::<Vec<_>>());
        }
        let patch = Action::Redrive { config: None, state_patch: Bytes::from_static(b"[]") };
        let bad = machine.find(&Ask { action: patch, dry_run: true, ..Ask::redrive(10) }, "").expect("a page");
        assert!(told(&bad).iter().all(|(_, would)| !would), "a patch that is none: {bad:?}");
    }

    #[test]
    fn another_request_under_the_same_id_is_refused_and_so_is_a_cursor_of_another() {
        let mut machine = Machine::with(&["a", "b"]);
        let ask = Ask::discard(1);
        let first = machine.find(&ask, "").expect("a page");
        machine.act(&ask, &first, 1);
        let error = machine.find(&Ask { payload_hash: 8, ..Ask::discard(2) }, "").expect_err("another request");
        assert_eq!(error.code, ErrorCode::RequestConflict);
        let error = machine.find(&Ask::redrive(1), &first.next_cursor).expect_err("a cursor of a discard");
        assert_eq!(error.code, ErrorCode::BadCursor);
    }

    #[test]
    fn the_longest_answer_is_a_message_all_the_same() {
        // Two bytes that are written as six.
        let id = "\u{ad}".repeat(ID_BYTES_MAX / 2);
        let object = format!("workflow {id:?} in namespace {:?}", "n".repeat(NAME_BYTES_MAX));
        let fault = rejections::fault(Rejection::new(RejectionCode::WrongStatus, object, "x".repeat(512)));
        let results = vec![result(id, Run::MAX, TaskId::MAX, "n".repeat(NAME_BYTES_MAX), Some(fault)); MANY_MAX];
        let answer = v1::ResolveDeadLettersResponse { results, next_cursor: "f".repeat(2_048), dry_run: false };
        assert!(answer.encoded_len() < ANSWER_BYTES_MAX.min(4 << 20), "{} bytes", answer.encoded_len());
    }

    #[test]
    fn a_part_is_called_after_its_place() {
        let key = DeadLetterKey { namespace: "default".into(), at: 5, run: Run::MAX, task: 7 };
        let id = part_id("r/", &key);
        assert_eq!(id.strip_prefix("r/").and_then(|place| read_place("default", place)), Some(key));
        for text in ["", "1/2", "1/2/3/4", "x/2/3", "1/2/100000000"] {
            assert_eq!(read_place("default", text), None, "{text}");
        }
    }
}
