//! `graft` as people and programs use it: the real binary against a daemon in this process, with a real worker.
mod bench;
mod dev;
mod errors;
mod here;
mod readme;
mod terminal;
mod workflows;
