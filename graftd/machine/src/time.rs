//! Time as the machine knows it: a number that the log brings along.

/// Milliseconds since the Unix epoch, in the machine's own time, which never goes back.
pub type Millis = u64;

/// Where and when a command is applied. Set by the leader that proposed the entry; the same on every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// The machine's time. `apply` takes the later of this and the last time it saw.
    pub time: Millis,
    /// Index of the log entry that carries the command.
    pub index: u64,
    /// How many events earlier commands of the same entry have written: the ordinal of this command's first event.
    pub ordinal: u32,
}
