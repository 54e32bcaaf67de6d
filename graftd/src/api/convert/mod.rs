//! Between the public messages and the machine's types, one file per noun.
//!
//! Everything that users write passes here, and is checked here: shape, size, depth, encoding, names. What a function of this folder
//! refuses, it refuses with the object, the reason and the bound. The machine checks again what its invariants depend on.

pub mod cursors;
pub mod events;
pub mod names;
pub mod outcomes;
pub mod payload;
pub mod sessions;
pub mod tasks;
pub mod workflows;
