//! What a caller needs for each method, and the one place where that is asked: in front of the services, so that gRPC and REST cannot differ.
//!
//! [`Guarded`] is a service of which every method is asked for its right first. The table below is written as an implementation of the services'
//! own traits: a method that is missing does not compile. What stands in a stream (the starts of a call of many, the greeting of a worker) is
//! asked about where it is read, by [`Asker`].
//!
//! Answers that bear payload are marked `redacted`: the caller sees them without the fields that few may see ([`super::redacted`]). An export is one text, and
//! hides them where it is written.
//!
//! Administrative acts are marked `noted`: they are noted in the replicated list of acts before they are done, and how they ended afterwards
//! ([`super::acts`]). One that changes nothing is `logged` alone: noting it would change the state that it looks at. Who is refused is logged, and not
//! noted: what anybody can put into the list would push out the rest.

use std::sync::Arc;

use graft_convert::names::NAMESPACE_DEFAULT;
use graft_machine::access::{Place, Right};
use graft_proto::errors::{ErrorCode, Fault, quoted};
use graft_proto::v1;
use graft_proto::v1::access_service_server::AccessService;
use graft_proto::v1::cluster_service_server::ClusterService;
use graft_proto::v1::dead_letter_service_server::DeadLetterService;
use graft_proto::v1::event_service_server::EventService;
use graft_proto::v1::limit_service_server::LimitService;
use graft_proto::v1::membership_service_server::MembershipService;
use graft_proto::v1::task_service_server::TaskService;
use graft_proto::v1::worker_service_server::WorkerService;
use graft_proto::v1::workflow_service_server::WorkflowService;
use tonic::{Request, Response, Status, Streaming};

use super::Shared;
use super::cluster::Cluster;
use super::dead_letters::DeadLetters;
use super::events::Events;
use super::limits::Limits;
use super::membership::Membership;
use super::redacted::Hidden;
use super::tasks::Tasks;
use super::tokens::Access;
use super::worker::Workers;
use super::workflows::Workflows;
use crate::auth::caller::{Caller, ShownBy};

/// What a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need<'a> {
    /// That it is known who asks; what for is asked later, or it is nobody's secret.
    Known,
    /// This right in a namespace; empty = the default one.
    In(Right, &'a str),
    /// This right in a namespace; empty = in all.
    InOrAll(Right, &'a str),
    /// This right in the cluster as a whole.
    Cluster(Right),
    /// To be an admin of something: what of, is asked later. An act of whoever is none is not noted: the list has a bound, and what anybody can
    /// put there pushes out the rest.
    Admin,
}

/// Who asks, for what is asked later.
#[derive(Clone, Debug)]
pub(super) struct Asker(Option<Caller>);

impl Asker {
    /// As the gate has found. A request that came past it (from another member, which has asked before it passed it on) may do what it says.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        Self(request.extensions().get::<Caller>().cloned())
    }

    /// Whether it may do this there, as that method does.
    ///
    /// # Errors
    /// If it may not; the log says so.
    pub(super) fn may(&self, shared: &Shared, method: &'static str, right: Right, namespace: &str) -> Result<(), Fault> {
        let Some(caller) = &self.0 else { return Ok(()) };
        let namespace = if namespace.is_empty() { NAMESPACE_DEFAULT } else { namespace };
        let may = caller.may(right, Place::Namespace(namespace));
        if may { Ok(()) } else { Err(told(shared, caller, method, refused(caller, right, &in_namespace(namespace)))) }
    }

    /// Whether it may execute these nodes there.
    ///
    /// # Errors
    /// If there is one that it may not; the log says so.
    pub(super) fn may_serve<'a>(&self, shared: &Shared, namespace: &str, mut nodes: impl Iterator<Item = &'a str>) -> Result<(), Fault> {
        let Some(caller) = &self.0 else { return Ok(()) };
        let Some(node) = nodes.find(|node| !caller.serves(namespace, node)) else { return Ok(()) };
        let fault = refused(caller, Right::Work, &format!("node {} of {}", quoted(node), in_namespace(namespace)));
        Err(told(shared, caller, "WorkerService.work", fault))
    }

    /// The caller, if it is known.
    pub(super) fn caller(&self) -> Option<&Caller> {
        self.0.as_ref()
    }
}

/// The fault, after a word to the log.
fn told(shared: &Shared, caller: &Caller, method: &'static str, fault: Fault) -> Fault {
    super::acts::refused(shared, caller, method, &fault);
    fault
}

fn in_namespace(namespace: &str) -> String {
    format!("namespace {}", quoted(namespace))
}

fn refused(caller: &Caller, right: Right, place: &str) -> Fault {
    let what = match right {
        Right::Read => "see what is in",
        Right::Operate => "start or steer workflows in",
        Right::Work => "execute",
        Right::Administer => "administer",
    };
    let who = match (&caller.name, &caller.shown_by) {
        (Some(name), shown) => format!("{} (by its {})", quoted(name), shown.name()),
        (None, _) => "the caller".to_owned(),
    };
    let fault = Fault::new(ErrorCode::NotAllowed, who, format!("may not {what} {place}"));
    match caller.shown_by {
        ShownBy::Certificate | ShownBy::Jwt { .. } => {
            fault.remedy("grant it that in auth.rules, or show an API token that does; `graft whoami` tells what it may do")
        }
        _ => fault,
    }
}

/// A service whose methods are asked for their right first. Cheap to clone.
pub(super) struct Guarded<S> {
    shared: Arc<Shared>,
    service: Arc<S>,
}

impl<S> Guarded<S> {
    pub(super) fn new(shared: Arc<Shared>, service: S) -> Self {
        Self { shared, service: Arc::new(service) }
    }

    /// Who asks, if it may.
    fn ask<T>(&self, request: &Request<T>, need: Need<'_>, method: &'static str) -> Result<Caller, Fault> {
        self.settle(request, need).map_err(|fault| match request.extensions().get() {
            Some(caller) => told(&self.shared, caller, method, fault),
            None => fault,
        })
    }

    fn settle<T>(&self, request: &Request<T>, need: Need<'_>) -> Result<Caller, Fault> {
        let Some(caller) = request.extensions().get::<Caller>() else {
            return Err(Fault::new(ErrorCode::Internal, "the request", "came past the gate"));
        };
        let (right, place, told) = match need {
            Need::Known => return Ok(caller.clone()),
            Need::Admin if caller.is_admin() => return Ok(caller.clone()),
            Need::Admin => return Err(refused(caller, Right::Administer, "any namespace")),
            Need::In(right, "") => (right, Place::Namespace(NAMESPACE_DEFAULT), in_namespace(NAMESPACE_DEFAULT)),
            Need::InOrAll(right, "") => (right, Place::Cluster, "all namespaces; name one".to_owned()),
            Need::In(right, namespace) | Need::InOrAll(right, namespace) => (right, Place::Namespace(namespace), in_namespace(namespace)),
            Need::Cluster(right) => (right, Place::Cluster, "the cluster".to_owned()),
        };
        if caller.may(right, place) { Ok(caller.clone()) } else { Err(refused(caller, right, &told)) }
    }
}

macro_rules! guarded {
    ($service:ident for $inner:ident {
        $(type $stream:ident;)*
        $(fn $method:ident($request:ty) -> $response:ty { $need:expr $(, $noted:ident)? })*
    }) => {
        #[tonic::async_trait]
        impl $service for Guarded<$inner> {
            $(type $stream = <$inner as $service>::$stream;)*
            $(
                async fn $method(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                    let need: for<'a> fn(&'a $request) -> Need<'a> = $need;
                    const NAME: &str = concat!(stringify!($service), ".", stringify!($method));
                    let _caller = self.ask(&request, need(request.get_ref()), NAME)?;
                    guarded!(@do $($noted)?, self, _caller, NAME, request, $service, $method)
                }
            )*
        }
    };
    (@do , $self:ident, $caller:ident, $name:expr, $request:ident, $service:ident, $method:ident) => {
        $self.service.$method($request).await
    };
    (@do noted, $self:ident, $caller:ident, $name:expr, $request:ident, $service:ident, $method:ident) => {{
        let said = format!("{:?}", $request.get_ref());
        let service = $self.service.clone();
        super::acts::noted($self.shared.clone(), $caller, $name, said, async move { service.$method($request).await }).await
    }};
    (@do redacted, $self:ident, $caller:ident, $name:expr, $request:ident, $service:ident, $method:ident) => {{
        let hidden = Hidden::from(&$self.shared, Some($caller), &$request.get_ref().namespace);
        $self.service.$method($request).await.map(|answer| answer.map(|answer| hidden.show(answer)))
    }};
    (@do logged, $self:ident, $caller:ident, $name:expr, $request:ident, $service:ident, $method:ident) => {{
        super::acts::logged(&$caller, $name, format!("{:?}", $request.get_ref()), $self.service.$method($request)).await
    }};
}

guarded! {
    WorkflowService for Workflows {
        type WatchStream;
        type StartManyStream;
        type ExportStream;
        fn start(v1::StartRequest) -> v1::StartResponse { |asked| Need::In(Right::Operate, &asked.namespace) }
        fn start_many(Streaming<v1::StartRequest>) -> Self::StartManyStream { |_| Need::Known }
        fn get(v1::GetRequest) -> v1::GetResponse { |asked| Need::In(Right::Read, &asked.namespace), redacted }
        fn list(v1::ListRequest) -> v1::ListResponse { |asked| Need::In(Right::Read, &asked.namespace) }
        fn count(v1::CountRequest) -> v1::CountResponse { |asked| Need::In(Right::Read, &asked.namespace) }
        fn watch(v1::WatchRequest) -> Self::WatchStream { |asked| Need::In(Right::Read, &asked.namespace), redacted }
        fn wait(v1::WaitRequest) -> v1::WaitResponse { |asked| Need::In(Right::Read, &asked.namespace), redacted }
        fn history(v1::HistoryRequest) -> v1::HistoryResponse { |asked| Need::In(Right::Read, &asked.namespace), redacted }
        fn export(v1::ExportRequest) -> Self::ExportStream { |asked| Need::In(Right::Read, &asked.namespace) }
        fn pause(v1::ControlRequest) -> v1::ControlResponse { |asked| Need::In(Right::Operate, &asked.namespace) }
        fn resume(v1::ControlRequest) -> v1::ControlResponse { |asked| Need::In(Right::Operate, &asked.namespace) }
        fn cancel(v1::ControlRequest) -> v1::ControlResponse { |asked| Need::In(Right::Operate, &asked.namespace) }
        fn terminate(v1::ControlRequest) -> v1::ControlResponse { |asked| Need::In(Right::Operate, &asked.namespace) }
    }
}

guarded! {
    TaskService for Tasks {
        fn list(v1::ListTasksRequest) -> v1::ListTasksResponse { |asked| Need::In(Right::Read, &asked.namespace), redacted }
        fn get(v1::GetTaskRequest) -> v1::GetTaskResponse { |asked| Need::In(Right::Read, &asked.namespace), redacted }
        fn retry(v1::RetryTaskRequest) -> v1::RetryTaskResponse { |asked| Need::In(Right::Operate, &asked.namespace) }
    }
}

guarded! {
    DeadLetterService for DeadLetters {
        fn list(v1::ListDeadLettersRequest) -> v1::ListDeadLettersResponse { |asked| Need::In(Right::Read, &asked.namespace) }
        fn get(v1::GetTaskRequest) -> v1::GetTaskResponse { |asked| Need::In(Right::Read, &asked.namespace), redacted }
        fn redrive(v1::RedriveRequest) -> v1::ResolveDeadLettersResponse { |asked| Need::In(Right::Operate, &asked.namespace) }
        fn discard(v1::DiscardRequest) -> v1::ResolveDeadLettersResponse { |asked| Need::In(Right::Operate, &asked.namespace) }
    }
}

guarded! {
    LimitService for Limits {
        fn list(v1::ListLimitsRequest) -> v1::ListLimitsResponse { |asked| Need::InOrAll(Right::Read, &asked.namespace) }
        fn set(v1::SetLimitRequest) -> v1::SetLimitResponse { |asked| of_limit(&asked.namespace, &asked.node), noted }
        fn unset(v1::UnsetLimitRequest) -> v1::SetLimitResponse { |asked| of_limit(&asked.namespace, &asked.node), noted }
    }
}

/// The limit of the cluster has neither a namespace nor a node.
fn of_limit<'a>(namespace: &'a str, node: &str) -> Need<'a> {
    if namespace.is_empty() && node.is_empty() { Need::Cluster(Right::Administer) } else { Need::In(Right::Administer, namespace) }
}

guarded! {
    EventService for Events {
        type SubscribeStream;
        fn subscribe(v1::SubscribeRequest) -> Self::SubscribeStream { |asked| Need::InOrAll(Right::Read, &asked.namespace), redacted }
    }
}

guarded! {
    WorkerService for Workers {
        type WorkStream;
        fn work(Streaming<v1::FromWorker>) -> Self::WorkStream { |_| Need::Known }
    }
}

guarded! {
    ClusterService for Cluster {
        type SnapshotStream;
        fn status(v1::ClusterStatusRequest) -> v1::ClusterStatusResponse { |_| Need::Known }
        fn list_workers(v1::ListWorkersRequest) -> v1::ListWorkersResponse { |asked| Need::InOrAll(Right::Read, &asked.namespace) }
        fn log_level(v1::LogLevelRequest) -> v1::LogLevelResponse { |asked| of_log_level(asked), logged }
        fn diagnose(v1::DiagnoseRequest) -> v1::DiagnoseResponse { |_| Need::Cluster(Right::Administer), logged }
        fn profile(v1::ProfileRequest) -> v1::ProfileResponse { |_| Need::Cluster(Right::Administer), logged }
        fn stats(v1::StatsRequest) -> v1::StatsResponse { |_| Need::Cluster(Right::Read) }
        fn snapshot(v1::SnapshotRequest) -> Self::SnapshotStream { |_| Need::Cluster(Right::Administer), logged }
    }
}

/// To look at it changes nothing.
fn of_log_level(asked: &v1::LogLevelRequest) -> Need<'static> {
    Need::Cluster(if asked.level.is_some() { Right::Administer } else { Right::Read })
}

guarded! {
    MembershipService for Membership {
        fn bootstrap(v1::BootstrapRequest) -> v1::BootstrapResponse { |_| Need::Cluster(Right::Administer), noted }
        fn create_join_token(v1::CreateJoinTokenRequest) -> v1::CreateJoinTokenResponse { |_| Need::Cluster(Right::Administer), noted }
        fn list_join_grants(v1::ListJoinGrantsRequest) -> v1::ListJoinGrantsResponse { |_| Need::Cluster(Right::Read) }
        fn revoke_join_grant(v1::RevokeJoinGrantRequest) -> v1::RevokeJoinGrantResponse { |_| Need::Cluster(Right::Administer), noted }
        fn approve(v1::ApproveRequest) -> v1::ApproveResponse { |_| Need::Cluster(Right::Administer), noted }
        fn promote(v1::PromoteRequest) -> v1::PromoteResponse { |_| Need::Cluster(Right::Administer), noted }
        fn remove(v1::RemoveRequest) -> v1::RemoveResponse { |_| Need::Cluster(Right::Administer), noted }
        fn transfer_leader(v1::TransferLeaderRequest) -> v1::TransferLeaderResponse { |_| Need::Cluster(Right::Administer), noted }
        fn drain(v1::DrainRequest) -> v1::DrainResponse { |_| Need::Cluster(Right::Administer), noted }
        fn raise_machine_version(v1::RaiseMachineVersionRequest) -> v1::RaiseMachineVersionResponse { |_| Need::Cluster(Right::Administer), noted }
    }
}

guarded! {
    AccessService for Access {
        fn who_am_i(v1::WhoAmIRequest) -> v1::WhoAmIResponse { |_| Need::Known }
        fn create_token(v1::CreateTokenRequest) -> v1::CreateTokenResponse { |_| Need::Admin, noted }
        fn list_tokens(v1::ListTokensRequest) -> v1::ListTokensResponse { |_| Need::Known }
        fn revoke_token(v1::RevokeTokenRequest) -> v1::RevokeTokenResponse { |_| Need::Admin, noted }
        fn list_acts(v1::ListActsRequest) -> v1::ListActsResponse { |_| Need::Cluster(Right::Administer) }
    }
}
