//! The defects of the Go original that Graft grew out of, one test each, so that none of them comes back.
//!
//! Each was measured there (or found by reading it), and each test here does what showed it: with the real client against a real daemon,
//! and against processes where the defect was one of crashes or of several members. Run one with
//! `cargo test -p graft-tests --test seed_defects seed_defect_09`.
//!
//! | number | defect | where |
//! |---|---|---|
//! | 1 | pausing dropped work, and the workflow counted as completed | `control` |
//! | 2 | stopping did not stop | `control` |
//! | 3 | a workflow with a dead letter counted as completed | `control` |
//! | 4 | redriving a dead letter froze the queue | `control` |
//! | 5 | a node that could not start was asked in a hot loop | `flow` |
//! | 6 | priorities were ignored | `flow` |
//! | 7 | idempotency keys were ignored | `flow` |
//! | 8 | a start overwrote the running workflow of its id | `flow` |
//! | 9 | claimers raced: work was done twice, or held by nobody | `flow` |
//! | 10 | thirteen writes for one node | `flow` |
//! | 11 | the state machine read the clock | `members` |
//! | 12 | a merge could not set false, 0, "" or null; arrays grew at each retry | `merging` |
//! | 13 | state and next nodes were written apart | `members` |
//! | 14 | overload ended in dead letters | `flow` |
//! | 15 | the id of a foreign cluster was adopted | `members` |
//! | 16 | what was declared was wired to nothing | `declared` |
//! | 17 | the first example of the README did not compile | `declared` |

mod control;
mod declared;
mod flow;
mod members;
mod merging;
