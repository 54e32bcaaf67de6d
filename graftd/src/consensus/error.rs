//! What can go wrong, for those who ask.

/// Why a command has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No leader is known, or it cannot be reached. Nothing happened.
    #[error("no leader can be reached: {reason}")]
    Unavailable {
        /// What is known of it.
        reason: String,
    },
    /// (`propose_local` only) this member does not lead in that term. Nothing happened.
    #[error("this member does not lead")]
    NotLeader,
    /// Too much is waiting. Nothing happened.
    #[error("too many commands are waiting")]
    Overloaded {
        /// Advice.
        retry_after_ms: u64,
    },
    /// (starts only) the leader keeps what room it has for what runs. Nothing happened.
    #[error("{reason}")]
    NoRoom {
        /// Of what, and how much.
        reason: String,
    },
    /// Whoever asks waits no longer. Nothing happened.
    #[error("whoever asks waits no longer")]
    Overdue,
    /// It may have happened, or may still happen until its not-after.
    #[error("the outcome is unknown: {reason}")]
    Unknown {
        /// What is known of it.
        reason: String,
    },
}

/// Why a member cannot take part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The options contradict each other.
    #[error("the settings of consensus are not valid: {reason}")]
    Options {
        /// How.
        reason: String,
    },
    /// The files could not be read, or do not belong together.
    #[error("the log or the state cannot be opened: {reason}")]
    Storage {
        /// What is wrong.
        reason: String,
    },
    /// The first members do not name this one.
    #[error("the cluster cannot be initialized: {reason}")]
    Initialize {
        /// Why.
        reason: String,
    },
}

/// Why the membership was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// This member does not lead, and nobody is known who does. Nothing happened.
    #[error("no leader can be reached: {reason}")]
    Unavailable {
        /// What is known of it.
        reason: String,
    },
    /// It is not allowed, or not now. Nothing happened.
    #[error("{why}")]
    Refused {
        /// Why not, as a sentence without its full stop.
        why: String,
    },
    /// It may have happened, or may still happen.
    #[error("the outcome is unknown: {reason}")]
    Unknown {
        /// What is known of it.
        reason: String,
    },
}

impl ChangeError {
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self::Refused { why: why.into() }
    }
}
