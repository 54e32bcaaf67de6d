//! What is asked for, and what a seed makes of it: rounds of faults, at least two of them at a time where there are two.
//!
//! A plan names victims by their place (the leader, any follower), since who leads is known only when the fault begins. So a seed repeats the
//! faults and their times; what they meet is as real as everything else here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::loop_sim::rng::Rng;

/// Everything that can be done to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `kill -9` of a member or a worker. Members lie on disks that lose what was not synced: it is a power cut of one machine.
    Kill,
    /// SIGSTOP, for longer than a lease or not, of a member or a worker; SIGCONT later.
    Pause,
    /// Members or workers that do not hear each other at all.
    Partition,
    /// One hears, the other does not.
    OneWay,
    /// Every sync takes long.
    SlowDisk,
    /// The disk has no room, or hardly any.
    DiskFull,
    /// A wall clock that jumps.
    Clock,
    /// Members that are taken out, come back with an empty disk, or join for the first time.
    Membership,
    /// Leadership is handed over.
    Transfer,
    /// All members are killed at once.
    RestartAll,
    /// A minority is paused, one of the others loses power and comes back, and then the rest is paused and the first go on.
    PauseKill,
    /// The same, with members cut off instead of paused.
    PartKill,
}

/// All kinds, by the names of the command line.
pub const KINDS: [(Kind, &str); 12] = [
    (Kind::Kill, "kill"),
    (Kind::Pause, "pause"),
    (Kind::Partition, "partition"),
    (Kind::OneWay, "one-way"),
    (Kind::SlowDisk, "slow-disk"),
    (Kind::DiskFull, "disk-full"),
    (Kind::Clock, "clock"),
    (Kind::Membership, "membership"),
    (Kind::Transfer, "transfer"),
    (Kind::RestartAll, "restart-all"),
    (Kind::PauseKill, "pause-kill"),
    (Kind::PartKill, "part-kill"),
];

impl Kind {
    /// Its name on the command line and in the report.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// Whether it begins only while nobody is broken.
    pub fn needs_all_whole(self) -> bool {
        matches!(self, Self::Membership | Self::PauseKill | Self::PartKill)
    }

    /// Whether members have to be in network namespaces for it.
    pub fn needs_network(self) -> bool {
        matches!(self, Self::Partition | Self::OneWay | Self::PartKill)
    }
}

/// A bug that is planted, to see that the judge finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// From the formation of the cluster on, disks say that they have synced, and have not.
    LyingDisk,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Members.
    pub members: usize,
    /// How long faults go on.
    pub time: Duration,
    /// The seed.
    pub seed: u64,
    /// Which faults.
    pub kinds: Vec<Kind>,
    /// Of all kinds, those that this machine cannot do, and why. Empty if they were not asked for.
    pub impossible: BTreeMap<String, String>,
    /// Workflows started per second, at most.
    pub rate: u64,
    /// Worker processes.
    pub workers: usize,
    /// Whether the report is JSON.
    pub json: bool,
    /// Stop after so many power cuts, instead of after a time.
    pub power_cuts: Option<u64>,
    /// A bug that is planted.
    pub planted: Option<Planted>,
    /// Where logs and data go; otherwise a temporary directory, which stays if something is wrong.
    pub dir: Option<PathBuf>,
}

/// What `-h` prints.
pub const HELP: &str = "\
torture: real members and workers under load while things break; an oracle judges what is left.

usage: torture [flags]
  --members 1|3|5|7     members of the cluster (3)
  --minutes M           how long faults go on (1; fractions are allowed)
  --seed S              what the faults and the workflows are drawn from (1)
  --faults A,B,..       kill, pause, partition, one-way, slow-disk, disk-full, clock, membership, transfer, restart-all,
                        pause-kill, part-kill; `all` is all that this machine can do (kill,pause,transfer,restart-all)
  --power-cuts N        instead of a time: power is cut N times, of one member, a minority, or all at once
  --rate N              workflows started per second, at most (80)
  --workers N           worker processes (3)
  --planted lying-disk  disks that say that they have synced, and have not: the run has to fail
  --dir DIR             where logs and data go, and stay; otherwise they stay only if something is wrong
  -o json|text          how the report is printed (text)

Partitions, one-way and part-kill put every process into a network namespace: they need root, `ip` and `nft` (Debian: iproute2, nftables).
disk-full mounts file systems in memory: root. clock preloads libfaketime (Debian: faketime).
Ends with 1 if something was lost, doubled, stuck or not linearizable, with 2 if it cannot do what is asked.
";

/// What a command line comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A run.
    Run(Box<Asked>),
    /// The help.
    Help,
}

impl Asked {
    /// Reads a command line. `possible` says why a kind cannot be done here: `all` leaves it out, and who names it is refused.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(words: impl IntoIterator<Item = String>, possible: impl Fn(Kind) -> Result<(), String>) -> Result<Parsed, String> {
        let mut asked = Self {
            members: 3,
            time: Duration::from_secs(60),
            seed: 1,
            kinds: vec![Kind::Kill, Kind::Pause, Kind::Transfer, Kind::RestartAll],
            impossible: BTreeMap::new(),
            rate: 80,
            workers: 3,
            json: false,
            power_cuts: None,
            planted: None,
            dir: None,
        };
        let mut words = words.into_iter();
        while let Some(flag) = words.next() {
            if matches!(flag.as_str(), "-h" | "--help") {
                return Ok(Parsed::Help);
            }
            let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
            let number = || value.replace('_', "").parse::<u64>().map_err(|_| format!("{flag} {value}: no number"));
            let between = |least: u64, most: u64| match number()? {
                found if (least..=most).contains(&found) => Ok(found),
                found => Err(format!("{flag} {found}: from {least} to {most} are allowed")),
            };
            match flag.as_str() {
                "--members" if matches!(value.as_str(), "1" | "3" | "5" | "7") => asked.members = number()? as usize,
                "--members" => return Err(format!("--members {value}: 1, 3, 5 or 7")),
                "--minutes" => {
                    let minutes: f64 = value.parse().map_err(|_| format!("--minutes {value}: no number"))?;
                    asked.time = Duration::try_from_secs_f64(minutes * 60.0).map_err(|error| format!("--minutes {value}: {error}"))?;
                }
                "--seed" => asked.seed = number()?,
                "--rate" => asked.rate = between(1, 2_000)?,
                "--workers" => asked.workers = between(1, 16)? as usize,
                "--power-cuts" => asked.power_cuts = Some(between(1, 1_000_000)?),
                "--planted" if value == "lying-disk" => asked.planted = Some(Planted::LyingDisk),
                "--planted" => return Err(format!("--planted {value}: there is lying-disk")),
                "--dir" => asked.dir = Some(value.into()),
                "-o" | "--output" => {
                    asked.json = match value.as_str() {
                        "json" => true,
                        "text" => false,
                        _ => return Err(format!("{flag} {value}: json or text")),
                    }
                }
                "--faults" if value == "all" => {
                    asked.kinds.clear();
                    for (kind, name) in KINDS {
                        match possible(kind) {
                            Ok(()) => asked.kinds.push(kind),
                            Err(why) => drop(asked.impossible.insert(name.to_owned(), why)),
                        }
                    }
                }
                "--faults" => {
                    asked.kinds = value.split(',').filter(|name| !name.is_empty()).map(kind_named).collect::<Result<_, _>>()?;
                    asked.kinds.sort_unstable();
                    asked.kinds.dedup();
                }
                _ => return Err(format!("unknown: {flag}; -h says what there is")),
            }
        }
        if asked.power_cuts.is_some() {
            asked.kinds.clear();
        }
        for kind in &asked.kinds {
            possible(*kind).map_err(|why| format!("--faults {}: not possible here: {why}", kind.name()))?;
        }
        Ok(Parsed::Run(Box::new(asked)))
    }

    /// The command that repeats this run.
    pub fn command(&self) -> String {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        let what = match self.power_cuts {
            Some(cuts) => format!("--power-cuts {cuts}"),
            None => format!("--minutes {} --faults {}", self.time.as_secs_f64() / 60.0, kinds.join(",")),
        };
        let planted = if self.planted.is_some() { " --planted lying-disk" } else { "" };
        format!(
            "cargo run --release -p graft-tests --bin torture -- --members {} {what} --seed {} --rate {} --workers {}{planted} -o json",
            self.members, self.seed, self.rate, self.workers,
        )
    }

    /// Whether there is a member more, which joins later.
    pub fn has_spare(&self) -> bool {
        self.kinds.contains(&Kind::Membership)
    }

    /// Most members that may be broken while the others go on.
    pub fn minority(&self) -> usize {
        (self.members - 1) / 2
    }
}

fn kind_named(name: &str) -> Result<Kind, String> {
    let known = || KINDS.map(|(_, name)| name).join(", ");
    KINDS.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind).ok_or_else(|| format!("--faults {name}: there are {}", known()))
}

/// How long faults stand, in milliseconds: some of them longer than a lease.
const HOLD_MS: std::ops::Range<u64> = 1_500..6_000;

/// Whom a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// Whoever leads when it begins.
    Leader,
    /// Any member, by a number that is taken around.
    Member(usize),
    /// Any worker, by a number that is taken around.
    Worker(usize),
}

/// One fault of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What.
    pub kind: Kind,
    /// Whose.
    pub victim: Victim,
    /// For whatever else the fault has to choose.
    pub dice: u64,
    /// How long after the one before it.
    pub after: Duration,
}

/// Faults that stand at the same time, and are healed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// The faults, in the order in which they begin.
    pub turns: Vec<Turn>,
    /// How long they stand.
    pub hold: Duration,
    /// How long nothing is done afterwards.
    pub calm: Duration,
    /// Whether more than a minority of members may be broken: then nobody is expected to go on before it is healed.
    pub beyond_minority: bool,
}

/// The rounds of a seed, without end.
#[derive(Clone, Debug)]
pub struct Rounds {
    rng: Rng,
    kinds: Vec<Kind>,
    /// Kinds that are still to come before all have been there: so that a short run does not miss any.
    fresh: Vec<Kind>,
    hold_max_ms: u64,
}

impl Rounds {
    /// Of these kinds. Faults stand for less long in a short run, so that there are several rounds in any.
    pub fn of(seed: u64, kinds: &[Kind], time: Duration) -> Self {
        let hold_max_ms = (time.as_millis() as u64 / 8).clamp(HOLD_MS.start + 500, HOLD_MS.end);
        Self { rng: Rng::new(seed ^ 0x5EED_FA17), kinds: kinds.to_vec(), fresh: Vec::new(), hold_max_ms }
    }

    fn kind(&mut self, beside: &[Turn]) -> Option<Kind> {
        if self.fresh.is_empty() {
            self.fresh.clone_from(&self.kinds);
        }
        let apart = |one: Kind, other: Kind| one != other && !(one.needs_all_whole() && other.needs_all_whole());
        let free = |kind: &Kind| beside.iter().all(|turn| apart(turn.kind, *kind));
        let mut choices: Vec<usize> = (0..self.fresh.len()).filter(|at| free(&self.fresh[*at])).collect();
        if choices.is_empty() {
            // Those that are left stand already: from all of them again.
            self.fresh.extend(self.kinds.iter().copied().filter(free));
            choices = (0..self.fresh.len()).filter(|at| free(&self.fresh[*at])).collect();
        }
        let at = *choices.get(self.rng.below(choices.len() as u64) as usize)?;
        Some(self.fresh.swap_remove(at))
    }

    fn turn(&mut self, kind: Kind) -> Turn {
        let workers_too = matches!(kind, Kind::Kill | Kind::Pause | Kind::Partition);
        let place = self.rng.below(64) as usize;
        let victim = match self.rng.below(100) {
            // Half of the faults meet the leader.
            0..50 => Victim::Leader,
            50..75 if workers_too => Victim::Worker(place),
            _ => Victim::Member(place),
        };
        Turn { kind, victim, dice: self.rng.next(), after: Duration::from_millis(self.rng.below(800)) }
    }
}

impl Iterator for Rounds {
    type Item = Round;

    fn next(&mut self) -> Option<Round> {
        let many = if self.rng.chance(300) { 3 } else { 2 };
        let mut turns: Vec<Turn> = Vec::new();
        for _ in 0..many.min(self.kinds.len()) {
            if let Some(kind) = self.kind(&turns) {
                let turn = self.turn(kind);
                turns.push(turn);
            }
        }
        turns.sort_by_key(|turn| !turn.kind.needs_all_whole());
        let beyond_minority = turns.iter().any(|turn| turn.kind == Kind::RestartAll) || self.rng.chance(300);
        Some(Round {
            turns,
            hold: Duration::from_millis(self.rng.between(HOLD_MS.start, self.hold_max_ms)),
            calm: Duration::from_millis(self.rng.between(500, 3_000)),
            beyond_minority,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn parse(line: &str) -> Result<Parsed, String> {
        let possible = |kind: Kind| if kind.needs_network() { Err("network namespaces need root".to_owned()) } else { Ok(()) };
        Asked::parse(line.split_whitespace().map(str::to_owned), possible)
    }

    fn asked(line: &str) -> Asked {
        match parse(line) {
            Ok(Parsed::Run(asked)) => *asked,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_command_line_says_what_is_done_and_the_command_that_repeats_it_says_the_same() {
        let read = asked("--members 5 --minutes 0.5 --seed 7 --faults kill,transfer,kill --rate 20 --workers 2 -o json");
        assert_eq!((read.members, read.time, read.seed, read.rate, read.json), (5, Duration::from_secs(30), 7, 20, true));
        assert_eq!(read.kinds, [Kind::Kill, Kind::Transfer]);
        assert_eq!(read.minority(), 2);
        let command = read.command();
        assert_eq!(asked(command.split_once(" -- ").unwrap().1), read);
        let cuts = asked("--power-cuts 500 --members 5");
        assert_eq!((cuts.power_cuts, cuts.kinds.len()), (Some(500), 0));
        assert_eq!(asked(cuts.command().split_once(" -- ").unwrap().1).power_cuts, Some(500));
    }

    #[test]
    fn what_cannot_be_done_here_is_refused_by_name_and_left_out_of_all() {
        let refused = parse("--faults kill,partition").unwrap_err();
        assert!(refused.contains("partition") && refused.contains("namespaces need root"), "{refused}");
        let Asked { kinds, impossible, .. } = asked("--faults all");
        assert!(kinds.contains(&Kind::DiskFull) && !kinds.iter().any(|kind| kind.needs_network()), "{kinds:?}");
        assert_eq!(impossible.into_keys().collect::<Vec<_>>(), ["one-way", "part-kill", "partition"]);
    }

    #[test]
    fn a_wrong_command_line_is_refused_with_the_word_that_is_wrong() {
        for (line, why) in [
            ("--members 4", "--members 4: 1, 3, 5 or 7"),
            ("--faults flood", "--faults flood: there are kill, pause"),
            ("--rate 0", "--rate 0: from 1 to 2000"),
            ("--minutes -1", "--minutes -1"),
            ("--seed", "--seed needs a value"),
            ("--what 1", "unknown: --what"),
            ("-o yaml", "-o yaml: json or text"),
            ("--planted x", "--planted x: there is lying-disk"),
        ] {
            let refused = parse(line).unwrap_err();
            assert!(refused.contains(why), "{line}: {refused}");
        }
        assert_eq!(parse("-h"), Ok(Parsed::Help));
    }

    #[test]
    fn a_seed_gives_the_same_rounds_and_every_kind_comes_before_long() {
        let kinds = KINDS.map(|(kind, _)| kind);
        let rounds: Vec<Round> = Rounds::of(3, &kinds, LONG).take(12).collect();
        assert_eq!(rounds, Rounds::of(3, &kinds, LONG).take(12).collect::<Vec<_>>());
        assert_ne!(rounds, Rounds::of(4, &kinds, LONG).take(12).collect::<Vec<_>>());
        for round in &rounds {
            assert!(round.turns.len() >= 2, "{round:?}");
            let mut once: Vec<Kind> = round.turns.iter().map(|turn| turn.kind).collect();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), round.turns.len(), "two of a kind at once: {round:?}");
        }
        let picky = |round: &Round| round.turns.iter().filter(|turn| turn.kind.needs_all_whole()).count();
        assert!(rounds.iter().all(|round| picky(round) <= 1), "two that need everybody whole: {rounds:?}");
        assert!(rounds.iter().all(|round| picky(round) == 0 || round.turns[0].kind.needs_all_whole()), "it comes first: {rounds:?}");
        let met = |kind: Kind| rounds.iter().any(|round| round.turns.iter().any(|turn| turn.kind == kind));
        assert!(kinds.iter().all(|kind| met(*kind)), "{rounds:?}");
    }

    #[test]
    fn a_single_kind_stands_alone() {
        let round = Rounds::of(1, &[Kind::Kill], LONG).next().unwrap();
        assert_eq!(round.turns.len(), 1);
    }
}
