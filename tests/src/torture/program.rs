//! Workflows as small programs that are drawn from a seed: who knows seed and number knows every task of it, and the exact state it must end in.
//!
//! A program travels in the config of its first task; each task hands the rest on to what it creates. Every task that is executed leaves one
//! [`Mark`] in the state. What the marks must be is told by the program alone ([`Program::check`]): each of its steps exactly once, after
//! whatever it had to wait for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::loop_sim::rng::Rng;

/// Most steps on one line of a program.
const CHAIN_MAX: u64 = 5;
/// Widest fan-out.
const WIDTH_MAX: u64 = 6;
/// How deep fan-outs lie in each other, at most.
const DEPTH_MAX: u32 = 2;

/// Name of the node that does something, and nothing else.
pub const ACT: &str = "act";
/// Name of the node that waits until another step has left its mark.
pub const GATE: &str = "gate";
/// Name of the node that fails for good until an operator has patched the state.
pub const LETTER: &str = "letter";
/// Name of the node of which few attempts run at once, in the whole cluster.
pub const NARROW: &str = "narrow";

/// One step and all that follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its number: no two steps of a workflow have the same one.
    pub step: u32,
    /// What it does.
    #[serde(default, skip_serializing_if = "Does::is_act")]
    pub does: Does,
    /// So many of its attempts fail on purpose.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fails: u32,
    /// How long it takes, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub takes_ms: u32,
    /// Steps that follow it, at the same time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<Program>,
    /// Steps that it fans out to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fan: Vec<Program>,
    /// What follows when all of those, and all that they start, are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Box<Program>>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Does {
    /// Leaves its mark.
    #[default]
    Act,
    /// Cannot start before this step has left its mark.
    Gate(u32),
    /// Fails for good until the state has been patched.
    Letter,
    /// Leaves its mark, when there is room for it.
    Narrow,
}

impl Does {
    fn is_act(&self) -> bool {
        *self == Self::Act
    }

    /// The node that does it.
    pub fn node(self) -> &'static str {
        match self {
            Self::Act => ACT,
            Self::Gate(_) => GATE,
            Self::Letter => LETTER,
            Self::Narrow => NARROW,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "that is how serde asks")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What an execution leaves in the state: the step, and the number of the execution, which the ledger knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark(pub u32, pub u64);

/// The state of a workflow that runs a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// One for each task whose result was applied, in the order of the log.
    #[serde(default)]
    pub done: Vec<Mark>,
    /// Counts the same, by another operation.
    #[serde(default)]
    pub count: u64,
    /// What an operator has patched in.
    #[serde(default)]
    pub redriven: Option<u64>,
}

/// What is wrong with the marks of a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A step of the program left no mark.
    Missing(String),
    /// A step left more than one.
    Twice(String),
    /// The marks are neither, and still not what they must be.
    Otherwise(String),
}

impl Program {
    /// The program of a workflow.
    pub fn of(seed: u64, number: u64) -> Self {
        let mut rng = Rng::new(seed ^ number.wrapping_mul(0xA24B_AED4_963E_E407));
        rng.next();
        let mut steps = 0;
        let mut program = line(&mut rng, &mut steps, 0);
        if rng.chance(20) {
            program.does = Does::Letter;
        }
        program
    }

    /// Whether an operator has to help it.
    pub fn needs_help(&self) -> bool {
        self.does == Does::Letter
    }

    /// Calls with each step and the one that it comes after.
    fn each<'a>(&'a self, after: Option<u32>, see: &mut impl FnMut(&'a Self, Option<u32>)) {
        see(self, after);
        for next in self.next.iter().chain(&self.fan).chain(self.join.as_deref()) {
            next.each(Some(self.step), see);
        }
    }

    /// How many tasks it is.
    pub fn steps(&self) -> u32 {
        let mut steps = 0;
        self.each(None, &mut |_, _| steps += 1);
        steps
    }

    /// Numbers of this step and all that follow it.
    fn all_steps(&self) -> Vec<u32> {
        let mut steps = Vec::new();
        self.each(None, &mut |program, _| steps.push(program.step));
        steps
    }

    /// What is wrong with these marks, left by a run that has completed.
    pub fn check(&self, marks: &Marks) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut places: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, Mark(step, _)) in marks.done.iter().enumerate() {
            places.entry(*step).or_default().push(at);
        }
        let first = |step: u32| places.get(&step).and_then(|places| places.first().copied());
        let mut known = Vec::new();
        self.each(None, &mut |program, after| {
            known.push(program.step);
            let step = program.step;
            match places.get(&step).map(Vec::as_slice) {
                None => wrong.push(Wrong::Missing(format!("step {step} left no mark"))),
                Some([at]) => {
                    if let Some(before) = after.and_then(first).filter(|before| before > at) {
                        wrong.push(Wrong::Otherwise(format!("step {step} stands at {at}, before the step that made it, at {before}")));
                    }
                }
                Some(places) => wrong.push(Wrong::Twice(format!("step {step} left {} marks", places.len()))),
            }
            if let Does::Gate(on) = program.does
                && first(step).is_some_and(|at| first(on).is_none_or(|on| on > at))
            {
                wrong.push(Wrong::Otherwise(format!("step {step} did not wait for step {on}")));
            }
            if let (Some(join), Some(at)) = (&program.join, program.join.as_ref().and_then(|join| first(join.step))) {
                let late = program.fan.iter().flat_map(Self::all_steps).find(|leaf| first(*leaf).is_none_or(|leaf| leaf > at));
                if let Some(late) = late {
                    wrong.push(Wrong::Otherwise(format!("join {} fired before step {late} was done", join.step)));
                }
            }
        });
        wrong.extend(places.keys().filter(|step| !known.contains(step)).map(|step| Wrong::Otherwise(format!("there is no step {step}"))));
        if marks.count != marks.done.len() as u64 {
            wrong.push(Wrong::Otherwise(format!("{} marks were appended and {} counted", marks.done.len(), marks.count)));
        }
        wrong
    }
}

fn number(steps: &mut u32) -> u32 {
    *steps += 1;
    *steps
}

/// A chain of steps, some of which fan out.
fn line(rng: &mut Rng, steps: &mut u32, depth: u32) -> Program {
    let length = rng.between(1, CHAIN_MAX + 1);
    segment(rng, steps, depth, length)
}

fn segment(rng: &mut Rng, steps: &mut u32, depth: u32, left: u64) -> Program {
    let mut program = one(rng, steps);
    if depth < DEPTH_MAX && rng.chance(if depth == 0 { 250 } else { 150 }) {
        let width = rng.between(2, WIDTH_MAX + 1);
        program.fan = (0..width).map(|_| segment(rng, steps, depth + 1, rng.clone().between(1, 3))).collect();
        if rng.chance(300) {
            // One of them opens what another one waits for.
            let opens = program.fan[0].step;
            let mut gate = one(rng, steps);
            gate.does = Does::Gate(opens);
            program.fan.push(gate);
        }
        let mut join = one(rng, steps);
        if left > 1 {
            join.next.push(segment(rng, steps, depth, left - 1));
        }
        program.join = Some(Box::new(join));
    } else if left > 1 {
        program.next.push(segment(rng, steps, depth, left - 1));
    }
    program
}

fn one(rng: &mut Rng, steps: &mut u32) -> Program {
    let takes_ms = match rng.below(100) {
        0..80 => 0,
        80..97 => rng.between(5, 60),
        _ => rng.between(200, 1_500),
    };
    let fails = if rng.chance(60) { rng.between(1, 3) } else { 0 };
    let mut program = Program { step: number(steps), takes_ms: takes_ms as u32, fails: fails as u32, ..Program::default() };
    if rng.chance(40) {
        // Long enough that others wait for it.
        (program.does, program.takes_ms) = (Does::Narrow, rng.between(5, 60) as u32);
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marks as an execution of it would leave them, one step after the other.
    fn marks(program: &Program) -> Marks {
        fn visit(program: &Program, done: &mut Vec<Mark>) {
            done.push(Mark(program.step, u64::from(program.step)));
            program.fan.iter().chain(&program.next).chain(program.join.as_deref()).for_each(|next| visit(next, done));
        }
        let mut done = Vec::new();
        visit(program, &mut done);
        Marks { count: done.len() as u64, done, redriven: None }
    }

    fn with_join(seed: u64) -> Program {
        (0..).map(|number| Program::of(seed, number)).find(|program| program.join.is_some()).expect("there is one")
    }

    #[test]
    fn a_seed_gives_the_same_programs_again_and_travels_as_json() {
        for number in 0..200 {
            let program = Program::of(7, number);
            assert_eq!(program, Program::of(7, number));
            assert_eq!(program, serde_json::from_str(&serde_json::to_string(&program).unwrap()).unwrap());
            assert!(program.steps() >= 1 && program.check(&marks(&program)).is_empty(), "{program:?}");
        }
        let kinds = |does: fn(&Does) -> bool| {
            (0..2_000).any(|number| {
                let (program, mut found) = (Program::of(7, number), false);
                program.each(None, &mut |step, _| found |= does(&step.does));
                found
            })
        };
        assert!(kinds(|does| matches!(does, Does::Gate(_))) && kinds(|does| matches!(does, Does::Letter | Does::Narrow)));
    }

    #[test]
    fn a_step_without_a_mark_is_missing_and_one_with_two_is_doubled() {
        let program = Program::of(1, 3);
        let mut marks = marks(&program);
        let last = marks.done.pop().unwrap();
        marks.count -= 1;
        assert!(matches!(program.check(&marks)[..], [Wrong::Missing(_)]));
        marks.done.extend([last, last]);
        marks.count += 2;
        assert!(matches!(program.check(&marks)[..], [Wrong::Twice(_)]));
    }

    #[test]
    fn a_join_that_fires_too_early_is_found() {
        let program = with_join(5);
        let mut marks = marks(&program);
        let join = program.join.as_ref().unwrap().step;
        let at = marks.done.iter().position(|mark| mark.0 == join).unwrap();
        let join = marks.done.remove(at);
        marks.done.insert(1, join);
        assert!(program.check(&marks).iter().any(|wrong| matches!(wrong, Wrong::Otherwise(why) if why.contains("fired before"))));
    }

    #[test]
    fn an_increment_that_was_lost_is_found_and_so_is_a_step_that_nobody_asked_for() {
        let program = Program::of(1, 3);
        let mut marks = marks(&program);
        marks.count -= 1;
        assert!(matches!(program.check(&marks)[..], [Wrong::Otherwise(_)]));
        marks.done.push(Mark(900, 1));
        marks.count += 2;
        assert!(matches!(program.check(&marks)[..], [Wrong::Otherwise(_)]));
    }
}
