//! Golden scripts: commands in; reply, events and effects out, one line each. `UPDATE_GOLDENFILES=1 cargo test -p graft-machine` rewrites
//! them; the diff is the review of a change in behaviour. Every command is followed by the check of all invariants.
//!
//! The language of the scripts stands in [`Script::envelope`]: `start ID NODE…`, `complete RUN/TASK@ATTEMPT …`, `due`, `show ID` and so on.
//! A node is a quoted `'NAME key=value …'`; `(command)` hides its output.

mod words;

use std::error::Error;
use std::path::Path;

use bytes::Bytes;
use goldenscript::{Argument, ArgumentConsumer, Context};
use graft_machine::command::{
    BeginAct, BlockTask, Change, CloseSession, Command, CompleteTask, ControlTask, ControlWorkflow, CreateApiToken, Due, EndAct, Envelope,
    ExpireRequests, FailTask, FailureKind, FanOut, GrantJoin, InitCluster, LoseTask, LostReason, OnConflict, Operation,
    RaiseMachineVersion, RedriveTask, RevokeApiToken, RevokeJoinGrant, SetLimit, StartWorkflow, TimerRef, UseJoinGrant,
};
use graft_machine::ids::{AttemptRef, Lease, TaskRef};
use graft_machine::memory::Memory;
use graft_machine::session::{Limit, Session, SessionNode};
use graft_machine::state::StateRead;
use graft_machine::tables::{Prefix, Scopes, TimerKind};
use graft_machine::task::{Exhausted, NewTask, OnExhausted, RetryPolicy};
use graft_machine::time::Stamp;
use graft_machine::trace::TraceParent;
use graft_machine::{apply, invariants, view};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One script's machine: where its log stands, what time it is, and what was asked last.
struct Script {
    state: Memory,
    index: u64,
    time: u64,
    last: Option<Envelope>,
}

impl Script {
    fn new() -> Self {
        let mut script = Self { state: Memory::new(), index: 0, time: 1_000, last: None };
        let init = InitCluster { cluster_id: "cluster-1".into(), cluster_name: "golden".into(), epoch: 1, machine_version: 0 };
        script.apply(Envelope::internal("member", Command::InitCluster(init))).expect("a new state can be named");
        script
    }

    fn apply(&mut self, envelope: Envelope) -> Outcome<String> {
        self.index += 1;
        let before = self.state.clone();
        let stamp = Stamp { time: self.time, index: self.index, ordinal: 0 };
        let applied = apply(&mut self.state, stamp, &envelope);
        invariants::check(&self.state).map_err(|wrong| wrong.join("\n"))?;
        if applied.reply.is_err() && view::meta(&before).time == self.time && before != self.state {
            return Err("a rejected command has written something".into());
        }
        self.last = Some(envelope);
        Ok(words::applied(&applied))
    }

    fn envelope(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Outcome<Envelope> {
        let mut envelope = Envelope::internal("client:ann", Command::ExpireRequests(ExpireRequests {}));
        envelope.request_id = args.take_key("request").unwrap_or_default().to_owned();
        envelope.payload_hash = number(args, "hash")?;
        envelope.not_after = number(args, "not_after")?;
        if let Some(principal) = args.take_key("by") {
            envelope.principal = principal.to_owned();
        }
        envelope.command = Some(match name {
            "start" => self.start(args)?,
            "complete" => self.complete(args)?,
            "fail" => self.fail(args)?,
            "block" => self.block(args)?,
            "lose" => self.lose(args)?,
            "due" => self.due(args)?,
            "pause" => Command::Pause(control(args)?),
            "resume" => Command::Resume(control(args)?),
            "cancel" => Command::Cancel(control(args)?),
            "terminate" => Command::Terminate(control(args)?),
            "redrive" => Command::Redrive(redrive_task(args)?),
            "discard" => Command::Discard(control_task(args)?),
            "retry" => Command::RetryTask(control_task(args)?),
            "open" => self.open(args)?,
            "close" => Command::CloseSession(CloseSession { incarnation: position(args)?.into(), reason: String::new() }),
            "limit" => self.limit(args)?,
            "init" => {
                let (cluster_id, epoch) = (position(args)?.into(), number(args, "epoch")?);
                let machine_version = number(args, "version")? as u32;
                Command::InitCluster(InitCluster { cluster_id, cluster_name: "golden".into(), epoch, machine_version })
            }
            "raise" => Command::RaiseMachineVersion(RaiseMachineVersion { to: position(args)?.parse()? }),
            "grant" => Command::GrantJoin(GrantJoin {
                id: position(args)?.into(),
                member: args.take_key("member").unwrap_or_default().into(),
                secret_hash: secret_hash(args),
                expires: number(args, "expires")?,
                uses: args.take_key("uses").map_or(Ok(1), str::parse)?,
            }),
            "join" => Command::UseJoinGrant(UseJoinGrant {
                member: position(args)?.into(),
                raft_id: number(args, "raft_id")?,
                id: args.take_key("grant").unwrap_or_default().into(),
                secret_hash: secret_hash(args),
            }),
            "revoke" => Command::RevokeJoinGrant(RevokeJoinGrant { id: position(args)?.into() }),
            "token" => self.token(args)?,
            "revoke-token" => Command::RevokeApiToken(RevokeApiToken { id: position(args)?.into() }),
            "act" => Command::BeginAct(BeginAct {
                method: position(args)?.into(),
                object: position(args)?.into(),
                from: args.take_key("from").unwrap_or_default().into(),
                member: "m1".into(),
            }),
            "acted" => Command::EndAct(EndAct { number: position(args)?.parse()?, outcome: position(args)?.into() }),
            "expire" => Command::ExpireRequests(ExpireRequests {}),
            other => return Err(format!("unknown command {other}").into()),
        });
        args.reject_next()?;
        Ok(envelope)
    }

    fn start(&self, args: &mut ArgumentConsumer<'_>) -> Outcome<Command> {
        let mut start = StartWorkflow {
            namespace: args.take_key("namespace").unwrap_or("default").into(),
            id: position(args)?.into(),
            state: text(args, "state").into(),
            deadline: number(args, "deadline")?,
            retention: number(args, "retention")?,
            traceparent: args.take_key("traceparent").and_then(TraceParent::parse),
            on_conflict: match args.take_key("conflict") {
                None => OnConflict::Fail,
                Some("use_existing") => OnConflict::UseExisting,
                Some("replace_finished") => OnConflict::ReplaceFinished,
                Some(other) => return Err(format!("unknown conflict rule {other}").into()),
            } as i32,
            ..Default::default()
        };
        while let Some((label, value)) = args.next_key() {
            start.labels.insert(label.into(), value.into());
        }
        while let Some(node) = args.next_pos() {
            start.nodes.extend(nodes(node)?);
        }
        Ok(Command::Start(start))
    }

    fn complete(&self, args: &mut ArgumentConsumer<'_>) -> Outcome<Command> {
        let mut complete = CompleteTask {
            at: attempt(args)?,
            lease: lease(args)?,
            base_revision: number(args, "base")?,
            patch: text(args, "patch").into(),
            worker: "w1".into(),
            ..Default::default()
        };
        for arg in args.by_ref() {
            match arg {
                Argument::KeyValue(key, value) if key == "op" => complete.operations.push(operation(value)?),
                Argument::KeyValue(key, value) if key == "next" => complete.next.extend(nodes(value)?),
                Argument::KeyValue(key, value) if key == "fan" => complete.fan_outs.push(fan_out(value)?),
                other => return Err(format!("unknown argument {other}").into()),
            }
        }
        Ok(Command::Complete(complete))
    }

    fn fail(&self, args: &mut ArgumentConsumer<'_>) -> Outcome<Command> {
        let kind = match args.take_key("kind") {
            None => FailureKind::Retryable,
            Some("permanent") => FailureKind::Permanent,
            Some("panic") => FailureKind::Panic,
            Some("timeout") => FailureKind::Timeout,
            Some(other) => return Err(format!("unknown kind {other}").into()),
        };
        Ok(Command::Fail(FailTask {
            at: attempt(args)?,
            lease: lease(args)?,
            kind: kind as i32,
            message: args.take_key("message").unwrap_or("broke").into(),
            retry_after: number(args, "after")?,
            progress: args.take_key("progress").unwrap_or_default().into(),
            worker: "w1".into(),
            execution_us: 7,
        }))
    }

    fn block(&self, args: &mut ArgumentConsumer<'_>) -> Outcome<Command> {
        Ok(Command::Block(BlockTask {
            at: attempt(args)?,
            lease: lease(args)?,
            judged_revision: number(args, "revision")?,
            wake_on: args.take_key("wake").map(|list| list.split(',').map(String::from).collect()).unwrap_or_default(),
            recheck: number(args, "recheck")?,
            worker: "w1".into(),
        }))
    }

    fn lose(&self, args: &mut ArgumentConsumer<'_>) -> Outcome<Command> {
        let (at, lease) = (attempt(args)?, lease(args)?);
        let reason = match position(args)? {
            "lease-expired" => LostReason::LeaseExpired,
            "timed-out" => LostReason::TimedOut,
            "session-lost" => LostReason::SessionLost,
            "handed-back" => LostReason::HandedBack,
            other => return Err(format!("unknown reason {other}").into()),
        };
        let progress = args.take_key("progress").unwrap_or_default().into();
        let detail = args.take_key("detail").unwrap_or_default().into();
        let held_us = number(args, "held")?;
        Ok(Command::Lose(LoseTask { at, lease, reason: reason as i32, progress, worker: "w1".into(), detail, held_us }))
    }

    /// `due`: every timer that is due now, at most `max`; `due KIND RUN/TASK at=TIME`: that one, due or not.
    fn due(&self, args: &mut ArgumentConsumer<'_>) -> Outcome<Command> {
        if let Some(kind) = args.next_pos() {
            let kind = match kind {
                "task" => TimerKind::Task,
                "sweep" => TimerKind::Sweep,
                "retention" => TimerKind::Retention,
                other => return Err(format!("unknown timer {other}").into()),
            };
            let TaskRef { run, task } = task_ref(position(args)?)?;
            return Ok(Command::Due(Due { timers: vec![TimerRef { due: number(args, "at")?, kind: kind as i32, run, task }] }));
        }
        let timers = view::timers_due(&self.state, self.time, None, 512);
        let timers = timers.into_iter().map(|t| TimerRef { due: t.due, kind: i32::from(t.kind), run: t.run, task: t.task });
        Ok(Command::Due(Due { timers: timers.collect() }))
    }

    fn open(&self, args: &mut ArgumentConsumer<'_>) -> Outcome<Command> {
        let incarnation = position(args)?;
        let mut session = Session {
            incarnation: incarnation.into(),
            worker: format!("worker-{incarnation}"),
            namespace: "default".into(),
            build: "b1".into(),
            lease_time: 10_000,
            ..Default::default()
        };
        while let Some((node, capacity)) = args.next_key() {
            let (capacity, limit) = capacity.split_once(':').unwrap_or((capacity, "0"));
            session.nodes.push(SessionNode { node: node.into(), capacity: capacity.parse()?, limit: limit.parse()? });
        }
        Ok(Command::OpenSession(session))
    }

    fn token(&self, args: &mut ArgumentConsumer<'_>) -> Outcome<Command> {
        let mut token = CreateApiToken {
            id: position(args)?.into(),
            name: position(args)?.into(),
            secret_hash: secret_hash(args),
            expires: number(args, "expires")?,
            grants: Vec::new(),
        };
        while let Some(grant) = args.next_pos() {
            token.grants.push(grant.into());
        }
        Ok(Command::CreateApiToken(token))
    }

    fn limit(&self, args: &mut ArgumentConsumer<'_>) -> Outcome<Command> {
        let (namespace, node) = match position(args)? {
            "total" => ("", ""),
            named => named.split_once('/').unwrap_or((named, "")),
        };
        let (namespace, node) = (namespace.into(), node.into());
        let limit = match position(args)? {
            "none" => None,
            max => Some(Limit::of(max.parse()?)),
        };
        let only_if_absent = args.take_key("only_if_absent") == Some("true");
        Ok(Command::SetLimit(SetLimit { namespace, node, limit, only_if_absent }))
    }

    /// Who may join, and who has.
    /// Which machine version is in force, and since when.
    fn versions(&self) -> String {
        let meta = view::meta(&self.state);
        let from: Vec<String> = meta.versions.iter().map(|from| format!(", {} from index {}", from.version, from.from_index)).collect();
        format!("machine version {}{}", meta.machine_version, from.concat())
    }

    fn tokens(&self) -> String {
        view::api_tokens(&self.state, None, 100).iter().map(|(id, token)| words::api_token(id, token)).collect()
    }

    fn acts(&self) -> String {
        view::acts(&self.state, 0, 100).iter().map(|(number, act)| words::act(*number, act)).collect()
    }

    fn grants(&self) -> String {
        view::join_grants(&self.state).iter().map(|(id, grant)| words::grant(id, grant)).collect()
    }

    /// The workflow, its open tasks and its scopes.
    fn show(&self, args: &mut ArgumentConsumer<'_>) -> Outcome<String> {
        let (id, run) = (position(args)?, number(args, "run")?);
        let brief = args.take_key("brief") == Some("true");
        let Some(workflow) = view::find(&self.state, "default", id, run) else { return Ok(format!("no workflow {id}")) };
        let mut out = words::workflow(&workflow);
        if !brief {
            for (id, task) in view::tasks(&self.state, workflow.run, 0, 1_000) {
                out.push_str(&words::task(id, &task));
            }
            for (key, scope) in self.state.scan::<Scopes>(Prefix::new().number(workflow.run).as_bytes(), None, 100) {
                out.push_str(&words::scope(key.scope, &scope));
            }
        }
        Ok(out)
    }
}

impl goldenscript::Runner for Script {
    type Command = goldenscript::Command;

    fn run(&mut self, command: &Self::Command, _: &Context) -> Outcome<String> {
        let mut args = command.consume_args();
        match command.name.as_str() {
            "time" => {
                let to = position(&mut args)?;
                self.time = match to.strip_prefix('+') {
                    Some(by) => self.time + by.parse::<u64>()?,
                    None => to.parse()?,
                };
                Ok(String::new())
            }
            "again" => {
                let last = self.last.clone().ok_or("nothing was asked yet")?;
                self.apply(last)
            }
            "show" => self.show(&mut args),
            "grants" => Ok(self.grants()),
            "tokens" => Ok(self.tokens()),
            "acts" => Ok(self.acts()),
            "versions" => Ok(self.versions()),
            // A state that nobody has named yet.
            "unnamed" => {
                (self.state, self.index) = (Memory::new(), 0);
                Ok(String::new())
            }
            "ready" => {
                let mut out = String::new();
                for queue in view::queues(&self.state, None, 100) {
                    for offer in view::ready(&self.state, &queue, None, 100) {
                        out.push_str(&format!("{}\n", words::offer(&offer)));
                    }
                }
                Ok(if out.is_empty() { "nothing is ready".into() } else { out })
            }
            "timers" => {
                let page = view::timers(&self.state, None, 100);
                let lines: Vec<_> = page.iter().map(words::timer_key).collect();
                Ok(if lines.is_empty() { "no timer stands".into() } else { lines.join("\n") })
            }
            "blockall" => {
                let (run, last): (u64, u32) = (position(&mut args)?.parse()?, position(&mut args)?.parse()?);
                for task in 1..=last {
                    let at = AttemptRef { run, task, attempt: 1 };
                    let lease = Lease { term: 1, sequence: 1 };
                    let block = BlockTask { at, lease, judged_revision: 1, ..Default::default() };
                    self.index += 1;
                    let stamp = Stamp { time: self.time, index: self.index, ordinal: 0 };
                    apply(&mut self.state, stamp, &Envelope::internal("worker:w1", Command::Block(block)));
                }
                Ok(String::new())
            }
            "records" => Ok(format!("{} records", self.state.len())),
            name => {
                let envelope = self.envelope(name, &mut args)?;
                self.apply(envelope)
            }
        }
    }
}

fn position<'a>(args: &mut ArgumentConsumer<'a>) -> Outcome<&'a str> {
    args.next_pos().ok_or_else(|| "an argument is missing".into())
}

fn number(args: &mut ArgumentConsumer<'_>, key: &str) -> Outcome<u64> {
    Ok(args.take_key(key).unwrap_or("0").parse()?)
}

/// `secret=a`: a hash that says so.
fn secret_hash(args: &mut ArgumentConsumer<'_>) -> Bytes {
    args.take_key("secret").map(|secret| Bytes::from(secret.repeat(32 / secret.len()))).unwrap_or_default()
}

fn text(args: &mut ArgumentConsumer<'_>, key: &str) -> String {
    let text = args.take_key(key).unwrap_or_default();
    // A huge document is written as `big:LENGTH`.
    match text.strip_prefix("big:") {
        Some(length) => format!(r#"{{"big":"{}"}}"#, "x".repeat(length.parse().expect("a length"))),
        None => text.to_owned(),
    }
}

fn control(args: &mut ArgumentConsumer<'_>) -> Outcome<ControlWorkflow> {
    Ok(ControlWorkflow {
        namespace: args.take_key("namespace").unwrap_or("default").into(),
        id: position(args)?.into(),
        run: number(args, "run")?,
        reason: args.take_key("reason").unwrap_or_default().into(),
        grace: number(args, "grace")?,
        idle: args.take_key("idle") == Some("true"),
    })
}

/// `ID TASK`.
fn control_task(args: &mut ArgumentConsumer<'_>) -> Outcome<ControlTask> {
    Ok(ControlTask {
        namespace: args.take_key("namespace").unwrap_or("default").into(),
        id: position(args)?.into(),
        run: number(args, "run")?,
        task: position(args)?.parse()?,
        reason: args.take_key("reason").unwrap_or_default().into(),
    })
}

/// `ID TASK config=JSON patch=JSON`.
fn redrive_task(args: &mut ArgumentConsumer<'_>) -> Outcome<RedriveTask> {
    let ControlTask { namespace, id, run, task, reason } = control_task(args)?;
    let config = args.take_key("config").map(|config| Bytes::from(config.to_owned()));
    Ok(RedriveTask { namespace, id, run, task, config, state_patch: text(args, "patch").into(), reason })
}

fn task_ref(text: &str) -> Outcome<TaskRef> {
    let (run, task) = text.split_once('/').ok_or("a task is RUN/TASK")?;
    Ok(TaskRef { run: run.parse()?, task: task.parse()? })
}

fn attempt(args: &mut ArgumentConsumer<'_>) -> Outcome<AttemptRef> {
    let (task, attempt) = position(args)?.split_once('@').ok_or("an attempt is RUN/TASK@ATTEMPT")?;
    let TaskRef { run, task } = task_ref(task)?;
    Ok(AttemptRef { run, task, attempt: attempt.parse()? })
}

fn lease(args: &mut ArgumentConsumer<'_>) -> Outcome<Lease> {
    let (term, sequence) = args.take_key("lease").unwrap_or("1.1").split_once('.').ok_or("a lease is TERM.SEQUENCE")?;
    Ok(Lease { term: term.parse()?, sequence: sequence.parse()? })
}

/// `NAME key=value …`; `times=N` repeats it.
fn nodes(text: &str) -> Outcome<Vec<NewTask>> {
    let mut words = text.split_whitespace();
    let mut task = NewTask { node: words.next().unwrap_or_default().into(), ..Default::default() };
    let mut times = 1;
    for word in words {
        let (key, value) = word.split_once('=').ok_or("an option of a node is key=value")?;
        match key {
            "config" => task.config = Bytes::from(value.to_owned()),
            "priority" => task.priority = value.parse()?,
            "delay" => task.delay = value.parse()?,
            "not_before" => task.not_before = value.parse()?,
            "key" => task.idempotency_key = value.into(),
            "timeout" => task.timeout = value.parse()?,
            // No jitter: scripts are read by people.
            "attempts" => {
                let max_attempts = value.parse()?;
                task.retry = Some(RetryPolicy { max_attempts, jitter_permille: 0, ..RetryPolicy::standard() });
            }
            "exhausted" => {
                let then = match value {
                    "fail" => Exhausted::Fail(()),
                    "pause" => Exhausted::Pause(()),
                    "continue" => Exhausted::Continue(()),
                    node => Exhausted::ErrorNode(node.into()),
                };
                task.on_exhausted = Some(OnExhausted { then: Some(then) });
            }
            "times" => times = value.parse()?,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    Ok(vec![task; times])
}

/// `NODE; NODE => CONTINUATION`.
fn fan_out(text: &str) -> Outcome<FanOut> {
    let (tasks, continuation) = text.split_once("=>").unwrap_or((text, ""));
    let mut fan_out = FanOut::default();
    for task in tasks.split(';').filter(|task| !task.trim().is_empty()) {
        fan_out.tasks.extend(nodes(task)?);
    }
    if !continuation.trim().is_empty() {
        fan_out.continuation = nodes(continuation)?.pop();
    }
    Ok(fan_out)
}

/// `POINTER append JSON`, `POINTER inc N`, `POINTER float X`.
fn operation(text: &str) -> Outcome<Operation> {
    let mut words = text.splitn(3, ' ');
    let (pointer, verb) = (words.next().unwrap_or_default(), words.next().ok_or("an operation has a verb")?);
    let value = words.next().ok_or("an operation has a value")?;
    let change = match verb {
        "append" => Change::Append(Bytes::from(value.to_owned())),
        "inc" => Change::Increment(value.parse()?),
        "float" => Change::IncrementFloat(value.parse()?),
        other => return Err(format!("unknown operation {other}").into()),
    };
    Ok(Operation { pointer: pointer.into(), change: Some(change) })
}

fn folder(name: &str) {
    let mut scripts: Vec<_> = std::fs::read_dir(Path::new("testscripts").join(name))
        .expect("a folder of scripts")
        .map(|entry| entry.expect("a script").path())
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "testscripts/{name} holds no script");
    for path in scripts {
        println!("{}", path.display());
        goldenscript::run(&mut Script::new(), &path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

macro_rules! folders {
    ($($name:ident)*) => {
        $(#[test] fn $name() { folder(stringify!($name)); })*

        #[test]
        fn every_folder_of_scripts_is_run() {
            let mut found: Vec<_> = std::fs::read_dir("testscripts")
                .expect("the folder of scripts")
                .map(|entry| entry.expect("a folder").file_name().into_string().expect("a plain name"))
                .collect();
            found.sort();
            let mut run = vec![$(stringify!($name)),*];
            run.sort();
            assert_eq!(found, run);
        }
    };
}

folders! { start complete fail block lose due pause resume cancel terminate retry redrive discard sessions limits cluster requests }
