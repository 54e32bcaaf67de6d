//! `graft` as people and programs use it: the real binary against a daemon in this process, with a real worker.
mod bench;
mod contexts;
mod dev;
mod errors;
mod graphs;
mod here;
mod offline;
mod readme;
mod schemas;
mod screens;
mod shape;
mod terminal;
mod workflows;
