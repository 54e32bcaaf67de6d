//! `DeadLetterService`: tasks that were given up. Looking at them, giving them another chance, giving them up for good.
//!
//! What is done with many is done with each: one command, one answer, one request id, which is made of the request's own and of the dead
//! letter's name. So a bulk request that is repeated after a broken connection does nothing twice: what the first one did is no dead letter any
//! more, or is answered with the first answer.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use graft_convert::{cursors, dead_letters, names, payload};
use graft_machine::command::{Command, RedriveTask};
use graft_machine::ids::Run;
use graft_machine::limits::{LIST_EXAMINED_MAX, PAGE_MAX};
use graft_machine::state::StateRead;
use graft_machine::tables::{DeadLetterKey, TableKey};
use graft_machine::view;
use graft_proto::errors::{ErrorCode, Fault};
use graft_proto::v1;
use graft_proto::v1::dead_letter_service_server::DeadLetterService;
use prost::Message;
use tonic::{Request, Response, Status};

use super::list::{PAGE_BYTES_MAX, page_limit};
use super::requests::{Identity, Target, payload_hash, principal};
use super::{Shared, tasks};

/// Dead letters that one request does something with, if it does not say.
const MANY_DEFAULT: usize = 1_000;
/// Dead letters that one request may do something with.
pub const MANY_MAX: usize = 10_000;
/// Dead letters that one request looks at to find those.
const MANY_EXAMINED_MAX: usize = 200_000;
/// Commands of one request that are under way at once.
const AT_ONCE: usize = 64;
/// Dead letters that are read at once.
const STEP: usize = 100;

/// The service.
pub(super) struct DeadLetters {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl DeadLetterService for DeadLetters {
    async fn list(&self, request: Request<v1::ListDeadLettersRequest>) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let request = request.into_inner();
        let consistency = request.consistency;
        let query = Query {
            namespace: names::namespace(request.namespace)?,
            filter: dead_letters::Filter::new(request.filter)?,
            limit: page_limit(request.limit)?,
            examined_max: LIST_EXAMINED_MAX,
        };
        self.shared.fresh(consistency).await?;
        let page = self.shared.read_view(move |view| query.answer(view, &request.cursor)).await??;
        Ok(Response::new(page))
    }

    async fn get(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::GetTaskResponse>, Status> {
        let found = tasks::found(&self.shared, request.into_inner()).await?;
        let task = found.task.as_ref().and_then(|task| task.task.as_ref());
        match task {
            Some(task) if task.state != "dead-lettered" => {
                let object = format!("task {} ({})", task.task, task.node);
                let refused = Fault::new(ErrorCode::WrongTaskState, object, format!("is {}, and no dead letter", task.state));
                Err(refused.remedy("look at it with `graft task get`").into())
            }
            _ => Ok(Response::new(found)),
        }
    }

    async fn redrive(&self, request: Request<v1::RedriveRequest>) -> Result<Response<v1::ResolveDeadLettersResponse>, Status> {
        let principal = principal(request.metadata());
        let mut request = request.into_inner();
        let meta = request.meta.take();
        let hash = payload_hash("redrive", &request, &HashMap::new());
        let identity = Identity::of(principal, meta, hash, self.shared.api.consensus.machine_time())?;
        tasks::check_reason(&request.reason)?;
        let config = request.config.map(|config| payload::config(Some(config))).transpose()?;
        let state_patch = payload::patch(request.state_patch)?;
        let which = request.which.map(|which| match which {
            v1::redrive_request::Which::One(one) => Which::One(one),
            v1::redrive_request::Which::Filter(filter) => Which::Filter(filter),
        });
        let action = Action::Redrive { config, state_patch };
        let asked = Asked::new(request.namespace, which, action, request.reason, request.limit, request.dry_run)?;
        Ok(Response::new(asked.done(&self.shared, identity).await?))
    }

    async fn discard(&self, request: Request<v1::DiscardRequest>) -> Result<Response<v1::ResolveDeadLettersResponse>, Status> {
        let principal = principal(request.metadata());
        let mut request = request.into_inner();
        let meta = request.meta.take();
        let hash = payload_hash("discard", &request, &HashMap::new());
        let identity = Identity::of(principal, meta, hash, self.shared.api.consensus.machine_time())?;
        tasks::check_reason(&request.reason)?;
        let which = request.which.map(|which| match which {
            v1::discard_request::Which::One(one) => Which::One(one),
            v1::discard_request::Which::Filter(filter) => Which::Filter(filter),
        });
        let asked = Asked::new(request.namespace, which, Action::Discard, request.reason, request.limit, request.dry_run)?;
        Ok(Response::new(asked.done(&self.shared, identity).await?))
    }
}

/// Dead letters of a namespace that fit a filter, the oldest first.
#[derive(Clone)]
struct Query {
    namespace: String,
    filter: dead_letters::Filter,
    limit: usize,
    examined_max: usize,
}

/// Some of them; `next`: there may be more behind this key.
struct Found {
    rows: Vec<v1::DeadLetter>,
    next: Option<DeadLetterKey>,
}

impl Query {
    fn answer(&self, state: &impl StateRead, cursor: &str) -> Result<v1::ListDeadLettersResponse, Fault> {
        let question = format!("dead letters\0{}\0{:?}", self.namespace, self.filter);
        let after = match cursors::read(&question, cursor)? {
            Some(key) => Some(DeadLetterKey::from_bytes(&key).ok_or_else(|| cursors::broken(cursor))?),
            None => None,
        };
        let Found { rows, next } = self.page(state, after);
        let next_cursor = next.map_or_else(String::new, |key| cursors::make(&question, &key.to_bytes()));
        Ok(v1::ListDeadLettersResponse { dead_letters: rows, next_cursor })
    }

    fn page(&self, state: &impl StateRead, after: Option<DeadLetterKey>) -> Found {
        let oldest = |at: u64| DeadLetterKey { namespace: self.namespace.clone(), at: at - 1, run: Run::MAX, task: u32::MAX };
        let mut after = after.or_else(|| (self.filter.since > 0).then(|| oldest(self.filter.since)));
        let (mut rows, mut bytes, mut examined) = (Vec::new(), 0, 0);
        loop {
            let found = view::dead_letters(state, &self.namespace, after.as_ref(), STEP);
            let is_last = found.len() < STEP;
            for row in found {
                if row.key.at >= self.filter.until {
                    return Found { rows, next: None };
                }
                examined += 1;
                if self.filter.takes(&row.workflow, &row.task) {
                    let shown = dead_letters::row(&row.workflow, row.key.task, &row.task);
                    bytes += shown.encoded_len();
                    if rows.len() == self.limit || (bytes > PAGE_BYTES_MAX && !rows.is_empty()) {
                        return Found { rows, next: after };
                    }
                    rows.push(shown);
                }
                after = Some(row.key);
                if examined == self.examined_max {
                    return Found { rows, next: after };
                }
            }
            if is_last {
                return Found { rows, next: None };
            }
        }
    }
}

/// One, or those that fit a filter.
enum Which {
    One(v1::DeadLetterRef),
    Filter(v1::DeadLetterFilter),
}

/// What is done with a dead letter.
#[derive(Clone)]
enum Action {
    Redrive { config: Option<Bytes>, state_patch: Bytes },
    Discard,
}

/// A request that does something with dead letters, checked.
struct Asked {
    namespace: String,
    which: Which,
    action: Action,
    reason: String,
    limit: usize,
    dry_run: bool,
}

impl Asked {
    fn new(namespace: String, which: Option<Which>, action: Action, reason: String, limit: u32, dry_run: bool) -> Result<Self, Fault> {
        let namespace = names::namespace(namespace)?;
        let which = which.ok_or_else(|| {
            Fault::invalid("the request", "names no dead letter and no filter").remedy("name one, or give a filter; an empty filter is all")
        })?;
        let limit = match limit as usize {
            0 => MANY_DEFAULT,
            limit if limit <= MANY_MAX => limit,
            limit => {
                let detail = format!("is {limit}, at most {MANY_MAX} are allowed");
                return Err(Fault::too_large("limit", detail).remedy("do the rest with another request"));
            }
        };
        Ok(Self { namespace, which, action, reason, limit, dry_run })
    }

    async fn done(self, shared: &Arc<Shared>, identity: Identity) -> Result<v1::ResolveDeadLettersResponse, Fault> {
        let Self { namespace, which, action, reason, limit, dry_run } = self;
        match which {
            Which::One(one) => {
                let target = Target::new(namespace, one.workflow_id, one.run)?;
                let result = if dry_run {
                    shared.linearizable().await?;
                    let (target, task) = (target.clone(), one.task);
                    shared.read_view(move |view| one_now(view, &target, task)).await??
                } else {
                    // A request that was done before is answered as it was then, though its dead letter is none any more.
                    let node = view_of_one(shared, &target, one.task);
                    let run = act(shared, identity, target.clone(), one.task, action, reason).await?;
                    v1::DeadLetterResult { workflow_id: target.id, run, task: one.task, node, ..Default::default() }
                };
                Ok(v1::ResolveDeadLettersResponse { results: vec![result], more: false, dry_run })
            }
            Which::Filter(filter) => {
                let filter = dead_letters::Filter::new(Some(filter))?;
                shared.linearizable().await?;
                let query = Query { namespace: namespace.clone(), filter, limit: PAGE_MAX, examined_max: LIST_EXAMINED_MAX };
                let (rows, more) = shared.read_view(move |view| all_of(view, query, limit)).await?;
                let each = rows.into_iter().map(|row| {
                    let target = Target { namespace: namespace.clone(), id: row.workflow_id.clone(), run: row.run };
                    let identity = identity.of_part(&format!("{}/{}", row.run, row.task));
                    let (shared, action, reason) = (shared.clone(), action.clone(), reason.clone());
                    async move {
                        let refused = match dry_run {
                            true => None,
                            false => act(&shared, identity, target, row.task, action, reason).await.err(),
                        };
                        v1::DeadLetterResult {
                            workflow_id: row.workflow_id,
                            run: row.run,
                            task: row.task,
                            node: row.node,
                            message: refused.as_ref().map_or_else(String::new, Fault::to_string),
                            refused: refused.map(|fault| fault.detail()),
                        }
                    }
                });
                let results = stream::iter(each).buffered(AT_ONCE).collect().await;
                Ok(v1::ResolveDeadLettersResponse { results, more, dry_run })
            }
        }
    }
}

/// All that fit, up to a limit, and whether there may be more.
fn all_of(state: &impl StateRead, query: Query, limit: usize) -> (Vec<v1::DeadLetter>, bool) {
    let (mut rows, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let left = limit - rows.len();
        let found = Query { limit: left.min(query.limit), ..query.clone() }.page(state, after);
        rows.extend(found.rows);
        pages += 1;
        match found.next {
            None => return (rows, false),
            Some(_) if rows.len() == limit || pages * query.examined_max >= MANY_EXAMINED_MAX => return (rows, true),
            Some(next) => after = Some(next),
        }
    }
}

/// Node of a dead letter, for the answer; empty if it is none any more.
fn view_of_one(shared: &Shared, target: &Target, task: u32) -> String {
    one_now(&shared.latest(), target, task).map_or_else(|_| String::new(), |result| result.node)
}

/// A dead letter as it is now, or why it is none.
fn one_now(state: &impl StateRead, target: &Target, number: u32) -> Result<v1::DeadLetterResult, Fault> {
    let workflow = target.find(state)?;
    let object = || format!("task {number} of {}", names::workflow_object(&target.namespace, &target.id, target.run));
    let task = view::task(state, graft_machine::ids::TaskRef { run: workflow.run, task: number })
        .ok_or_else(|| Fault::new(ErrorCode::TaskNotFound, object(), "does not exist"))?;
    if graft_convert::tasks::state(&task) != v1::TaskState::DeadLettered {
        return Err(Fault::new(ErrorCode::WrongTaskState, object(), "is no dead letter"));
    }
    Ok(v1::DeadLetterResult {
        workflow_id: workflow.id.clone(),
        run: workflow.run,
        task: number,
        node: task.node.clone(),
        ..Default::default()
    })
}

async fn act(shared: &Arc<Shared>, identity: Identity, target: Target, task: u32, action: Action, reason: String) -> Result<Run, Fault> {
    let (verb, command) = match action {
        Action::Redrive { config, state_patch } => {
            let Target { namespace, id, run } = target;
            ("redrive", Command::Redrive(RedriveTask { namespace, id, run, task, config, state_patch, reason }))
        }
        Action::Discard => ("discard", Command::Discard(tasks::control(target, task, reason)?)),
    };
    shared.done(verb, identity, command).await.map(|done| done.run)
}
