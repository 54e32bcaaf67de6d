//! Bounds what users can put into labels, and keeps what belongs to each value at hand.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec};

/// What a value beyond the bound is called. Whoever calls a node so finds it among the others.
pub const OTHER: &str = "_other";

/// The children of some metrics that share a label: made when a value first comes, and found again without asking each metric for it. The
/// first values have children of their own; all later ones share those of [`OTHER`], and each time that is counted.
#[derive(Debug)]
pub struct LabelGuard<C> {
    most: usize,
    known: Mutex<HashMap<String, C>>,
    other: C,
    overflow: IntCounter,
}

impl<C: Clone> LabelGuard<C> {
    /// At most so many values of a label; `make` makes the children of one.
    pub fn new(label: &str, most: usize, overflow: &IntCounterVec, make: impl FnOnce(&str) -> C) -> Self {
        Self { most, known: Mutex::default(), other: make(OTHER), overflow: overflow.with_label_values(&[label]) }
    }

    /// The children of a value; `make` makes those of a new one.
    pub fn of(&self, value: &str, make: impl FnOnce(&str) -> C) -> C {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(children) = known.get(value) {
            return children.clone();
        }
        if known.len() >= self.most {
            self.overflow.inc();
            return self.other.clone();
        }
        let children = make(value);
        known.insert(value.to_owned(), children.clone());
        children
    }

    /// The children of every value so far, with those of [`OTHER`].
    #[cfg(test)]
    fn values(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).len() + 1
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Opts;

    use super::*;

    #[test]
    fn the_first_values_have_their_own_name_and_all_others_share_one() {
        let overflow = IntCounterVec::new(Opts::new("overflow_total", "x"), &["label"]).unwrap();
        let guard = LabelGuard::new("node", 2, &overflow, str::to_owned);
        let of = |value: &str| guard.of(value, str::to_owned);
        assert_eq!([of("a"), of("b"), of("c"), of("d"), of("a"), of("c")], ["a", "b", OTHER, OTHER, "a", OTHER]);
        assert_eq!(overflow.with_label_values(&["node"]).get(), 3);
        assert_eq!(guard.values(), 3, "what is beyond the bound is not kept");
    }
}
