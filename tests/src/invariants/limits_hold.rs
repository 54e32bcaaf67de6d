//! S12: nothing is dispatched beyond a limit, of a node or of the whole cluster, set or declared; also right after another leader took over.
//! A limit that is lowered may be exceeded by what is held already, never by something new.

use graft_machine::tables::LimitKey;

use super::{Invariant, Minted, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check;

impl Invariant for Check {
    fn minted(&mut self, minted: &Minted<'_>) -> Verdict {
        let Minted { at, node, held, limits, declared, .. } = minted;
        let total = held.iter().filter(|held| held.node.is_some()).count();
        let of_node = held.iter().filter(|held| held.node.as_ref() == Some(node)).count();
        for (key, max) in *limits {
            let held = if *key == LimitKey::total() {
                total
            } else if (&key.namespace, &key.node) == (&node.0, &node.1) {
                of_node
            } else {
                continue;
            };
            must!(held <= *max as usize, "{held} attempts are held under the limit {max} of {key:?}, with {at}");
        }
        for max in *declared {
            must!(of_node <= *max as usize, "{of_node} attempts of {node:?} are held, declared limit {max}, with {at}: {held:?}");
        }
        Ok(())
    }
}
