//! A real `graftd` on a data directory that is not as it should be: damaged, cut, exchanged, of another version. It says which file, why and
//! what to do, ends with the exit code that is documented, and changes nothing: with the good file back, everything is there.
//!
//! How redb's own pages are guarded against flipped bits is tried a thousand times in `graftd/tests/storage/damage.rs`, without processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use graft_client::{Client, Next};
use graft_machine::command::{ENTRY_FORMAT, Envelope, LogEntry, MACHINE_VERSION};
use graft_tests::loop_sim::rng::Rng;
use graft_tests::member::{Member, Trust, free_port};
use graft_tests::{alone, figure};
use graftd::storage::{LogOptions, LogStore, StoredEntry};
use prost::Message;
use serde_json::{Value, json};

/// The exit codes of `graftd/ARCHITECTURE.md`.
const DATA: i32 = 65;
const OTHER_CLUSTER: i32 = 77;
const CONFIG: i32 = 78;
/// What only a member that was formed has.
const FILES: [&str; 5] = ["identity", "promise.json", "cluster.json", "log.redb", "state.redb"];
const WORKFLOWS: usize = 30;

/// A member that has done something, and a copy of its data directory from when it had ended.
struct Patient {
    member: Member,
    good: PathBuf,
    _dir: tempfile::TempDir,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("a readable folder");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.expect("a readable folder");
        (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("a readable file"))
    };
    fs::read_dir(dir).expect("a folder").map(read).collect()
}

impl Patient {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut member = Member::prepare(dir.path(), "m1", &[], &Trust::new(), (free_port(), free_port()), "");
        member.start();
        member.ready().await;
        let client = Client::connect(member.url()).expect("an address");
        for n in 0..WORKFLOWS {
            let start = client.start(format!("order-{n}")).state(&json!({ "n": n, "text": "x".repeat(n * 40) })).expect("JSON");
            start.node(Next::named("nobody", ())).await.expect("started");
        }
        assert!(member.terminate().await.success());
        let good = dir.path().join("good");
        copy(&member.data_dir(), &good);
        Self { member, good, _dir: dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.member.data_dir().join(name)
    }

    fn good(&self, name: &str) -> Vec<u8> {
        fs::read(self.good.join(name)).expect("the good file")
    }

    /// As it was when it had ended.
    fn heal(&self) {
        fs::remove_dir_all(self.member.data_dir()).expect("removed");
        copy(&self.good, &self.member.data_dir());
    }

    /// It refuses, says why, and has changed no small file and made none. Then the good file is put back, alone, and everything is there.
    async fn refuses(&mut self, file: &str, expected: i32, words: &[&str], how: &str) {
        let before = contents(&self.member.data_dir());
        let (code, said) = self.member.run_to_its_end().await;
        assert_eq!(code, Some(expected), "{how}: {said}");
        assert!(said.contains(file) && said.contains('→'), "{how}: it names the file and says what to do:\n{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{how}: {words:?} in\n{said}");
        let after = contents(&self.member.data_dir());
        assert!(before.keys().eq(after.keys()), "{how}: {:?} became {:?}", before.keys(), after.keys());
        // redb notes in its files that they are open, and takes that back: what is in them is looked at below.
        for (name, bytes) in before.iter().filter(|(name, _)| !name.ends_with(".redb")) {
            assert_eq!(*bytes, after[name], "{how}: {name} was changed");
        }
        fs::write(self.file(file), self.good(file)).expect("the good file");
        self.is_well(how).await;
    }

    /// It starts, and everything is there.
    async fn is_well(&mut self, how: &str) {
        self.member.start();
        self.member.ready().await;
        let client = Client::connect(self.member.url()).expect("an address");
        for n in 0..WORKFLOWS {
            let found = client.workflow(format!("order-{n}")).get().await.unwrap_or_else(|error| panic!("{how}: {error}"));
            let state: Value = found.state_as().expect("JSON");
            assert_eq!(state, json!({ "n": n, "text": "x".repeat(n * 40) }), "{how}: a wrong answer");
        }
        assert!(self.member.terminate().await.success(), "{how}");
        self.heal();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_empty_cut_or_garbage_is_refused_by_name_and_nothing_is_lost() {
    let _alone = alone().await;
    let mut patient = Patient::new().await;
    let rng = &mut Rng::new(13);
    let mut cases = 0;
    for file in FILES {
        let good = patient.good(file);
        let length = good.len();
        let garbage: Vec<u8> = (0..length).map(|_| rng.next() as u8).collect();
        // What nobody needs any more may be missing: the promise, and the marker, which the log knows.
        if !matches!(file, "promise.json" | "cluster.json") {
            fs::remove_file(patient.file(file)).expect("removed");
            patient.refuses(file, DATA, &["is missing"], &format!("{file} missing")).await;
        }
        let cuts = [0, 1, length / 3, length / 2, length - 2].map(|cut| good[..cut].to_vec());
        for image in cuts.into_iter().chain([garbage, b"{}".to_vec(), vec![0; length]]) {
            fs::write(patient.file(file), &image).expect("written");
            patient.refuses(file, DATA, &[], &format!("{file} of {} bytes instead of {length}", image.len())).await;
            cases += 1;
        }
    }
    for file in ["promise.json", "cluster.json"] {
        fs::remove_file(patient.file(file)).expect("removed");
        patient.is_well(&format!("{file} missing")).await;
    }
    figure(format_args!("{cases} damaged directories, each refused, each healed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_are_refused_or_do_no_harm() {
    const FLIPS: u64 = 8;
    let _alone = alone().await;
    let mut patient = Patient::new().await;
    let (mut refused, mut harmless) = (0, 0);
    for file in FILES {
        for seed in 0..FLIPS {
            let mut image = patient.good(file);
            let bit = Rng::new(seed).below(8 * image.len() as u64) as usize;
            image[bit / 8] ^= 1 << (bit % 8);
            fs::write(patient.file(file), &image).expect("written");
            let how = format!("bit {bit} of {file} flipped");
            let before = patient.member.log().len();
            patient.member.start();
            // Either it ends with the code for data, or it is ready and right.
            match patient.member.ended_or_ready().await {
                Some((code, said)) => {
                    let said = &said[before..];
                    // A flipped letter of the cluster's name makes it another cluster's.
                    let named = code == Some(DATA) && said.contains(file) || code == Some(OTHER_CLUSTER) && file == "cluster.json";
                    assert!(named && said.contains('→'), "{how}: {code:?} {said}");
                    refused += 1;
                    fs::write(patient.file(file), patient.good(file)).expect("the good file");
                }
                None => {
                    assert!(patient.member.terminate().await.success(), "{how}");
                    harmless += 1;
                    fs::write(patient.file(file), &image).expect("once more, as it was");
                }
            }
            patient.is_well(&how).await;
        }
    }
    figure(format_args!("{refused} flipped bits were refused, {harmless} did no harm"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_another_member_and_of_another_cluster_are_refused() {
    let _alone = alone().await;
    let (mut patient, other) = (Patient::new().await, Patient::new().await);
    for file in FILES {
        if file == "promise.json" {
            // It was kept, and counts for nothing any more.
            continue;
        }
        fs::write(patient.file(file), other.good(file)).expect("written");
        let named = if file == "identity" { "cluster.json" } else { file };
        let before = contents(&patient.member.data_dir());
        let (code, said) = patient.member.run_to_its_end().await;
        assert_eq!(code, Some(DATA), "{file}: {said}");
        assert!(said.contains(named) && said.contains('→'), "{file}: {said}");
        assert!(before.keys().eq(contents(&patient.member.data_dir()).keys()));
        fs::write(patient.file(file), patient.good(file)).expect("the good file");
        patient.is_well(file).await;
    }
    // The whole directory, and another name in the configuration.
    patient.member.reconfigure(|text| text.replace("name = \"m1\"", "name = \"m2\""));
    let (code, said) = patient.member.run_to_its_end().await;
    assert!(code == Some(CONFIG) && said.contains("belongs to member `m1`") && said.contains('→'), "{said}");
    patient.member.reconfigure(|text| text.replace("name = \"m2\"", "name = \"m1\""));
    patient.is_well("with its own name").await;
}

/// What `consensus` writes around commands: see its codec.
#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    index: u64,
    #[prost(bytes = "vec", tag = "4")]
    commands: Vec<u8>,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_version_wrote_is_refused_and_left_alone() {
    let _alone = alone().await;
    let mut patient = Patient::new().await;
    for file in ["identity", "promise.json", "cluster.json"] {
        let text = String::from_utf8(patient.good(file)).expect("JSON").replacen("\"format\": 1", "\"format\": 2", 1);
        fs::write(patient.file(file), text).expect("written");
        patient.refuses(file, DATA, &["format 2", "reads 1"], &format!("{file} of format 2")).await;
    }
    for (format, machine_version) in [(ENTRY_FORMAT + 1, MACHINE_VERSION), (ENTRY_FORMAT, MACHINE_VERSION + 1)] {
        let (log, recovered) =
            LogStore::open(&patient.file("log.redb"), LogOptions { cache_bytes: 1 << 20, tail_bytes: 0 }, None).expect("a good log");
        let last = recovered.last.expect("entries");
        let term = Entry::decode(last.bytes).expect("an entry").term;
        let commands = LogEntry { format, machine_version, time: 1, commands: vec![Envelope::default()] }.encode_to_vec();
        // A log id counts from 0, what is stored from 1.
        let entry = Entry { term, index: last.index, commands };
        let (done, written) = std::sync::mpsc::channel();
        let stored = StoredEntry { index: last.index + 1, bytes: entry.encode_to_vec().into() };
        log.append(vec![stored], Box::new(move |outcome| done.send(outcome).expect("waited for")));
        written.recv().expect("told").expect("a good disk");
        log.close();
        drop(log);
        let words = [format!("format {format} and machine version {machine_version}")];
        patient.refuses("log.redb", DATA, &[&words[0], "a newer version wrote it"], "a newer entry").await;
    }
    // Another format of the file of the database itself: redb's header says it in its first bytes.
    for file in ["log.redb", "state.redb"] {
        let mut image = patient.good(file);
        image[..9].copy_from_slice(b"newredb2\n");
        fs::write(patient.file(file), &image).expect("written");
        patient.refuses(file, DATA, &[], &format!("{file} of another kind")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_do_not_share_a_directory() {
    let _alone = alone().await;
    let mut patient = Patient::new().await;
    patient.member.start();
    patient.member.ready().await;
    let before = contents(&patient.member.data_dir());
    let mut second = patient.member.second(free_port());
    let (code, said) = second.run_to_its_end().await;
    assert!(code == Some(75) && said.contains("another graftd is running on it") && said.contains('→'), "{code:?} {said}");
    assert!(before.keys().eq(contents(&patient.member.data_dir()).keys()));
    assert!(patient.member.terminate().await.success());
    patient.is_well("after the second one was refused").await;
}
