//! S25: whatever clients and workers send, the machine answers; what it refuses it says, and has written nothing. (A panic is the other half
//! of this invariant: whoever runs the machine reports it.)

use graft_machine::Applied;
use graft_machine::command::{Envelope, LogEntry};

use super::{Invariant, Place, Replica, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check;

impl Invariant for Check {
    fn replica(&mut self, replica: &Replica<'_>) -> Verdict {
        let LogEntry { commands, .. } = replica.entry;
        let (asked, answered) = (commands.len(), replica.applied.len());
        must!(asked == answered, "entry {} asks for {asked} things and has {answered} answers", replica.index);
        Ok(())
    }

    fn command(&mut self, place: Place, envelope: &Envelope, applied: &Applied) -> Verdict {
        if let Err(rejection) = &applied.reply {
            let silent = applied.events.is_empty() && applied.effects.is_empty();
            must!(silent, "entry {}: {:?} was refused ({rejection}), and left something behind", place.index, envelope.request_id);
            must!(!rejection.object.is_empty() && !rejection.detail.is_empty(), "a refusal says neither what nor why: {rejection:?}");
        }
        Ok(())
    }
}
