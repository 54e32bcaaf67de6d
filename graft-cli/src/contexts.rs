//! Which cluster is meant, and in which namespace: flags win over the environment, and that over the current context.
//!
//! Contexts stand in `graft/config.toml` below `$XDG_CONFIG_HOME` (or `~/.config`), which only its owner can read. The file is replaced as a whole,
//! so that a reader sees the old one or the new one. It is not read where it does not matter: whoever says `--addr` is not kept from working by a
//! broken file.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use graft_client::Tls;
use graft_proto::errors::nearest;
use serde::{Deserialize, Serialize};

use crate::cli::{Global, TlsFlags};
use crate::error::{CliError, CliResult};

/// Where the cluster answers if nobody says.
pub(crate) const ADDR_DEFAULT: &str = "http://127.0.0.1:7420";
/// Longest name of a context, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The context that counts where nothing else is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// Contexts by name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// A cluster and a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Where the cluster answers; several members separated by commas.
    pub(crate) addr: String,
    /// The namespace; otherwise `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// File with the token that is shown there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// How TLS is spoken there.
    #[serde(default, skip_serializing_if = "Secured::says_nothing")]
    pub(crate) tls: Secured,
}

/// Whom TLS believes, and what is shown of whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secured {
    /// File with the authorities that are believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// File with the certificate that is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert: Option<PathBuf>,
    /// File with its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// The name that certificates of members have to hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
}

impl Secured {
    fn says_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What the flags say.
    pub(crate) fn of_flags(flags: &TlsFlags) -> Self {
        let TlsFlags { ca, cert, key, host } = flags.clone();
        Self { ca, cert, key, host }
    }

    /// What these say, and the rest as the others do. A certificate and its key come together.
    fn or(self, others: Self) -> Self {
        let (cert, key) = if self.cert.is_some() || self.key.is_some() { (self.cert, self.key) } else { (others.cert, others.key) };
        Self { ca: self.ca.or(others.ca), cert, key, host: self.host.or(others.host) }
    }

    /// The files by paths that hold wherever `graft` is run.
    pub(crate) fn absolute(self) -> CliResult<Self> {
        Ok(Self { ca: absolute(self.ca)?, cert: absolute(self.cert)?, key: absolute(self.key)?, host: self.host })
    }

    /// For a client.
    ///
    /// # Errors
    /// If there is a certificate without a key, or the other way round.
    pub(crate) fn tls(&self) -> CliResult<Tls> {
        let mut tls = Tls::new();
        if let Some(ca) = &self.ca {
            tls = tls.ca(ca);
        }
        tls = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => tls.identity(cert, key),
            (None, None) => tls,
            _ => return Err(CliError::Usage("a certificate and its key belong together: name both, with --tls-cert and --tls-key".into())),
        };
        Ok(match &self.host {
            Some(host) => tls.host(host),
            None => tls,
        })
    }
}

/// The file by a path that holds wherever `graft` is run.
pub(crate) fn absolute(file: Option<PathBuf>) -> CliResult<Option<PathBuf>> {
    let path = file.map(std::path::absolute).transpose();
    path.map_err(|error| CliError::Usage(format!("a file of a context cannot be named: {error}")))
}

/// What the environment says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `GRAFT_ADDR`, even if it is empty.
    pub(crate) addr: Option<String>,
    /// `GRAFT_NAMESPACE`, if it is not empty.
    pub(crate) namespace: Option<String>,
    /// `GRAFT_CONTEXT`, if it is not empty.
    pub(crate) context: Option<String>,
    /// `GRAFT_TLS_…`, as far as they are not empty.
    pub(crate) tls: Secured,
    /// `GRAFT_TOKEN_FILE`, if it is not empty.
    pub(crate) token_file: Option<PathBuf>,
}

impl Environment {
    /// That of this process.
    pub(crate) fn here() -> Self {
        let of = |name| std::env::var(name).ok();
        let some = |name| of(name).filter(|value| !value.is_empty());
        let file = |name| some(name).map(PathBuf::from);
        let (ca, cert, key) = (file("GRAFT_TLS_CA"), file("GRAFT_TLS_CERT"), file("GRAFT_TLS_KEY"));
        let tls = Secured { ca, cert, key, host: some("GRAFT_TLS_HOST") };
        let token_file = file("GRAFT_TOKEN_FILE");
        Self { addr: of("GRAFT_ADDR"), namespace: some("GRAFT_NAMESPACE"), context: some("GRAFT_CONTEXT"), tls, token_file }
    }
}

/// Where a command goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where the cluster answers.
    pub(crate) addr: String,
    /// The namespace.
    pub(crate) namespace: String,
    /// How TLS is spoken.
    pub(crate) tls: Secured,
    /// File with the token that is shown.
    pub(crate) token_file: Option<PathBuf>,
    /// The context that says so.
    pub(crate) context: Option<String>,
    /// Whether a flag or the environment names the cluster; otherwise it is that of the current context, or the default.
    pub(crate) is_named: bool,
}

impl Place {
    /// Where this command goes.
    pub(crate) fn of(global: &Global) -> CliResult<Self> {
        place(global, &Environment::here(), || Ok(Store::find()?.read()?.0))
    }
}

/// An address that was named. An empty one is a mistake (a variable of a script that was not set, most often), not the default: who names a
/// cluster must not reach another one.
fn named(addr: &str) -> CliResult<String> {
    if addr.split(',').all(|address| address.trim().is_empty()) {
        return Err(CliError::Usage("no address: name one, such as http://127.0.0.1:7420, with --addr or in GRAFT_ADDR".into()));
    }
    Ok(addr.to_owned())
}

/// Where a command goes: the first of flags, environment and current context that names a cluster. A context that is further back is not asked
/// for the namespace either: it is one of another cluster.
fn place(global: &Global, environment: &Environment, contexts: impl FnOnce() -> CliResult<Contexts>) -> CliResult<Place> {
    let namespace = |context: Option<&Context>, default: bool| {
        let of_context = || context.and_then(|context| context.namespace.clone());
        let of_environment = || environment.namespace.clone();
        let first = if default { of_environment().or_else(of_context) } else { of_context().or_else(of_environment) };
        global.namespace.clone().or(first).unwrap_or_else(|| graft_client::NAMESPACE_DEFAULT.to_owned())
    };
    let tls = |context: Option<&Context>, default: bool| {
        let of_context = context.map(|context| context.tls.clone()).unwrap_or_default();
        let of_environment = environment.tls.clone();
        let behind = if default { of_environment.or(of_context) } else { of_context.or(of_environment) };
        Secured::of_flags(&global.tls).or(behind)
    };
    let token_file = |context: Option<&Context>, default: bool| {
        let of_context = || context.and_then(|context| context.token_file.clone());
        let of_environment = || environment.token_file.clone();
        let behind = if default { of_environment().or_else(of_context) } else { of_context().or_else(of_environment) };
        global.token_file.clone().or(behind)
    };
    let placed = |addr: String, named: Option<(&String, &Context)>, default: bool, is_named: bool| {
        let context = named.map(|(_, context)| context);
        Place {
            addr,
            namespace: namespace(context, default),
            tls: tls(context, default),
            token_file: token_file(context, default),
            context: named.map(|(name, _)| name.clone()),
            is_named,
        }
    };
    let flag = global.addr.as_deref().map(named).transpose()?;
    if let Some(name) = &global.context {
        let contexts = contexts()?;
        let context = contexts.get(name)?;
        let addr = flag.map_or_else(|| named(&context.addr), Ok)?;
        return Ok(placed(addr, Some((name, context)), false, true));
    }
    let of_environment = || environment.addr.as_deref().map(named).transpose();
    if let Some(addr) = flag.map_or_else(of_environment, |addr| Ok(Some(addr)))? {
        return Ok(placed(addr, None, true, true));
    }
    let contexts = contexts()?;
    let (name, is_named) = (environment.context.as_ref().or(contexts.current.as_ref()), environment.context.is_some());
    let Some(name) = name else { return Ok(placed(ADDR_DEFAULT.to_owned(), None, true, is_named)) };
    let context = contexts.get(name)?;
    Ok(placed(named(&context.addr)?, Some((name, context)), true, is_named))
}

impl Contexts {
    /// The context of this name.
    pub(crate) fn get(&self, name: &str) -> CliResult<&Context> {
        self.contexts.get(name).ok_or_else(|| {
            let hint = match nearest(name, self.contexts.keys().map(String::as_str)) {
                Some(nearest) => format!("Is \"{nearest}\" meant?"),
                None => format!("Note one with: graft context add {name} --addr URL"),
            };
            CliError::NotFound(format!("context \"{name}\" does not exist. {hint}\n  See those that do with `graft context list`."))
        })
    }
}

/// A name that can be written on any command line.
pub(crate) fn checked_name(name: &str) -> CliResult {
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('-');
    if fits && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "{name:?} is no name of a context: letters, digits and - _ . at most {NAME_BYTES_MAX}, the first of them no -"
    )))
}

/// Where the contexts are kept.
#[derive(Debug)]
pub(crate) struct Store(PathBuf);

impl Store {
    /// The file of whoever runs this.
    pub(crate) fn find() -> CliResult<Self> {
        let of = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = of("XDG_CONFIG_HOME").filter(|dir| dir.is_absolute()).or_else(|| of("HOME").map(|home| home.join(".config")));
        let config = config.ok_or_else(|| CliError::Other("neither XDG_CONFIG_HOME nor HOME says where contexts are kept".into()))?;
        Ok(Self(config.join("graft").join("config.toml")))
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What it holds, and whether it is there.
    pub(crate) fn read(&self) -> CliResult<(Contexts, bool)> {
        let at = self.0.display();
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok((Contexts::default(), false));
            }
            Err(error) => return Err(CliError::Other(format!("failed to read {at}: {error}"))),
        };
        let contexts = toml::from_str(&text).map_err(|error| CliError::Other(format!("{at} is not what graft writes there: {error}")))?;
        Ok((contexts, true))
    }

    /// Writes it as a whole, for its owner only.
    pub(crate) fn write(&self, contexts: &Contexts) -> CliResult {
        let failed = |error: &dyn std::fmt::Display| CliError::Other(format!("failed to write {}: {error}", self.0.display()));
        let text = toml::to_string(contexts).map_err(|error| failed(&error))?;
        let dir = self.0.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
        // A temporary file is readable by its owner only, and keeps that when it takes the other's name.
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(|error| failed(&error))?;
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(|error| failed(&error))?;
        file.persist(&self.0).map_err(|error| failed(&error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn contexts() -> Contexts {
        let context = |addr: &str, namespace: Option<&str>| Context {
            addr: addr.into(),
            namespace: namespace.map(str::to_owned),
            token_file: Some(format!("/{addr}/token").into()),
            tls: Secured { ca: Some(format!("/{addr}/ca.pem").into()), ..Secured::default() },
        };
        let contexts = [("prod", context("http://p:1", Some("sales"))), ("test", context("http://t:1", None))];
        Contexts {
            current: Some("prod".into()),
            contexts: contexts.into_iter().map(|(name, context)| (name.to_owned(), context)).collect(),
        }
    }

    /// Address, namespace and context for these flags and this environment (address, namespace, context; `-` = not set).
    fn placed(flags: &str, environment: [&str; 3], contexts: Contexts) -> CliResult<(String, String, Option<String>)> {
        let words = ["graft"].into_iter().chain(flags.split_whitespace()).chain(["cluster", "status"]);
        let global = Cli::try_parse_from(words).unwrap().global;
        let [addr, namespace, context] = environment.map(|value| (value != "-").then(|| value.to_owned()));
        place(&global, &Environment { addr, namespace, context, ..Environment::default() }, || Ok(contexts))
            .map(|place| (place.addr, place.namespace, place.context))
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_current_context() {
        let of = |flags, environment| {
            let (addr, namespace, context) = placed(flags, environment, contexts()).unwrap();
            format!("{addr} {namespace} {}", context.unwrap_or_default())
        };
        assert_eq!(of("", ["-", "-", "-"]), "http://p:1 sales prod");
        assert_eq!(of("-n other", ["-", "-", "-"]), "http://p:1 other prod");
        assert_eq!(of("", ["-", "other", "-"]), "http://p:1 other prod");
        assert_eq!(of("", ["-", "-", "test"]), "http://t:1 default test");
        assert_eq!(of("", ["http://e:1", "-", "test"]), "http://e:1 default ");
        assert_eq!(of("", ["http://e:1", "other", "-"]), "http://e:1 other ");
        assert_eq!(of("-c test", ["http://e:1", "other", "prod"]), "http://t:1 other test");
        assert_eq!(of("-c prod", ["http://e:1", "other", "test"]), "http://p:1 sales prod");
        assert_eq!(of("-c prod --addr http://f:1 -n mine", ["http://e:1", "other", "-"]), "http://f:1 mine prod");
        assert_eq!(of("--addr http://f:1", ["http://e:1", "-", "prod"]), "http://f:1 default ");
        assert_eq!(of("--addr http://f:1", ["", "-", "prod"]), "http://f:1 default ");
        let (addr, namespace, context) = placed("", ["-", "-", "-"], Contexts::default()).unwrap();
        assert_eq!((addr.as_str(), namespace.as_str(), context), (ADDR_DEFAULT, "default", None));
    }

    #[test]
    fn a_context_that_is_not_there_is_an_error_that_knows_a_similar_one() {
        let refused = |flags, environment, contexts| placed(flags, environment, contexts).unwrap_err();
        let error = refused("-c prdo", ["-", "-", "-"], contexts());
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("Is \"prod\" meant?"), "{error}");
        assert!(refused("", ["-", "-", "xyz"], contexts()).to_string().contains("graft context add xyz"));
        assert_eq!(refused("", ["-", "-", "-"], Contexts { current: Some("gone".into()), ..contexts() }).exit_code(), 3);
    }

    #[test]
    fn files_for_tls_are_those_of_the_flags_then_of_whoever_names_the_cluster() {
        let of_environment = Secured { cert: Some("e.pem".into()), key: Some("e.key".into()), ..Secured::default() };
        let of = |flags: &str, tls: Secured| {
            let words = ["graft"].into_iter().chain(flags.split_whitespace()).chain(["cluster", "status"]);
            let global = Cli::try_parse_from(words).unwrap().global;
            place(&global, &Environment { tls, ..Environment::default() }, || Ok(contexts())).unwrap().tls
        };
        let paths = |tls: &Secured| [&tls.ca, &tls.cert, &tls.key].map(|path| path.clone().unwrap_or_default().display().to_string());
        assert_eq!(paths(&of("", Secured::default())), ["/http://p:1/ca.pem", "", ""]);
        assert_eq!(paths(&of("--tls-ca f.pem", of_environment.clone())), ["f.pem", "e.pem", "e.key"]);
        assert_eq!(paths(&of("--addr https://a:1", Secured::default())), ["", "", ""], "a context of another cluster is not asked");
        let half = of("--tls-cert f.pem", of_environment);
        assert_eq!(paths(&half), ["/http://p:1/ca.pem", "f.pem", ""]);
        assert_eq!(half.tls().unwrap_err().exit_code(), 2);
    }

    #[test]
    fn the_token_of_a_context_goes_to_its_cluster_alone() {
        let of = |flags: &str, token_file: Option<&str>| {
            let words = ["graft"].into_iter().chain(flags.split_whitespace()).chain(["cluster", "status"]);
            let global = Cli::try_parse_from(words).unwrap().global;
            let environment = Environment { token_file: token_file.map(PathBuf::from), ..Environment::default() };
            let placed = place(&global, &environment, || Ok(contexts())).unwrap();
            placed.token_file.unwrap_or_default().display().to_string()
        };
        assert_eq!(of("", None), "/http://p:1/token");
        assert_eq!(of("-c test", Some("e")), "/http://t:1/token");
        assert_eq!(of("", Some("e")), "e");
        assert_eq!(of("--token-file f", Some("e")), "f");
        assert_eq!(of("--addr https://a:1", None), "", "a context of another cluster is not asked");
    }

    #[test]
    fn an_address_that_is_empty_is_a_mistake() {
        assert_eq!(placed("", ["", "-", "-"], contexts()).unwrap_err().exit_code(), 2);
        assert_eq!(placed("--addr=,", ["-", "-", "-"], contexts()).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_broken_file_keeps_nobody_from_naming_an_address() {
        let global = Cli::try_parse_from(["graft", "--addr", "http://f:1", "cluster", "status"]).unwrap().global;
        place(&global, &Environment::default(), || Err(CliError::Other("broken".into()))).unwrap();
    }

    #[test]
    fn what_is_written_is_read_again_and_only_by_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let store = Store(dir.path().join("deep/graft/config.toml"));
        assert_eq!(store.read().unwrap(), (Contexts::default(), false));
        store.write(&contexts()).unwrap();
        assert_eq!(store.read().unwrap(), (contexts(), true));
        assert_eq!(std::fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(store.path(), "curent = 'prod'\n").unwrap();
        let error = store.read().unwrap_err().to_string();
        assert!(error.contains("config.toml") && error.contains("curent"), "{error}");
    }

    #[test]
    fn a_name_of_a_context_needs_no_quotes() {
        checked_name("prod-eu.2_b").unwrap();
        for bad in ["", "a b", "-a", "a/b", "ä", &"a".repeat(65)] {
            assert_eq!(checked_name(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
