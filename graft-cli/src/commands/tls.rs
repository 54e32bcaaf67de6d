//! `graft tls`: an authority and certificates for members, in files.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use graft_proto::peer_identity::{MemberIdentity, NAME_BYTES_MAX, is_name};
use graftd::peer_tls::authority::{Authority, AuthorityError, Issued};

use crate::cli::tls::{Tls, TlsInit, TlsIssue, TlsPlace};
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
    }
}

fn init(TlsInit { place }: &TlsInit) -> CliResult {
    checked("--cluster", &place.cluster)?;
    let files = Files::of(place, "ca");
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

fn issue(TlsIssue { member, place, days, replace }: &TlsIssue) -> CliResult {
    checked("--cluster", &place.cluster)?;
    checked("the member's name", member)?;
    if member == "ca" {
        return Err(CliError::Usage("a member cannot be called ca here: its files would be the authority's".to_owned()));
    }
    let ca = Files::of(place, "ca");
    let authority = Authority::read(&ca.read()?).map_err(|error| {
        CliError::Usage(format!(
            "{} and {} are no authority: {error}\n  Make one with: graft tls init",
            ca.cert.display(),
            ca.key.display()
        ))
    })?;
    let files = Files::of(place, member);
    if let Some(there) = files.there()
        && !replace
    {
        return Err(CliError::Conflict(format!("{} is there already\n  Put another in its place with --replace.", there.display())));
    }
    let identity = MemberIdentity { cluster: place.cluster.clone(), member: member.clone() };
    files.write(&authority.issue(&identity, *days).map_err(unmade)?, !replace)?;
    note(&format!("Made {} and {} for {identity}, good for {days} days.", files.cert.display(), files.key.display()));
    note(&format!(
        "In its configuration, below [cluster]:\n  peer_ca = {:?}\n  peer_cert = {:?}\n  peer_key = {:?}",
        ca.cert.display().to_string(),
        files.cert.display().to_string(),
        files.key.display().to_string()
    ));
    Ok(())
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
    fn of(place: &TlsPlace, name: &str) -> Self {
        let dir = place.dir.clone();
        Self { cert: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")), dir }
    }

    fn there(&self) -> Option<&Path> {
        [&self.cert, &self.key].into_iter().find(|file| file.exists()).map(PathBuf::as_path)
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
