//! `graft tls`: an authority and certificates, in files.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use graft_proto::peer_identity::{NAME_BYTES_MAX, is_name};
use graftd::tls::authority::{Authority, AuthorityError, Issued, Subject};

use crate::cli::tls::{Tls, TlsInit, TlsIssue, TlsIssueClient, TlsMade};
use crate::error::{CliError, CliResult};
use crate::output::{note, shell_word};

/// Who may read a certificate.
const CERT_MODE: u32 = 0o644;
/// Who may read a key: its owner.
const KEY_MODE: u32 = 0o600;

/// Makes what was asked for.
pub(crate) fn run(args: &Tls) -> CliResult {
    match args {
        Tls::Init(args) => init(args),
        Tls::Issue(args) => issue(args),
        Tls::IssueClient(args) => issue_client(args),
    }
}

fn init(TlsInit { place, keep }: &TlsInit) -> CliResult {
    checked("--cluster", &place.cluster)?;
    let files = Files::of(&place.dir, "ca");
    if *keep && files.both_there() {
        note(&format!("{} and {} are there already, and stay.", files.cert.display(), files.key.display()));
        return Ok(());
    }
    if let Some(there) = files.there() {
        let remedy = "A new authority would make strangers of all members that have a certificate of it.";
        return Err(CliError::Conflict(format!("{} is there already\n  {remedy}", there.display())));
    }
    let (_, issued) = Authority::create(&place.cluster).map_err(unmade)?;
    files.write(&issued, true)?;
    note(&format!(
        "Made {} and {}: keep the key where certificates are issued, and nowhere else.",
        files.cert.display(),
        files.key.display()
    ));
    let dir = shell_word(&place.dir.display().to_string());
    note(&format!("Now make one for each member: graft tls issue NAME --cluster {} --dir {dir}", place.cluster));
    Ok(())
}

fn issue(TlsIssue { member, hosts, made }: &TlsIssue) -> CliResult {
    let (ca, files) =
        made_for("the member's name", member, made, |cluster| Subject::Member { cluster, member: member.clone(), hosts: hosts.clone() })?;
    let quoted = |file: &Path| format!("{:?}", file.display().to_string());
    let (ca, cert, key) = (quoted(&ca.cert), quoted(&files.cert), quoted(&files.key));
    note(&format!("In its configuration, below [cluster]:\n  peer_ca = {ca}\n  peer_cert = {cert}\n  peer_key = {key}"));
    if !hosts.is_empty() {
        note(&format!("and below [client]:\n  cert = {cert}\n  key = {key}"));
    }
    Ok(())
}

fn issue_client(TlsIssueClient { name, made }: &TlsIssueClient) -> CliResult {
    let (ca, files) = made_for("the client's name", name, made, |cluster| Subject::Client { cluster, name: name.clone() })?;
    let word = |file: &Path| shell_word(&file.display().to_string());
    let flags = format!("--tls-ca {} --tls-cert {} --tls-key {}", word(&ca.cert), word(&files.cert), word(&files.key));
    note(&format!("Whoever uses it says: graft --addr https://HOST:PORT {flags} cluster status"));
    Ok(())
}

/// Makes a certificate and its key; the files of the authority, and those.
fn made_for(what: &str, name: &str, made: &TlsMade, subject: impl FnOnce(String) -> Subject) -> CliResult<(Files, Files)> {
    let TlsMade { place, authority, days, replace, keep } = made;
    checked("--cluster", &place.cluster)?;
    checked(what, name)?;
    if name == "ca" {
        return Err(CliError::Usage("nobody can be called ca here: the files would be the authority's".to_owned()));
    }
    let ca = Files::of(authority.as_ref().unwrap_or(&place.dir), "ca");
    let authority = Authority::read(&ca.read()?).map_err(|error| {
        CliError::Usage(format!(
            "{} and {} are no authority: {error}\n  Make one with: graft tls init",
            ca.cert.display(),
            ca.key.display()
        ))
    })?;
    let files = Files::of(&place.dir, name);
    if *keep && files.both_there() {
        note(&format!("{} and {} are there already, and stay.", files.cert.display(), files.key.display()));
        return Ok((ca, files));
    }
    if let Some(there) = files.there()
        && !replace
    {
        return Err(CliError::Conflict(format!("{} is there already\n  Put another in its place with --replace.", there.display())));
    }
    let subject = subject(place.cluster.clone());
    files.write(&authority.issue(&subject, *days).map_err(unmade)?, !replace)?;
    note(&format!("Made {} and {} for {subject}, good for {days} days.", files.cert.display(), files.key.display()));
    Ok((ca, files))
}

fn checked(what: &str, name: &str) -> CliResult {
    match is_name(name) {
        true => Ok(()),
        false => Err(CliError::Usage(format!("{what} `{name}` is no name: 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` or `-`"))),
    }
}

fn unmade(error: AuthorityError) -> CliError {
    CliError::Other(format!("failed to make a certificate: {error}"))
}

/// A certificate and its key.
struct Files {
    dir: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(dir: &Path, name: &str) -> Self {
        let dir = dir.to_owned();
        Self { cert: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")), dir }
    }

    fn there(&self) -> Option<&Path> {
        [&self.cert, &self.key].into_iter().find(|file| file.exists()).map(PathBuf::as_path)
    }

    fn both_there(&self) -> bool {
        self.cert.exists() && self.key.exists()
    }

    fn read(&self) -> CliResult<Issued> {
        let read = |file: &Path| {
            std::fs::read_to_string(file).map_err(|error| {
                CliError::Usage(format!("failed to read {}: {error}\n  Make an authority with: graft tls init", file.display()))
            })
        };
        Ok(Issued { cert: read(&self.cert)?, key: read(&self.key)? })
    }

    /// The key first: a certificate without its key would be taken by nobody. Each file is there as a whole or not at all.
    fn write(&self, issued: &Issued, new: bool) -> CliResult {
        std::fs::create_dir_all(&self.dir).map_err(|error| unwritten(&self.dir, &error))?;
        self.put(&self.key, &issued.key, KEY_MODE, new)?;
        self.put(&self.cert, &issued.cert, CERT_MODE, new)
    }

    fn put(&self, file: &Path, text: &str, mode: u32, new: bool) -> CliResult {
        let beside = file.with_extension(format!("new-{}", std::process::id()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)
            .and_then(|mut open| open.write_all(text.as_bytes()).and_then(|()| open.sync_all()))
            // A link fails where somebody was quicker; a rename replaces.
            .and_then(|()| if new { std::fs::hard_link(&beside, file) } else { std::fs::rename(&beside, file) });
        let _ = std::fs::remove_file(&beside);
        written.map_err(|error| unwritten(file, &error))
    }
}

fn unwritten(file: &Path, error: &std::io::Error) -> CliError {
    CliError::Other(format!("failed to write {}: {error}", file.display()))
}
