//! `RaiseMachineVersion`: puts a later machine version into force. It never goes down, and a repeat changes nothing.
//!
//! What a build cannot follow is no matter of a refusal: other members may be able to, and would then hold another state than this one.

use crate::command::{MACHINE_VERSION, RaiseMachineVersion};
use crate::reply::{Answer, Rejection, RejectionCode};
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{Meta, MetaKey, MetaRecord};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &RaiseMachineVersion) -> Answer {
    let RaiseMachineVersion { to } = command;
    can_follow(*to);
    let refused = |detail: String| Err(Rejection::new(RejectionCode::Invalid, format!("machine version {to}"), detail));
    match turn.meta.machine_version {
        0 => refused("cannot be in force: the cluster has no name yet".into()),
        now if *to < now => refused(format!("is lower than {now}, which is in force: there is no way back")),
        now if *to == now => turn.done(0),
        _ => {
            let mut meta = MetaRecord::clone(&turn.meta);
            meta.rule(*to, turn.stamp.index);
            turn.tx.put::<Meta>(MetaKey {}, meta);
            turn.done(0)
        }
    }
}

/// Stops a member that cannot follow: a newer leader wrote this.
pub(crate) fn can_follow(version: u32) {
    assert!(
        version <= MACHINE_VERSION,
        "machine version {version} is put into force, and this graftd goes up to {MACHINE_VERSION}: install a newer one"
    );
}
