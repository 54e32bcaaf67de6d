//! S20: a read shows everything that was acknowledged to anybody before it was asked for.

use super::{Invariant, Read, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check;

impl Invariant for Check {
    fn read(&mut self, read: Read) -> Verdict {
        let Read { acknowledged, shown } = read;
        must!(shown >= acknowledged, "a read shows the state after entry {shown}; what entry {acknowledged} did was acknowledged before");
        Ok(())
    }
}
