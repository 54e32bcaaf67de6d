//! Between the public messages and the machine's types, one file per noun.
//!
//! Everything that users write passes here, and is checked here: shape, size, depth, encoding, names. What a function of this crate
//! refuses, it refuses with the object, the reason and the bound. The machine checks again what its invariants depend on.
//!
//! It is a crate of its own because two engines need it: the daemon, and the one without a server that the SDK puts into tests of workflows.

pub mod cursors;
pub mod dead_letters;
pub mod events;
pub mod names;
pub mod outcomes;
pub mod payload;
pub mod rejections;
pub mod tasks;
pub mod workflows;
