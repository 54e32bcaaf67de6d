//! `apply`: one command against the state. Time, then the request id, then one function per kind of command.

use std::sync::Arc;

use crate::command::{Command, ENTRY_FORMAT, Envelope, LogEntry, MACHINE_VERSION};
use crate::commands;
use crate::content;
use crate::derived::DERIVED_TABLES;
use crate::effect::Effect;
use crate::event::Event;
use crate::limits::NOT_AFTER_AHEAD_MAX;
use crate::reply::{Answer, Rejection, RejectionCode, StoredAnswer};
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{ExpiryKey, Meta, MetaKey, MetaRecord, RequestExpiry, RequestKey, RequestRecord, Requests};
use crate::time::{Millis, Stamp};

/// What came of one command.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// For whoever asked. A rejection is a normal answer; a rejected command has written nothing (but the machine's time).
    pub reply: Answer,
    /// The history that was written: durable already, in the tables, which share it.
    pub events: Vec<Arc<Event>>,
    /// Volatile: the leader acts, followers drop them.
    pub effects: Vec<Effect>,
}

/// Applies the commands of one log entry, in order.
///
/// # Panics
/// If the entry's format or machine version is higher than this version knows; otherwise as [`apply`].
pub fn apply_entry(tx: &mut impl StateTx, index: u64, entry: &LogEntry) -> Vec<Applied> {
    let LogEntry { format, machine_version, time, commands } = entry;
    assert!(*format <= ENTRY_FORMAT, "log entry {index} has format {format}; this version reads up to {ENTRY_FORMAT}: install a newer one");
    assert!(
        *machine_version <= MACHINE_VERSION,
        "log entry {index} asks for machine version {machine_version}; this version goes up to {MACHINE_VERSION}: install a newer one"
    );
    let mut ordinal = 0;
    let mut each = |envelope| {
        let applied = apply(tx, Stamp { time: *time, index, ordinal }, envelope);
        ordinal += applied.events.len() as u32;
        applied
    };
    commands.iter().map(&mut each).collect()
}

/// Applies one command. The same calls on the same state write the same bytes and answer the same, on every member.
///
/// The next command of the same log entry gets a stamp whose `ordinal` is higher by `events.len()`.
///
/// # Panics
/// If the state's derived tables are not those of this version: see [`crate::derived::rebuild_derived`].
/// If the command, or a stored record, carries something that this version does not know: a newer version wrote it, and a member that
/// guesses drifts apart from the others. Also if the state breaks an invariant. What clients and workers can put into a command never
/// panics: it is rejected, or fails its attempt.
pub fn apply(tx: &mut impl StateTx, stamp: Stamp, envelope: &Envelope) -> Applied {
    let command = envelope.command.as_ref().expect("a command of a kind that is not known here: a newer version wrote the log");
    let (now, meta) = advance(tx, stamp.time);
    let mut turn = Turn::new(tx, stamp, now, &envelope.principal, meta);
    let request = match admit(&turn, envelope, command) {
        Admission::Fresh(request) => request,
        Admission::Answered(reply) => return Applied { reply, events: Vec::new(), effects: Vec::new() },
    };
    let reply = dispatch(&mut turn, command);
    let wrote = !turn.events.is_empty() || !turn.effects.is_empty() || !turn.counted.are_none();
    debug_assert!(reply.is_ok() || !wrote, "a rejected command has written nothing");
    turn.counted.write(turn.tx);
    if let (Some(request), Ok(_)) = (request, &reply) {
        remember(turn.tx, request, envelope.payload_hash, reply.clone());
    }
    Applied { reply, events: turn.events, effects: turn.effects }
}

fn dispatch<S: StateTx>(turn: &mut Turn<'_, S>, command: &Command) -> Answer {
    match command {
        Command::Start(command) => commands::start::apply(turn, command),
        Command::Complete(command) => commands::complete::apply(turn, command),
        Command::Fail(command) => commands::fail::apply(turn, command),
        Command::Block(command) => commands::block::apply(turn, command),
        Command::Lose(command) => commands::lose::apply(turn, command),
        Command::Due(command) => commands::due::apply(turn, command),
        Command::Pause(command) => commands::pause::apply(turn, command),
        Command::Resume(command) => commands::resume::apply(turn, command),
        Command::Cancel(command) => commands::cancel::apply(turn, command),
        Command::Terminate(command) => commands::terminate::apply(turn, command),
        Command::OpenSession(session) => commands::open_session::apply(turn, session),
        Command::CloseSession(command) => commands::close_session::apply(turn, command),
        Command::SetLimit(command) => commands::set_limit::apply(turn, command),
        Command::InitCluster(command) => commands::init_cluster::apply(turn, command),
        Command::RaiseMachineVersion(command) => commands::raise_machine_version::apply(turn, command),
        Command::ExpireRequests(_) => commands::expire_requests::apply(turn),
        Command::Redrive(command) => commands::redrive::apply(turn, command),
        Command::RetryTask(command) => commands::retry_task::apply(turn, command),
        Command::Discard(command) => commands::discard::apply(turn, command),
        Command::GrantJoin(command) => commands::grant_join::grant(turn, command),
        Command::UseJoinGrant(command) => commands::grant_join::use_grant(turn, command),
        Command::RevokeJoinGrant(command) => commands::grant_join::revoke(turn, command),
        Command::CreateApiToken(command) => commands::api_tokens::create(turn, command),
        Command::RevokeApiToken(command) => commands::api_tokens::revoke(turn, command),
        Command::BeginAct(command) => commands::acts::begin(turn, command),
        Command::EndAct(command) => commands::acts::end(turn, command),
    }
}

/// Advances the machine's time, which never goes back.
fn advance(tx: &mut impl StateTx, stamp: Millis) -> (Millis, Arc<MetaRecord>) {
    let meta = tx.get::<Meta>(&MetaKey {}).unwrap_or_else(|| Arc::new(MetaRecord { derived_tables: DERIVED_TABLES, ..Default::default() }));
    assert_eq!(meta.derived_tables, DERIVED_TABLES, "the state has the derived tables of another version: they are to be rebuilt first");
    if stamp <= meta.time {
        return (meta.time, meta);
    }
    let meta = MetaRecord { time: stamp, ..MetaRecord::clone(&meta) };
    tx.put::<Meta>(MetaKey {}, meta.clone());
    (stamp, Arc::new(meta))
}

/// A request whose answer is to be remembered.
struct Request {
    key: RequestKey,
    expires: Millis,
}

enum Admission {
    /// To be applied; and its answer remembered, where it carries a request id.
    Fresh(Option<Request>),
    /// Answered without being applied.
    Answered(Answer),
}

/// Decides whether a request is new, a repeat, or refused. A repeat is looked up before its not-after is judged: whoever repeats late
/// learns what became of the first, while it is remembered.
fn admit<S: StateTx>(turn: &Turn<'_, S>, envelope: &Envelope, command: &Command) -> Admission {
    let Envelope { request_id, not_after, payload_hash, .. } = envelope;
    let refuse = |code, detail: String| {
        let object = if request_id.is_empty() { "the request".to_owned() } else { format!("request {request_id:?}") };
        Admission::Answered(Err(Rejection::new(code, object, detail)))
    };
    if request_id.is_empty() && *not_after == 0 {
        return Admission::Fresh(None);
    }
    let mut request = None;
    if !request_id.is_empty() {
        let namespace = namespace(command);
        let checked = content::id("request id", request_id).and_then(|()| match namespace {
            "" => Ok(()),
            namespace => content::name("namespace", namespace),
        });
        if let Err(rejection) = checked {
            return Admission::Answered(Err(rejection));
        }
        let key = RequestKey { namespace: namespace.to_owned(), id: request_id.clone() };
        if let Some(first) = turn.tx.get::<Requests>(&key) {
            if first.payload_hash != *payload_hash {
                return refuse(
                    RejectionCode::RequestConflict,
                    "was used for another request; a request that differs needs an id of its own".to_owned(),
                );
            }
            let answer = first.answer.clone().and_then(StoredAnswer::into_answer);
            return Admission::Answered(answer.expect("an answer of a kind that is not known here: a newer version wrote it"));
        }
        let expires = if *not_after == 0 { turn.now.saturating_add(NOT_AFTER_AHEAD_MAX) } else { *not_after };
        request = Some(Request { key, expires });
    }
    if *not_after != 0 && turn.now > *not_after {
        return refuse(RejectionCode::RequestExpired, format!("was to take effect until {not_after}; it is {}", turn.now));
    }
    if *not_after > turn.now.saturating_add(NOT_AFTER_AHEAD_MAX) {
        let detail =
            format!("may take effect until {not_after}; it is {}, and at most {NOT_AFTER_AHEAD_MAX} ms ahead are allowed", turn.now);
        return refuse(RejectionCode::NotAfterTooFar, detail);
    }
    Admission::Fresh(request)
}

fn remember(tx: &mut impl StateTx, request: Request, payload_hash: u64, answer: Answer) {
    let Request { key, expires } = request;
    tx.put::<RequestExpiry>(ExpiryKey { expires, namespace: key.namespace.clone(), id: key.id.clone() }, ());
    tx.put::<Requests>(key, RequestRecord { payload_hash, answer: Some(answer.into()), expires });
}

/// The namespace that a command speaks of, in which its request id is unique; empty for what concerns the whole cluster.
fn namespace(command: &Command) -> &str {
    match command {
        Command::Start(start) => &start.namespace,
        Command::Pause(control) | Command::Resume(control) | Command::Cancel(control) | Command::Terminate(control) => &control.namespace,
        Command::Redrive(redrive) => &redrive.namespace,
        Command::RetryTask(control) | Command::Discard(control) => &control.namespace,
        Command::OpenSession(session) => &session.namespace,
        Command::SetLimit(limit) => &limit.namespace,
        Command::Complete(_)
        | Command::Fail(_)
        | Command::Block(_)
        | Command::Lose(_)
        | Command::Due(_)
        | Command::CloseSession(_)
        | Command::InitCluster(_)
        | Command::RaiseMachineVersion(_)
        | Command::ExpireRequests(_)
        | Command::GrantJoin(_)
        | Command::UseJoinGrant(_)
        | Command::RevokeJoinGrant(_)
        | Command::CreateApiToken(_)
        | Command::RevokeApiToken(_)
        | Command::BeginAct(_)
        | Command::EndAct(_) => "",
    }
}
