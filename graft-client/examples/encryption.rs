//! Encrypted payload: members keep, merge and hand out what they cannot read.
//!
//! A loan is applied for; bank and register are asked side by side. Whoever reads at a member, in its files or in a backup sees names of fields and how many
//! have been asked, and nothing of the applicant. The keys are then changed, and what the old one encrypted is still read.
//!
//! `cargo run -p graft-client --example encryption` starts a server of its own; `--addr URL` takes another one.

use std::collections::BTreeMap;
use std::error::Error;

use clap::Parser;
use graft_client::{
    Client, CodecError, EncodedPayload, Node, NodeContext, NodeResult, Outcome, PayloadCodec, PayloadPart, PayloadPlace, StartWorkflow,
    Worker, WorkerBuilder,
};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

#[path = "server/mod.rs"]
mod server;

/// Where it runs.
#[derive(Debug, Default, Parser)]
pub struct Options {
    /// Server to use; otherwise one is started in this process, on a free port, with a temporary directory.
    #[arg(long)]
    pub addr: Option<String>,
}

/// Encrypts with one key, and decrypts with all that it knows: AES-256-GCM, with a random nonce for each value.
///
/// Random nonces are good for some 2³² values of one key (NIST SP 800-38D, section 8.3): a new key each month is more than enough for most.
pub struct Keys {
    current: String,
    keys: BTreeMap<String, LessSafeKey>,
    random: SystemRandom,
}

impl Keys {
    /// Encrypts with this key. A program would read it from where its secrets are.
    pub fn new(name: &str, secret: [u8; 32]) -> Self {
        let keys = Self { current: name.to_owned(), keys: BTreeMap::new(), random: SystemRandom::new() };
        keys.with_old(name, secret)
    }

    /// Still decrypts with this one.
    pub fn with_old(mut self, name: &str, secret: [u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &secret).expect("a key of 32 bytes");
        self.keys.insert(name.to_owned(), LessSafeKey::new(key));
        self
    }

    fn key(&self, name: &str) -> Result<&LessSafeKey, CodecError> {
        self.keys.get(name).ok_or_else(|| "this process does not have the key".into())
    }
}

/// What a value is bound to: one that is put into another namespace, or said to be of another key, does not decrypt.
fn bound_to(place: &PayloadPlace<'_>, key: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("{}\0{key}", place.namespace).into_bytes())
}

impl PayloadCodec for Keys {
    fn encode(&self, place: &PayloadPlace<'_>, plain: &[u8]) -> Result<EncodedPayload, CodecError> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| "the system has no random numbers")?;
        let mut sealed = plain.to_vec();
        let key = self.key(&self.current)?;
        let sealing = key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound_to(place, &self.current), &mut sealed);
        sealing.map_err(|_| "the value is too large to encrypt")?;
        Ok(EncodedPayload { key: self.current.clone(), data: [&nonce[..], &sealed].concat() })
    }

    fn decode(&self, place: &PayloadPlace<'_>, key: &str, data: &[u8]) -> Result<Vec<u8>, CodecError> {
        let (nonce, sealed) = data.split_at_checked(NONCE_LEN).ok_or("it is too short")?;
        let (nonce, mut sealed) = (Nonce::try_assume_unique_for_key(nonce).map_err(|_| "it has no nonce")?, sealed.to_vec());
        let opened = self.key(key)?.open_in_place(nonce, bound_to(place, key), &mut sealed);
        Ok(opened.map_err(|_| "it was not encrypted with this key for this namespace, or was changed since")?.to_vec())
    }

    /// Members add the counter up, so they have to read it.
    fn covers(&self, place: &PayloadPlace<'_>) -> bool {
        place.part != PayloadPart::State("/asked")
    }
}

/// What the workflow knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Application {
    /// Who applies.
    pub name: String,
    /// What they earn.
    pub income: u64,
    /// How many have been asked: not encrypted.
    #[serde(default)]
    pub asked: u32,
    /// What others say.
    #[serde(default)]
    pub answers: BTreeMap<String, String>,
    /// Whether they get it.
    pub granted: Option<bool>,
}

struct Apply;

impl Node for Apply {
    const NAME: &'static str = "apply";
    type State = Application;
    type Config = ();

    async fn execute(&self, _: NodeContext, _: Application, (): ()) -> NodeResult<Application> {
        let questions = [("bank", "the account DE02 1203 0000"), ("register", "other loans")];
        let asked = questions.map(|(whom, about)| Ask::with((whom.to_owned(), about.to_owned())));
        Ok(Outcome::done().fan_out(asked).join(Decide::with(())))
    }
}

struct Ask;

impl Node for Ask {
    const NAME: &'static str = "ask";
    type State = Application;
    type Config = (String, String);

    async fn execute(&self, _: NodeContext, mut application: Application, (whom, about): (String, String)) -> NodeResult<Application> {
        let answer = format!("{} is fine as to {about}", application.name);
        application.answers.insert(whom, answer);
        Ok(Outcome::state(application).increment("/asked", 1))
    }
}

struct Decide;

impl Node for Decide {
    const NAME: &'static str = "decide";
    type State = Application;
    type Config = ();

    async fn execute(&self, _: NodeContext, application: Application, (): ()) -> NodeResult<Application> {
        let granted = application.income > 1_000 && application.answers.len() == 2;
        Ok(Outcome::state(Application { granted: Some(granted), ..application }))
    }
}

/// The nodes of this example.
pub fn nodes(worker: WorkerBuilder) -> WorkerBuilder {
    worker.node(Apply).node(Ask).node(Decide)
}

/// What is applied for.
pub fn application() -> StartWorkflow {
    let application = Application { name: "Ada Lovelace".to_owned(), income: 4_815_162, ..Application::default() };
    StartWorkflow::new("loan-1").state(&application).expect("it has a JSON form").node(Apply::with(()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let told = run(Options::parse()).await?;
    println!("members have: {:#}\nwe read: {:?}\nwithout the key: {}", told.at_members, told.with_new_key, told.without_key);
    Ok(())
}

/// What different readers see of the workflow in the end.
#[derive(Debug)]
pub struct Told {
    /// Who started it.
    pub with_key: Application,
    /// Who encrypts with another key since, and still has the old one.
    pub with_new_key: Application,
    /// Who has thrown it away: the error.
    pub without_key: String,
    /// Members, and whoever reads there.
    pub at_members: Value,
}

/// Has a loan applied for and decided on, and changes the keys.
pub async fn run(options: Options) -> Result<Told, Box<dyn Error>> {
    let server = server::Server::at(options.addr).await?;
    let (old, new) = ([1; 32], [2; 32]); // of no secret: a program reads its own
    let client = Client::builder(server.url.as_str()).payload_codec(Keys::new("2025", old)).build()?;
    let stop = CancellationToken::new();
    let worker = tokio::spawn(nodes(Worker::builder(client.clone())).run_until(stop.clone().cancelled_owned()));

    client.start(application()).await?;
    let with_key = client.workflow("loan-1").result().await?;

    let client = Client::builder(server.url.as_str()).payload_codec(Keys::new("2026", new).with_old("2025", old)).build()?;
    let with_new_key = client.workflow("loan-1").result().await?;
    let client = Client::builder(server.url.as_str()).payload_codec(Keys::new("2026", new)).build()?;
    let without_key = client.workflow("loan-1").get().await.err().ok_or("it was read without its key")?.to_string();
    let at_members = Client::connect(server.url.as_str())?.workflow("loan-1").result().await?;

    stop.cancel();
    worker.await??;
    server.stop().await;
    Ok(Told { with_key, with_new_key, without_key, at_members })
}

#[cfg(test)]
mod tests {
    use graft_client::testing::{TestEngine, completed};

    use super::*;

    fn sealed(keys: &Keys, namespace: &str) -> EncodedPayload {
        keys.encode(&PayloadPlace::new(namespace, "w", PayloadPart::Config), b"\"text\"").unwrap()
    }

    #[test]
    fn a_value_is_of_its_key_and_its_namespace_and_never_looks_twice_the_same() {
        let keys = Keys::new("a", [1; 32]).with_old("b", [2; 32]);
        let (one, two) = (sealed(&keys, "here"), sealed(&keys, "here"));
        assert!(one.key == "a" && one != two);
        let open = |namespace, key, data: &[u8]| keys.decode(&PayloadPlace::new(namespace, "w", PayloadPart::Config), key, data).ok();
        assert_eq!(open("here", "a", &one.data).as_deref(), Some(&b"\"text\""[..]));
        let mut changed = one.data.clone();
        changed[20] ^= 1;
        for (namespace, key, data) in [
            ("there", "a", &one.data[..]),
            ("here", "b", &one.data),
            ("here", "c", &one.data),
            ("here", "a", &changed),
            ("here", "a", b"short"),
        ] {
            assert_eq!(open(namespace, key, data), None, "{namespace} {key}");
        }
    }

    /// Whichever branch ends first: neither answer is lost, though nobody between them can read.
    #[tokio::test]
    async fn both_answers_are_there_in_any_order() {
        let mut engine = TestEngine::builder().any_seed().payload_codec(Keys::new("a", [1; 32])).build(nodes);
        engine.start(application()).unwrap();
        engine.run_until_idle().await;
        let loan = engine.workflow("loan-1");
        loan.assert_completed().assert_state_at("/granted", &true).assert_state_at("/asked", &2);
        assert_eq!((loan.state::<Application>().answers.len(), loan.count(completed("ask"))), (2, 2));
    }
}
