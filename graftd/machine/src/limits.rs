//! Every bound of the machine, by name. What exceeds one is refused with a reason; nothing is cut silently.

/// Largest workflow state, in bytes of JSON.
pub const STATE_BYTES_MAX: usize = 1 << 20;
/// Largest config of a task, in bytes of JSON.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;
/// Largest patch of one step, in bytes of JSON.
pub const PATCH_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of a JSON document; serde_json itself stops at 128.
pub const JSON_DEPTH_MAX: usize = 100;
/// Longest namespace, node name or label key, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest workflow id, idempotency key or request id, in bytes.
pub const ID_BYTES_MAX: usize = 256;
/// Most labels on a workflow.
pub const LABELS_MAX: usize = 32;
/// Longest value of a label, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 256;
/// Longest error message or reason that is kept, in bytes; longer ones are cut at a character boundary and marked with `…`.
pub const ERROR_BYTES_MAX: usize = 8 << 10;
/// Most tasks that one command may create (start or completion).
pub const TASKS_PER_COMMAND_MAX: usize = 10_000;
/// Highest number of a task or scope that a start or completion may give out in one run (what follows from them has room above).
pub const TASKS_PER_RUN_MAX: u32 = 1_000_000_000;
/// Highest number of a task or scope in a run that still lets dead letters be redriven: each time may lead to another task and scope.
pub const REDRIVE_NUMBERS_MAX: u32 = 4_000_000_000;
/// Deepest nesting of fan-outs: a completion closes at most so many scopes.
pub const SCOPE_DEPTH_MAX: u32 = 1_000;
/// Most commuting operations in one completion.
pub const OPERATIONS_MAX: usize = 1_000;
/// Most JSON pointers that a blocked task may wait for.
pub const WAKE_ON_MAX: usize = 32;
/// Longest JSON pointer, in bytes.
pub const POINTER_BYTES_MAX: usize = 1_024;
/// Most JSON pointers that a change is described by for waking blocked tasks; more count as a change of everything.
pub const TOUCHED_MAX: usize = 64;
/// Most attempts that a retry policy may ask for.
pub const ATTEMPTS_MAX: u32 = 10_000;
/// Most timers that one `Due` command names.
pub const DUE_PER_COMMAND_MAX: usize = 512;
/// Records that one bounded clean-up step touches (sweep after pause, resume, end; retention).
pub const SWEEP_STEP: usize = 256;
/// Records that all clean-up steps of one `Due` command touch together; timers beyond it are announced again.
pub const DUE_RECORDS_MAX: usize = 4 * SWEEP_STEP;
/// Expired request ids that one `ExpireRequests` command deletes.
pub const EXPIRE_REQUESTS_STEP: usize = 1_024;
/// How far ahead of the machine's time a request's not-after may lie, in milliseconds; the answer to a request id is kept at least until then.
pub const NOT_AFTER_AHEAD_MAX: u64 = 600_000;
/// Default time that a finished workflow is kept, in milliseconds (7 days).
pub const RETENTION_DEFAULT: u64 = 7 * 24 * 3_600_000;
/// Most nodes that a session may serve.
pub const NODES_PER_SESSION_MAX: usize = 1_000;
/// Most concurrency limits that are set at once.
pub const LIMITS_MAX: usize = 10_000;
/// Most permissions to join the cluster that stand at once.
pub const JOIN_GRANTS_MAX: usize = 1_000;
/// Most members that one permission to join may be for.
pub const GRANT_USES_MAX: u32 = 100;
/// Most API tokens that exist at once.
pub const API_TOKENS_MAX: usize = 10_000;
/// Most grants of one API token.
pub const GRANTS_PER_TOKEN_MAX: usize = 32;
/// Most nodes that a worker's grant names.
pub const GRANT_NODES_MAX: usize = 64;
/// Most administrative acts that are kept; with more, the oldest go.
pub const ACTS_MAX: u64 = 100_000;
/// Length of the hash of a secret, in bytes (SHA-256).
pub const SECRET_HASH_BYTES: usize = 32;
/// Default grace that a cancelled workflow's running attempts get, in milliseconds.
pub const CANCEL_GRACE_DEFAULT: u64 = 30_000;

const _: () = assert!(STATE_BYTES_MAX + CONFIG_BYTES_MAX + PATCH_BYTES_MAX < 4 << 20, "one message must hold state, config and patch");
/// Most records that one page of a view holds.
pub const PAGE_MAX: usize = 1_000;
/// Most names that one page of a list examines where a filter lets few of them through.
pub const LIST_EXAMINED_MAX: usize = 5_000;
