//! The tables: what is stored under which key. Keys are encoded so that their bytes sort as the tuples do; every key starts with the
//! partition. Table numbers and layouts are for ever: a retired number stays reserved.
//!
//! | table | key | record |
//! |---|---|---|
//! | `Names` | namespace, workflow id | the current run |
//! | `Workflows` | run | the workflow |
//! | `Tasks` | run, task | an open task or a dead letter |
//! | `Scopes` | run, scope | a join |
//! | `ReadyTasks` | namespace, node, fairness key, priority (high first), rank, run, task | attempt and timeout |
//! | `BlockedTasks` | run, task | – |
//! | `Timers` | due, kind, run, task | – |
//! | `IdempotencyKeys` | run, key | the task that used it first |
//! | `Events` | index, ordinal | the event |
//! | `RunEvents` | run, index, ordinal | – |
//! | `TaskEvents` | run, task | where the task's resolution stands |
//! | `StatusList` | namespace, status, run | – |
//! | `LabelList` | namespace, label, value, run | – |
//! | `TimeList` | namespace, created (late first), run | – |
//! | `Requests` | namespace, request id | the first answer |
//! | `RequestExpiry` | expiry, namespace, request id | – |
//! | `Sessions` | incarnation | a worker process |
//! | `Limits` | namespace, node (both empty: the cluster) | a limit |
//! | `Counters` | name | a number |
//! | `Meta` | – | who this cluster is |
//! | `TaskList` | namespace, node, run, task | – |
//! | `DeadLetters` | namespace, given up at, run, task | – |
//! | `StatusCounts` | namespace, status | how many |
//! | `AttemptEvents` | run, task, index and ordinal (late first) | – |
//! | `JoinGrants` | id | a permission to join |
//! | `ApiTokens` | id | an API token, without its secret |
//! | `Acts` | number | an administrative act |
//!
//! The four before `JoinGrants`, and all of `Counters` but the last run and the last act, are *derived*, see [`crate::derived`]: they say nothing that the others do not, and can be made again from them.

use std::sync::Arc;

use prost::Message;

use crate::access::{Act, ApiToken};
use crate::command::FIRST_MACHINE_VERSION;
use crate::event::Event;
use crate::ids::{EventPos, PARTITION, Run, ScopeId, TaskId};
use crate::reply::StoredAnswer;
use crate::session::{JoinGrant, Limit, Session};
use crate::task::{Scope, Task};
use crate::time::Millis;
use crate::workflow::Workflow;

/// A key: a tuple whose encoding sorts as the tuple does.
pub trait TableKey: Clone + std::fmt::Debug + Ord + Send + Sync + 'static {
    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);
    /// The key in these bytes; `None` if they are not an encoding.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
    /// The encoding.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        self.encode(&mut out);
        out
    }
}

/// A table: its number, and the types of its keys and records.
pub trait Table: Send + Sync + 'static {
    /// Its number.
    const ID: TableId;
    /// Its keys.
    type Key: TableKey;
    /// Its records.
    type Value: Message + Default + PartialEq + Clone;
    /// Wraps a record for storage.
    fn wrap(value: Arc<Self::Value>) -> Record;
    /// Unwraps a record of this table.
    ///
    /// # Panics
    /// If the record is of another table.
    fn unwrap(record: Record) -> Arc<Self::Value>;
}

/// What sharing a record costs beside it: two counters, and what an allocation costs.
const SHARED_BYTES: usize = 32;

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $id:literal: $key:ty => $value:ty;)*) => {
        /// Number of a table, the first byte of every stored key.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum TableId { $($(#[$doc])* $name = $id,)* }

        impl TableId {
            /// Every table.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }

        /// A record of any table: typed and shared; encoded only when it is written to disk.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Record { $($(#[$doc])* $name(Arc<$value>),)* }

        impl Record {
            /// Its bytes.
            pub fn encode(&self) -> Vec<u8> {
                match self { $(Self::$name(value) => value.encode_to_vec(),)* }
            }

            /// Length of its bytes.
            pub fn encoded_len(&self) -> usize {
                match self { $(Self::$name(value) => value.encoded_len(),)* }
            }

            /// Roughly what it takes in memory, in bytes: its fields, what they point at, and the counters beside it.
            pub fn memory_len(&self) -> usize {
                match self { $(Self::$name(value) => SHARED_BYTES + size_of::<$value>() + value.encoded_len(),)* }
            }

            /// Reads a record of the given table.
            pub fn decode(table: TableId, bytes: &[u8]) -> Result<Self, prost::DecodeError> {
                Ok(match table { $(TableId::$name => Self::$name(Arc::new(<$value>::decode(bytes)?)),)* })
            }
        }

        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}

            impl Table for $name {
                const ID: TableId = TableId::$name;
                type Key = $key;
                type Value = $value;
                fn wrap(value: Arc<$value>) -> Record { Record::$name(value) }
                fn unwrap(record: Record) -> Arc<$value> {
                    match record {
                        Record::$name(value) => value,
                        other => panic!("record of another table in {:?}: {other:?}", TableId::$name),
                    }
                }
            }
        )*
    };
}

tables! {
    /// Which run a workflow id names now.
    Names = 1: NameKey => NameRecord;
    /// Workflows by run.
    Workflows = 2: RunKey => Workflow;
    /// Open tasks and dead letters.
    Tasks = 3: TaskKey => Task;
    /// Joins.
    Scopes = 4: ScopeKey => Scope;
    /// Tasks for workers, in the order of dispatch within a node.
    ReadyTasks = 5: ReadyKey => ReadyRecord;
    /// Tasks that wait for a change of their workflow's state.
    BlockedTasks = 6: TaskKey => ();
    /// What is due when.
    Timers = 7: TimerKey => ();
    /// Idempotency keys that a run has used.
    IdempotencyKeys = 8: IdempotencyKey => FirstUse;
    /// The history, in log order.
    Events = 9: EventKey => Event;
    /// The history of a run.
    RunEvents = 10: RunEventKey => ();
    /// Where a task's resolution stands in the history.
    TaskEvents = 11: TaskKey => EventPos;
    /// Workflows by status.
    StatusList = 12: StatusKey => ();
    /// Workflows by label.
    LabelList = 13: LabelKey => ();
    /// Workflows by age.
    TimeList = 14: TimeKey => ();
    /// Answers to requests.
    Requests = 15: RequestKey => RequestRecord;
    /// When answers may be forgotten.
    RequestExpiry = 16: ExpiryKey => ();
    /// Worker processes.
    Sessions = 17: SessionKey => Session;
    /// Concurrency limits.
    Limits = 18: LimitKey => Limit;
    /// Numbers of the whole cluster; [`CounterName::DERIVED`] says which are derived.
    Counters = 19: CounterKey => Counter;
    /// Who this cluster is, and what time it is.
    Meta = 20: MetaKey => MetaRecord;
    /// Open tasks and dead letters by node. Derived.
    TaskList = 21: TaskListKey => ();
    /// Dead letters by the time they were given up at. Derived.
    DeadLetters = 22: DeadLetterKey => ();
    /// How many workflows of a namespace have a status; none where there are none. Derived.
    StatusCounts = 23: StatusCountKey => Counter;
    /// Where a task's failed and lost attempts stand in the history. Derived.
    AttemptEvents = 24: AttemptKey => ();
    /// Permissions to join the cluster.
    JoinGrants = 25: JoinGrantKey => JoinGrant;
    /// API tokens.
    ApiTokens = 26: ApiTokenKey => ApiToken;
    /// Administrative acts, the latest of them.
    Acts = 27: ActKey => Act;
}

/// Record of [`Names`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct NameRecord {
    /// The current run.
    #[prost(uint64, tag = "1")]
    pub run: Run,
}

/// Record of [`ReadyTasks`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ReadyRecord {
    /// The attempt's number.
    #[prost(uint32, tag = "1")]
    pub attempt: u32,
    /// Longest execution, in milliseconds; 0 = none.
    #[prost(uint64, tag = "2")]
    pub timeout: Millis,
    /// Ready since; 0: since its rank, as in machine version 1.
    #[prost(uint64, tag = "3")]
    pub since: Millis,
}

/// Record of [`IdempotencyKeys`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct FirstUse {
    /// The task that used the key first.
    #[prost(uint32, tag = "1")]
    pub task: TaskId,
}

/// Record of [`Requests`].
#[derive(Clone, PartialEq, Message)]
pub struct RequestRecord {
    /// Hash of the request.
    #[prost(fixed64, tag = "1")]
    pub payload_hash: u64,
    /// The first answer.
    #[prost(message, optional, tag = "2")]
    pub answer: Option<StoredAnswer>,
    /// When it may be forgotten.
    #[prost(uint64, tag = "3")]
    pub expires: Millis,
}

/// Record of [`Counters`] and [`StatusCounts`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Counter {
    /// The number.
    #[prost(uint64, tag = "1")]
    pub value: u64,
}

/// Record of [`Meta`].
#[derive(Clone, PartialEq, Message)]
pub struct MetaRecord {
    /// The machine's time: the latest stamp it has seen.
    #[prost(uint64, tag = "1")]
    pub time: Millis,
    /// Which cluster id ruled from which index, oldest first.
    #[prost(message, repeated, tag = "2")]
    pub lineage: Vec<Lineage>,
    /// Name of the cluster.
    #[prost(string, tag = "3")]
    pub cluster_name: String,
    /// The machine version in force: what `apply` does to this state. 0: the cluster has no name yet.
    #[prost(uint32, tag = "4")]
    pub machine_version: u32,
    /// [`crate::derived::DERIVED_TABLES`] of whoever made the derived tables; 0 = nobody has.
    #[prost(uint32, tag = "5")]
    pub derived_tables: u32,
    /// Which machine version rules from which index on, oldest first. Nothing is said of [`crate::command::FIRST_MACHINE_VERSION`], whose members
    /// did not write it down.
    #[prost(message, repeated, tag = "6")]
    pub versions: Vec<VersionFrom>,
}

impl MetaRecord {
    /// Puts a later machine version into force.
    pub(crate) fn rule(&mut self, version: u32, from_index: u64) {
        self.machine_version = version;
        if version > FIRST_MACHINE_VERSION {
            self.versions.push(VersionFrom { version, from_index });
        }
    }
}

/// A machine version, and the index from which it rules.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct VersionFrom {
    /// The version.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// First index under it.
    #[prost(uint64, tag = "2")]
    pub from_index: u64,
}

/// A cluster id and epoch, and the index from which they rule.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Lineage {
    /// UUID of the cluster.
    #[prost(string, tag = "1")]
    pub cluster_id: String,
    /// Its epoch.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// First index under them.
    #[prost(uint64, tag = "3")]
    pub from_index: u64,
}

/// What a timer is for. The numbers are stored; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum TimerKind {
    /// A task's delay, backoff or re-check is over.
    Task = 1,
    /// A workflow's deadline has come.
    Deadline = 2,
    /// The grace of a cancelled workflow is over.
    CancelGrace = 3,
    /// The next bounded step over a workflow's tasks after a flag was set (pause, resume, end, a change that wakes many).
    Sweep = 4,
    /// A finished workflow is to be deleted, a bounded step at a time.
    Retention = 5,
}

/// Numbers in [`Counters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CounterName {
    /// The last run that was given out.
    Run = 1,
    /// Tasks that are ready, held by a worker or not.
    ReadyTasks = 2,
    /// Tasks that wait for a time.
    DelayedTasks = 3,
    /// Tasks that wait for a change of their workflow's state.
    BlockedTasks = 4,
    /// Dead letters.
    DeadLetters = 5,
    /// Timers that stand.
    Timers = 6,
    /// The last number that an administrative act was given.
    Act = 7,
}

impl CounterName {
    /// Those that are derived; there is no row where there is nothing to count.
    pub const DERIVED: [Self; 5] = [Self::ReadyTasks, Self::DelayedTasks, Self::BlockedTasks, Self::DeadLetters, Self::Timers];
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }

        impl TableKey for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend(PARTITION.to_be_bytes());
                $(KeyPart::write(&self.$field, out);)*
            }
            #[allow(unused_mut, unused_variables, reason = "a key without fields reads nothing")]
            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let mut rest = bytes.strip_prefix(&PARTITION.to_be_bytes())?;
                let key = Self { $($field: KeyPart::read(&mut rest)?,)* };
                rest.is_empty().then_some(key)
            }
        }
    };
}

key! {
    /// Namespace and workflow id.
    NameKey {
        /// Namespace.
        namespace: String,
        /// Workflow id.
        id: String,
    }
}
key! {
    /// A run.
    RunKey {
        /// The run.
        run: Run,
    }
}
key! {
    /// A task of a run.
    TaskKey {
        /// The run.
        run: Run,
        /// The task.
        task: TaskId,
    }
}
key! {
    /// A scope of a run.
    ScopeKey {
        /// The run.
        run: Run,
        /// The scope.
        scope: ScopeId,
    }
}
key! {
    /// Place in the ready order.
    ReadyKey {
        /// Namespace.
        namespace: String,
        /// Node.
        node: String,
        /// Fairness key; empty until fairness comes.
        fairness: String,
        /// High first.
        priority: Descending,
        /// See [`crate::task::Ready::rank`].
        rank: Millis,
        /// The run.
        run: Run,
        /// The task.
        task: TaskId,
    }
}
key! {
    /// When, and for what.
    TimerKey {
        /// When it is due.
        due: Millis,
        /// What for: a [`TimerKind`].
        kind: u8,
        /// The run.
        run: Run,
        /// The task; 0 = the workflow.
        task: TaskId,
    }
}
key! {
    /// A user's key within a run.
    IdempotencyKey {
        /// The run.
        run: Run,
        /// The user's key.
        key: String,
    }
}
key! {
    /// Place in the log.
    EventKey {
        /// Index of the entry.
        index: u64,
        /// Ordinal within the entry.
        ordinal: u32,
    }
}
key! {
    /// A run's event.
    RunEventKey {
        /// The run.
        run: Run,
        /// Index of the entry.
        index: u64,
        /// Ordinal within the entry.
        ordinal: u32,
    }
}
key! {
    /// A workflow under its status.
    StatusKey {
        /// Namespace.
        namespace: String,
        /// A [`crate::workflow::StatusKind`].
        status: u8,
        /// The run.
        run: Run,
    }
}
key! {
    /// A workflow under a label.
    LabelKey {
        /// Namespace.
        namespace: String,
        /// Label.
        label: String,
        /// Its value.
        value: String,
        /// The run.
        run: Run,
    }
}
key! {
    /// A workflow under its age.
    TimeKey {
        /// Namespace.
        namespace: String,
        /// `u64::MAX - created`: the youngest first.
        age: u64,
        /// The run.
        run: Run,
    }
}
key! {
    /// A request id in its namespace.
    RequestKey {
        /// Namespace.
        namespace: String,
        /// Request id.
        id: String,
    }
}
key! {
    /// When a request's answer may be forgotten.
    ExpiryKey {
        /// When.
        expires: Millis,
        /// Namespace.
        namespace: String,
        /// Request id.
        id: String,
    }
}
key! {
    /// A worker process.
    SessionKey {
        /// Its incarnation.
        incarnation: String,
    }
}
key! {
    /// What is limited.
    LimitKey {
        /// Namespace; empty together with `node` = the whole cluster.
        namespace: String,
        /// Node; empty = the whole cluster.
        node: String,
    }
}
key! {
    /// A task under its node.
    TaskListKey {
        /// Namespace.
        namespace: String,
        /// Node.
        node: String,
        /// The run.
        run: Run,
        /// The task.
        task: TaskId,
    }
}
key! {
    /// A dead letter under its age.
    DeadLetterKey {
        /// Namespace.
        namespace: String,
        /// When it was given up.
        at: Millis,
        /// The run.
        run: Run,
        /// The task.
        task: TaskId,
    }
}
key! {
    /// A status in a namespace.
    StatusCountKey {
        /// Namespace.
        namespace: String,
        /// A [`crate::workflow::StatusKind`].
        status: u8,
    }
}
key! {
    /// A failed or lost attempt of a task; see [`AttemptKey::of`].
    AttemptKey {
        /// The run.
        run: Run,
        /// The task.
        task: TaskId,
        /// `u64::MAX` less the index of the entry: the youngest first.
        index_back: u64,
        /// `u32::MAX` less the ordinal within the entry.
        ordinal_back: u32,
    }
}
key! {
    /// A permission to join.
    JoinGrantKey {
        /// Its id.
        id: String,
    }
}
key! {
    /// An API token.
    ApiTokenKey {
        /// Its id.
        id: String,
    }
}
key! {
    /// An administrative act.
    ActKey {
        /// Its number, in the order in which they were begun.
        number: u64,
    }
}
key! {
    /// Which number.
    CounterKey {
        /// A [`CounterName`].
        name: u8,
    }
}
key! {
    /// There is one record.
    MetaKey {}
}

impl AttemptKey {
    /// The key of an attempt that ended with the event there.
    pub fn of(run: Run, task: TaskId, at: EventPos) -> Self {
        Self { run, task, index_back: u64::MAX - at.index, ordinal_back: u32::MAX - at.ordinal }
    }

    /// Where its event stands.
    pub fn at(&self) -> EventPos {
        EventPos { index: u64::MAX - self.index_back, ordinal: u32::MAX - self.ordinal_back }
    }
}

impl LimitKey {
    /// The limit of the whole cluster.
    pub fn total() -> Self {
        Self { namespace: String::new(), node: String::new() }
    }
}

/// A priority that sorts high first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Descending(pub i32);

impl Ord for Descending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.cmp(&self.0)
    }
}

impl PartialOrd for Descending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A part of a key. Text ends with a zero byte, which names and ids cannot hold; numbers are big-endian.
trait KeyPart: Sized {
    fn write(&self, out: &mut Vec<u8>);
    fn read(rest: &mut &[u8]) -> Option<Self>;
}

macro_rules! number_part {
    ($($type:ty),*) => {$(
        impl KeyPart for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend(self.to_be_bytes());
            }
            fn read(rest: &mut &[u8]) -> Option<Self> {
                let (head, tail) = rest.split_first_chunk()?;
                *rest = tail;
                Some(Self::from_be_bytes(*head))
            }
        }
    )*};
}
number_part!(u8, u32, u64);

impl KeyPart for String {
    fn write(&self, out: &mut Vec<u8>) {
        debug_assert!(!self.as_bytes().contains(&0), "text in a key holds no zero byte: names and ids are checked");
        out.extend(self.as_bytes());
        out.push(0);
    }
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(&rest[..end]).ok()?.to_owned();
        *rest = &rest[end + 1..];
        Some(text)
    }
}

impl KeyPart for Descending {
    fn write(&self, out: &mut Vec<u8>) {
        // Flipping the sign bit makes two's complement sort as unsigned; inverting all bits turns the order round.
        out.extend((!((self.0 as u32) ^ 0x8000_0000)).to_be_bytes());
    }
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let raw = u32::read(rest)?;
        Some(Self((!raw ^ 0x8000_0000) as i32))
    }
}

/// Makes prefixes for [`crate::state::StateRead::scan`]: the first parts of a key, encoded.
#[derive(Debug, Clone)]
pub struct Prefix(Vec<u8>);

impl Default for Prefix {
    fn default() -> Self {
        Self::new()
    }
}

impl Prefix {
    /// Everything in the partition.
    pub fn new() -> Self {
        Self(PARTITION.to_be_bytes().to_vec())
    }

    /// Followed by a text part, complete.
    pub fn text(mut self, part: &str) -> Self {
        KeyPart::write(&part.to_owned(), &mut self.0);
        self
    }

    /// Followed by the beginning of a text part: matches every text that starts so.
    pub fn text_start(mut self, part: &str) -> Self {
        self.0.extend(part.as_bytes());
        self
    }

    /// Followed by a one-byte number.
    pub fn byte(mut self, part: u8) -> Self {
        self.0.push(part);
        self
    }

    /// Followed by a four-byte number.
    pub fn short(mut self, part: u32) -> Self {
        KeyPart::write(&part, &mut self.0);
        self
    }

    /// Followed by an eight-byte number.
    pub fn number(mut self, part: u64) -> Self {
        KeyPart::write(&part, &mut self.0);
        self
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
