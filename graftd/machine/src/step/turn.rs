//! One command at the tables: what it reads and writes, and the events and effects that it leaves.

use std::sync::Arc;

use crate::command::TimerRef;
use crate::derived::Changes;
use crate::effect::Effect;
use crate::event::{Event, Happened};
use crate::ids::{EventPos, Run, TaskId};
use crate::limits::DUE_RECORDS_MAX;
use crate::reply::{Answer, Done, Reply};
use crate::state::StateTx;
use crate::tables::{
    EventKey, Events, MetaRecord, RunEventKey, RunEvents, RunKey, TaskEvents, TaskKey, TimerKey, TimerKind, Timers, Workflows,
};
use crate::time::{Millis, Stamp};
use crate::workflow::Workflow;

/// One command's turn. It sees its own writes.
pub(crate) struct Turn<'a, S> {
    /// The tables.
    pub tx: &'a mut S,
    /// Where the command stands in the log.
    pub stamp: Stamp,
    /// The machine's time.
    pub now: Millis,
    /// Who asks.
    pub principal: &'a str,
    /// Who this cluster is.
    pub meta: Arc<MetaRecord>,
    /// History written so far.
    pub events: Vec<Arc<Event>>,
    /// Effects so far.
    pub effects: Vec<Effect>,
    /// What becomes of the counters of the whole cluster.
    pub counted: Changes,
    /// Records that clean-up steps may still touch.
    pub budget: usize,
}

impl<'a, S: StateTx> Turn<'a, S> {
    /// The beginning of a command's turn.
    pub(crate) fn new(tx: &'a mut S, stamp: Stamp, now: Millis, principal: &'a str, meta: Arc<MetaRecord>) -> Self {
        Self {
            tx,
            stamp,
            now,
            principal,
            meta,
            events: Vec::new(),
            effects: Vec::new(),
            counted: Changes::default(),
            budget: DUE_RECORDS_MAX,
        }
    }

    /// The workflow, as a value to be changed and saved.
    pub(crate) fn workflow(&self, run: Run) -> Option<Workflow> {
        self.tx.get::<Workflows>(&RunKey { run }).map(Arc::unwrap_or_clone)
    }

    /// Stores the workflow.
    pub(crate) fn save(&mut self, workflow: Workflow) {
        self.tx.put::<Workflows>(RunKey { run: workflow.run }, workflow);
    }

    /// Writes an event into the history.
    pub(crate) fn event(&mut self, workflow: &mut Workflow, happened: Happened) -> EventPos {
        workflow.events += 1;
        let run = workflow.run;
        let event = Arc::new(Event { run, number: workflow.events, at: self.now, happened: Some(happened) });
        let at = EventPos { index: self.stamp.index, ordinal: self.stamp.ordinal + self.events.len() as u32 };
        self.tx.put_shared::<Events>(EventKey { index: at.index, ordinal: at.ordinal }, event.clone());
        self.tx.put::<RunEvents>(RunEventKey { run, index: at.index, ordinal: at.ordinal }, ());
        self.events.push(event);
        at
    }

    /// Writes the event that resolves a task: repeats of its result are answered from there.
    pub(crate) fn resolution(&mut self, workflow: &mut Workflow, task: TaskId, happened: Happened) -> EventPos {
        let at = self.event(workflow, happened);
        self.tx.put::<TaskEvents>(TaskKey { run: workflow.run, task }, at);
        at
    }

    /// Sets a timer that does not stand yet, and announces it.
    pub(crate) fn set_timer(&mut self, due: Millis, kind: TimerKind, run: Run, task: TaskId) {
        self.tx.put::<Timers>(TimerKey { due, kind: kind as u8, run, task }, ());
        self.counted.timers(1);
        self.effects.push(Effect::TimerSet(TimerRef { due, kind: kind as i32, run, task }));
    }

    /// Deletes a timer, if it stands.
    pub(crate) fn clear_timer(&mut self, due: Millis, kind: TimerKind, run: Run, task: TaskId) {
        let key = TimerKey { due, kind: kind as u8, run, task };
        if self.tx.get::<Timers>(&key).is_some() {
            self.tx.delete::<Timers>(&key);
            self.counted.timers(-1);
        }
    }

    /// The answer to a command that is neither a start nor a result.
    pub(crate) fn done(&self, run: Run) -> Answer {
        let at =
            self.events.len().checked_sub(1).map(|last| EventPos { index: self.stamp.index, ordinal: self.stamp.ordinal + last as u32 });
        Ok(Reply::Done(Done { run, at, time: self.now }))
    }
}
