//! The catalogue of errors: one code for each kind of refusal, the same in gRPC details, in REST problems and in what `graft` prints.
//!
//! An [`ErrorCode`] knows everything that is fixed about a refusal: its stable name (`GR0003`), the gRPC code and the HTTP status that it
//! travels under, whether the same request may work later, whether it may have taken effect all the same, what to do next if nothing better
//! is known, and a page for people. A [`Fault`] is one refusal: a code, the object, and why.
//!
//! | codes | whose |
//! |---|---|
//! | `GR0001`–`GR8999` | the server's |
//! | `GR9001`–`GR9099` | the SDK's: made in the caller's process |
//! | `GR9101`–`GR9199` | those of the command `graft` |
//!
//! Codes are for ever: a retired one leaves a gap. Each has a page in `proto/errors/`, which is compiled in: a code without a page does not
//! build, and `graft explain` needs no network.
//!
//! "Outcome unknown" travels as `DEADLINE_EXCEEDED`, not as `UNAVAILABLE`: generic gRPC retry policies repeat the latter blindly, and a
//! request without a request id must not be repeated so.

mod fault;
mod nearest;

use std::fmt;
use std::str::FromStr;

use tonic::Code;

pub use fault::{DETAIL_BYTES_MAX, Fault, QUOTE_BYTES_MAX, cut, quoted};
pub use nearest::nearest;

/// Whether repeating the same request later may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Helps,
    IsVain,
}

/// Whether a request that got this answer can have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    None,
    Unknown,
}

struct Row {
    code: &'static str,
    grpc: Code,
    http: u16,
    again: Again,
    effect: Effect,
    remedy: &'static str,
    page: &'static str,
}

/// Writes the enum, the list of all, and the rows, from one table. The page is named by the code, so none can be left out.
macro_rules! catalogue {
    ($($(#[doc = $doc:literal])+ $kind:ident = $code:literal, $grpc:ident, $http:literal, $again:ident, $effect:ident, $remedy:literal;)+) => {
        /// A kind of refusal. The catalogue grows: match with a wildcard.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl ErrorCode {
            /// Every code there is, in order.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            const fn row(self) -> Row {
                match self {
                    $(Self::$kind => Row {
                        code: $code,
                        grpc: Code::$grpc,
                        http: $http,
                        again: Again::$again,
                        effect: Effect::$effect,
                        remedy: $remedy,
                        page: include_str!(concat!("../../errors/", $code, ".md")),
                    },)+
                }
            }
        }
    };
}

catalogue! {
    /// Something in the request is malformed.
    Invalid = "GR0001", InvalidArgument, 400, IsVain, None, "correct the request";
    /// A document, list, name or message exceeds its bound.
    TooLarge = "GR0002", InvalidArgument, 413, IsVain, None, "send less, and keep large data outside with a reference to it";
    /// No such workflow, or no such run of it.
    WorkflowNotFound = "GR0003", NotFound, 404, IsVain, None, "check the id and the namespace with `graft workflow list`";
    /// The workflow id is taken.
    WorkflowExists = "GR0004", AlreadyExists, 409, IsVain, None,
        "choose another id, or set on_conflict to use_existing or replace_finished";
    /// The workflow's status does not allow it.
    WrongStatus = "GR0005", FailedPrecondition, 409, IsVain, None, "look at its status with `graft workflow get`";
    /// The request id was used for another request.
    RequestConflict = "GR0006", FailedPrecondition, 409, IsVain, None, "use a new request id for a new request";
    /// The request's not-after has passed.
    RequestExpired = "GR0007", FailedPrecondition, 409, IsVain, None, "send it as a new request, with a new request id";
    /// The request's not-after lies too far ahead.
    NotAfterTooFar = "GR0008", InvalidArgument, 400, IsVain, None, "choose a nearer not-after, or leave it to the server with 0";
    /// The caller belongs to another cluster.
    ClusterMismatch = "GR0009", FailedPrecondition, 409, IsVain, None, "check the address: another cluster answers there; one that was restored from a snapshot is another one as well: restart its workers";
    /// No leader is known or can be reached.
    NoLeader = "GR0010", Unavailable, 503, Helps, None, "try again; if it stays so, look at `graft cluster status`";
    /// Too much is waiting.
    Overloaded = "GR0011", ResourceExhausted, 429, Helps, None, "try again later, and less at once";
    /// It may have happened, or may still happen.
    OutcomeUnknown = "GR0012", DeadlineExceeded, 504, Helps, Unknown,
        "send the same request with the same request id: it takes effect once";
    /// A cursor that this list did not hand out.
    BadCursor = "GR0013", InvalidArgument, 400, IsVain, None, "begin again at the first page, with an empty cursor";
    /// No version of the worker protocol is spoken by both sides.
    ProtocolVersion = "GR0014", FailedPrecondition, 409, IsVain, None, "bring the worker's SDK and the daemon to versions that overlap";
    /// A service, method or path that this version does not have.
    UnknownMethod = "GR0015", Unimplemented, 404, IsVain, None, "bring the client and the daemon to the same version";
    /// The member is stopping.
    ShuttingDown = "GR0016", Unavailable, 503, Helps, None, "connect to another member, or try again soon";
    /// A worker broke the protocol.
    ProtocolBroken = "GR0017", InvalidArgument, 400, IsVain, None, "report it to the author of the worker's SDK";
    /// Bytes that are no message of this protocol.
    Undecodable = "GR0018", InvalidArgument, 400, IsVain, None, "check that client and daemon speak the same version of graft.v1";
    /// A defect of Graft.
    Internal = "GR0019", Internal, 500, IsVain, Unknown, "this is a defect of Graft: please report it with the daemon's log";
    /// The request did not arrive in time.
    TooSlow = "GR0020", DeadlineExceeded, 408, Helps, None, "send it again, and all of it at once";
    /// The workflow has no such task.
    TaskNotFound = "GR0021", NotFound, 404, IsVain, None, "see the workflow's tasks with `graft task list`";
    /// The task's state does not allow it.
    WrongTaskState = "GR0022", FailedPrecondition, 409, IsVain, None, "look at the task with `graft task get`";
    /// A subscriber did not take its events in time.
    SubscriberTooSlow = "GR0023", Aborted, 408, Helps, None, "subscribe again from the position that the message names, and read faster";
    /// A position in the event stream that this cluster did not hand out.
    BadPosition = "GR0024", InvalidArgument, 400, IsVain, None, "subscribe from `earliest`, or leave the position empty for what comes";
    /// The workflow has not ended yet.
    NotEnded = "GR0025", FailedPrecondition, 409, IsVain, None, "wait for its end with `graft workflow watch`";
    /// A page of another origin is behind it, or it asks for another host.
    WrongOrigin = "GR0026", PermissionDenied, 403, IsVain, None, "send it from a program, or from a page of the same address";
    /// No such member, join token or approval.
    MemberNotFound = "GR0027", NotFound, 404, IsVain, None, "see who is there with `graft cluster members`";
    /// The cluster's membership does not allow it now.
    MembershipRefused = "GR0028", FailedPrecondition, 409, IsVain, None, "look at `graft cluster doctor`";
    /// The leader's disk is nearly full: what runs goes on, and nothing is started.
    NoRoom = "GR0029", ResourceExhausted, 429, Helps, None, "make room on the leader's disk, or lower storage.disk_reserve";

    /// Nobody knows who asks, or what it shows of itself is not good.
    Unauthenticated = "GR0030", Unauthenticated, 401, IsVain, None,
        "show an API token (--token-file, GRAFT_TOKEN_FILE), or a certificate that is known";
    /// It is known who asks, and that it may not do this.
    NotAllowed = "GR0031", PermissionDenied, 403, IsVain, None,
        "ask an admin for a token that allows it; `graft whoami` tells what you may do";
    /// No such API token.
    TokenNotFound = "GR0032", NotFound, 404, IsVain, None, "see which there are with `graft token list`";
    /// Too many attempts to show who one is have failed.
    TooManyFailures = "GR0033", ResourceExhausted, 429, Helps, None, "correct the token, and wait";
    /// The machine version in force does not have this yet.
    NotInForce = "GR0034", FailedPrecondition, 409, IsVain, None,
        "bring all members to one version, then `graft cluster upgrade`";

    /// No server could be reached.
    Unreachable = "GR9001", Unavailable, 503, Helps, Unknown, "check that graftd runs and answers at that address";
    /// An address is no URL of a server.
    BadEndpoint = "GR9002", InvalidArgument, 400, IsVain, None, "give an address like http://127.0.0.1:7420";
    /// A value could not be written as JSON.
    NotSerializable = "GR9003", InvalidArgument, 400, IsVain, None, "give a value whose maps have text keys and whose numbers are finite";
    /// A JSON document does not fit the type that was asked for.
    NotDeserializable = "GR9004", Internal, 500, IsVain, None, "read it as serde_json::Value, or correct the type";
    /// A result was asked for, but the workflow ended otherwise.
    NotCompleted = "GR9005", FailedPrecondition, 409, IsVain, None, "see what happened with `graft workflow history`";
    /// No answer came within the time given.
    TimedOut = "GR9006", DeadlineExceeded, 504, Helps, Unknown, "send the same request again: it takes effect once";
    /// The server answered something that this version does not understand.
    BadAnswer = "GR9007", Internal, 500, IsVain, None, "bring the client and the daemon to the same version";
    /// The worker cannot run as it was built.
    BadWorker = "GR9008", InvalidArgument, 400, IsVain, None, "correct how the worker is built";
    /// The server refused with a bare gRPC status, without details of its own.
    BareStatus = "GR9009", Unknown, 502, IsVain, Unknown, "check that the address belongs to a graftd, and what stands between";
    /// A change took effect, but what became of the workflow could not be read.
    Unread = "GR9010", Internal, 500, IsVain, None, "the change has taken effect: read the workflow again";
    /// A request is larger than what the server takes; it was not sent.
    RequestTooLarge = "GR9011", InvalidArgument, 413, IsVain, None, "send less, and keep large data outside with a reference to it";
    /// The client was given a name for whoever asks that no history can hold.
    BadIdentity = "GR9012", InvalidArgument, 400, IsVain, None, "give a name of letters, digits, `.`, `_` and `-`";
    /// TLS could not be agreed on.
    Tls = "GR9013", Unavailable, 503, IsVain, None, "name the authority of the cluster (--tls-ca), and a certificate of this client if members ask for one (--tls-cert, --tls-key)";
    /// The token that was given cannot be sent.
    BadCredentials = "GR9014", InvalidArgument, 400, IsVain, None, "give a file with a token, and an address that begins with https://";
    /// A payload codec could not encode or decode a value.
    PayloadCodec = "GR9015", FailedPrecondition, 400, IsVain, None, "give the client a codec that knows the key";

    /// The command line, or a file that it names, makes no sense.
    Usage = "GR9101", InvalidArgument, 400, IsVain, None, "see the command's --help";
    /// Something that `graft` keeps on this machine does not exist.
    LocalNotFound = "GR9102", NotFound, 404, IsVain, None, "see what there is with `graft context list`";
    /// Something that `graft` keeps on this machine does not allow this.
    LocalConflict = "GR9103", FailedPrecondition, 409, IsVain, None, "look at it with `graft context list`";
    /// A wait was over before the workflow had ended.
    StillRunning = "GR9104", DeadlineExceeded, 504, Helps, None, "follow it with `graft workflow watch`";
    /// Some addresses that were tried do not answer.
    NotAllAnswer = "GR9105", Unavailable, 503, Helps, None, "see above which, and why";
    /// What was asked needs a confirmation that nobody gave.
    NotConfirmed = "GR9106", FailedPrecondition, 409, IsVain, None, "say --yes, or look first with --dry-run";
    /// `graft` could not read or write something on this machine.
    LocalFailure = "GR9107", Internal, 500, IsVain, None, "see the reason";
    /// Of many, some were refused; the others were done.
    Partly = "GR9108", Internal, 500, IsVain, None, "see above which were refused, and why";
    /// An examination has found problems.
    Unwell = "GR9109", Internal, 500, IsVain, None, "see above what is wrong, and what to do about each";
}

impl ErrorCode {
    /// The stable name: `GR` and four digits.
    pub const fn name(self) -> &'static str {
        self.row().code
    }

    /// What it is called in one line: the title of its page.
    pub fn title(self) -> &'static str {
        let heading = self.page().lines().next().unwrap_or_default();
        heading.split_once(": ").map_or(heading, |(_, title)| title)
    }

    /// The whole page for people, in Markdown: what it means, how it comes about, what to do.
    pub const fn page(self) -> &'static str {
        self.row().page
    }

    /// The gRPC code that it travels under. The SDK's own never travel: what a server would have said.
    pub const fn grpc(self) -> Code {
        self.row().grpc
    }

    /// The gRPC code, as its specification spells it: `NOT_FOUND`.
    pub const fn grpc_name(self) -> &'static str {
        grpc_name(self.grpc())
    }

    /// The HTTP status that it travels under.
    pub const fn http(self) -> u16 {
        self.row().http
    }

    /// Whether the same request may work later.
    pub const fn retryable(self) -> bool {
        matches!(self.row().again, Again::Helps)
    }

    /// Whether the request may have taken effect all the same.
    pub const fn outcome_unknown(self) -> bool {
        matches!(self.row().effect, Effect::Unknown)
    }

    /// What to do next, if nothing better is known; reads after a semicolon.
    pub const fn remedy(self) -> &'static str {
        self.row().remedy
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is no code of this version's catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCode;

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such code in the catalogue of this version")
    }
}

impl std::error::Error for UnknownCode {}

impl FromStr for ErrorCode {
    type Err = UnknownCode;

    /// Reads `GR0003`, and also `gr3` or `3`, as people type it.
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let digits = text.strip_prefix("GR").or_else(|| text.strip_prefix("gr")).unwrap_or(text);
        if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(UnknownCode);
        }
        let name = format!("GR{digits:0>4}");
        Self::ALL.iter().copied().find(|code| code.name() == name).ok_or(UnknownCode)
    }
}

/// A gRPC code as its specification spells it: <https://grpc.io/docs/guides/status-codes/>.
pub const fn grpc_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn codes_are_told_apart_and_stand_in_order() {
        assert!(ErrorCode::ALL.windows(2).all(|pair| pair[0].name() < pair[1].name()));
        for code in ErrorCode::ALL {
            assert_eq!(code.name().parse(), Ok(*code));
            assert!(!code.remedy().is_empty() && !code.remedy().ends_with('.'), "{code}: the remedy reads after a semicolon");
        }
    }

    #[test]
    fn every_page_tells_what_it_is_why_it_comes_and_what_to_do() {
        for code in ErrorCode::ALL {
            let page = code.page();
            assert!(page.starts_with(&format!("# {code}: ")), "{code}: its page begins with its code and title");
            for part in ["\n## How it comes about\n", "\n## What to do\n"] {
                assert!(page.contains(part), "{code}: its page has the part {part:?}");
            }
            assert!(page.ends_with('\n') && page.lines().all(|line| line.chars().count() <= 140), "{code}: its page has lines that fit");
            assert!(!code.title().is_empty() && !code.title().ends_with('.'), "{code}: {}", code.title());
        }
    }

    #[test]
    fn every_page_has_a_code() {
        let pages = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("errors")).expect("the folder of pages");
        for page in pages {
            let name = page.expect("a page").file_name().into_string().expect("a plain name");
            let code = name.strip_suffix(".md").expect("a page in Markdown");
            assert!(ErrorCode::ALL.iter().any(|known| known.name() == code), "{name} belongs to no code of the catalogue");
        }
    }

    #[test]
    fn what_may_have_happened_is_never_unavailable_when_a_server_says_it() {
        for code in ErrorCode::ALL.iter().filter(|code| code.name() < "GR9000" && code.outcome_unknown()) {
            assert_ne!(code.grpc(), Code::Unavailable, "{code}: generic retry policies would repeat it blindly");
        }
    }

    #[test]
    fn people_type_codes_shorter() {
        for text in ["GR0003", "gr0003", "gr3", "3", "0003"] {
            assert_eq!(text.parse(), Ok(ErrorCode::WorkflowNotFound), "{text}");
        }
        for text in ["", "GR", "GR00003", "GR8888", "three", "GR-3"] {
            assert_eq!(text.parse::<ErrorCode>(), Err(UnknownCode), "{text}");
        }
    }
}
