//! `DeadLetterService`: tasks that were given up. Looking at them, giving them another chance, giving them up for good.
//!
//! - [`find`]: which there are, read a bounded piece at a time.
//! - [`resolve`]: doing something with one, with several, or with those that a filter finds, and how a repeat of that stays harmless.

mod find;
mod resolve;

use std::collections::HashMap;
use std::sync::Arc;

use graft_convert::{dead_letters, names, payload};
use graft_proto::errors::{ErrorCode, Fault};
use graft_proto::v1;
use graft_proto::v1::dead_letter_service_server::DeadLetterService;
use tonic::{Request, Response, Status};

use super::list::page_limit;
use super::requests::{Identity, payload_hash, principal};
use super::{Shared, tasks};
use find::Query;
use resolve::{Action, Asked, Which};

/// The service.
pub(super) struct DeadLetters {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl DeadLetterService for DeadLetters {
    async fn list(&self, request: Request<v1::ListDeadLettersRequest>) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let request = request.into_inner();
        let consistency = request.consistency;
        let query = Query { namespace: names::namespace(request.namespace)?, filter: dead_letters::Filter::new(request.filter)? };
        let limit = page_limit(request.limit)?;
        self.shared.fresh(consistency).await?;
        let page = self.shared.read_view(move |view| query.page(view, &request.cursor, limit)).await??;
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
        let asked = Asked {
            namespace: request.namespace,
            which: which(request.which.map(|which| match which {
                v1::redrive_request::Which::One(one) => Which::One(one),
                v1::redrive_request::Which::Several(several) => Which::Several(several.dead_letters),
                v1::redrive_request::Which::Filter(filter) => Which::Filter(filter),
            }))?,
            action: Action::Redrive {
                config: request.config.map(|config| payload::config(Some(config))).transpose()?,
                state_patch: payload::patch(request.state_patch)?,
            },
            reason: request.reason,
            limit: request.limit,
            cursor: request.cursor,
            dry_run: request.dry_run,
            sets_expiry: meta.as_ref().is_some_and(|meta| meta.not_after_ms != 0),
        };
        let identity = Identity::of(principal, meta, hash, self.shared.api.consensus.machine_time())?;
        Ok(Response::new(asked.answer(&self.shared, identity).await?))
    }

    async fn discard(&self, request: Request<v1::DiscardRequest>) -> Result<Response<v1::ResolveDeadLettersResponse>, Status> {
        let principal = principal(request.metadata());
        let mut request = request.into_inner();
        let meta = request.meta.take();
        let hash = payload_hash("discard", &request, &HashMap::new());
        let asked = Asked {
            namespace: request.namespace,
            which: which(request.which.map(|which| match which {
                v1::discard_request::Which::One(one) => Which::One(one),
                v1::discard_request::Which::Several(several) => Which::Several(several.dead_letters),
                v1::discard_request::Which::Filter(filter) => Which::Filter(filter),
            }))?,
            action: Action::Discard,
            reason: request.reason,
            limit: request.limit,
            cursor: request.cursor,
            dry_run: request.dry_run,
            sets_expiry: meta.as_ref().is_some_and(|meta| meta.not_after_ms != 0),
        };
        let identity = Identity::of(principal, meta, hash, self.shared.api.consensus.machine_time())?;
        Ok(Response::new(asked.answer(&self.shared, identity).await?))
    }
}

/// Nothing is never meant to be everything.
fn which(which: Option<Which>) -> Result<Which, Fault> {
    which.ok_or_else(|| {
        Fault::invalid("the request", "names no dead letter and no filter").remedy("name one, or give a filter; an empty filter is all")
    })
}
