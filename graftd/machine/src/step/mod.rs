//! What commands have in common: one file per thing that a step does.
//!
//! [`turn`] is one command at the tables: it reads, writes, and collects events and effects. [`fence`] decides whether a result still
//! counts. [`create`] makes tasks and fan-outs, [`ready`] moves tasks between waiting and ready and keeps their indexes, [`scopes`] closes
//! joins upwards, [`failure`] retries or gives up, [`wake`] tells blocked tasks that the state changed, [`ending`] changes a workflow's
//! status, and [`sweep`] and [`retention`] follow a flag over many tasks in bounded steps.
//!
//! A workflow is loaded once, changed as a value and saved once, by the command; everything here takes it as `&mut Workflow`.

pub(crate) mod create;
pub(crate) mod ending;
pub(crate) mod failure;
pub(crate) mod fence;
pub(crate) mod ready;
pub(crate) mod retention;
pub(crate) mod scopes;
pub(crate) mod sweep;
pub(crate) mod turn;
pub(crate) mod wake;

pub(crate) use turn::Turn;
