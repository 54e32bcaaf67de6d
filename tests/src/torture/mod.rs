//! The torture: a cluster of real processes under real load, while everything breaks that this machine can break; and a judge.
//!
//! Simulations look at millions of moments of a model of the world. This looks at a few in the world itself: real binaries, sockets, files,
//! signals, schedulers. It knows nothing of how Graft works inside. It knows what Graft promised: what was acknowledged is there, an effect
//! happens at most once, every accepted workflow comes to its end, and reads see what was acknowledged before they were asked.
//!
//! How a run goes ([`run`]):
//!
//! 1. [`arena`] starts members and workers; the torture's own binary is all three. [`load`] starts workflows at a steady rate through all
//!    members, each a random [`program`] whose every task leaves one mark in the state; [`registers`] are written and read by several clients.
//! 2. [`nemesis`] takes rounds from the [`plan`] that the seed gives, at least two [`faults`] at a time, and heals them.
//! 3. Meanwhile [`oracle`] and [`history`] keep what was asked and answered, with the times; workers write to the [`ledger`], which is no
//!    part of Graft, what they executed; [`stalls`] measures how long nothing moved.
//! 4. [`settle`] gives everything a minute to end, and reads it. [`replicas`] compares the members with each other. [`judge`] compares what is
//!    there with what was acknowledged and executed; what the [`leases`] tell must fit it; histories must be [`linearizable`]. [`report`].
//!
//! What makes it worth something: the judge is a pure function of plain data, and its tests put falsified evidence before it. A fault is
//! counted only where it was really done; one that this machine cannot do is refused by name, and never left out in silence.
//!
//! What it does not do: it does not repeat a run exactly. A seed repeats the workflows, the faults and their times; who led when, and which
//! packet came first, are the world's.

pub mod arena;
pub mod faults;
pub mod history;
pub mod judge;
pub mod leases;
pub mod ledger;
pub mod linearizable;
pub mod load;
pub mod nemesis;
pub mod oracle;
pub mod plan;
pub mod power_cuts;
pub mod program;
pub mod registers;
pub mod replicas;
pub mod report;
pub mod run;
pub mod settle;
pub mod stalls;
pub mod wall_clock;
pub mod worker;
