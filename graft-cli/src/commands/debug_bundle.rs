//! `graft debug-bundle`: what everybody would ask for first when something is wrong, from every member that answers, in one directory.
//!
//! Nothing in it is secret. Members name their secrets by files and show those names alone; logs and metrics have ids of workflows, and nothing of what
//! is in them. What this command itself shows to members stays here.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use graft_client::ClientError;
use graft_client::proto::{ClusterStatusResponse, DiagnoseResponse, Member};
use graft_proto::documents::Time;
use schemars::JsonSchema;
use serde::Serialize;

use super::Session;
use super::cluster::doctor::findings;
use super::cluster::each::{Asked, each};
use super::files::failed;
use crate::cli::Global;
use crate::cli::place::DebugBundle;
use crate::error::{CliError, CliResult};
use crate::output::json::Document;
use crate::output::style::Line;
use crate::output::table::{column, table};
use crate::output::time::now_ms;
use crate::output::{Answer, View, compact, note, pretty, shell_word};

/// What one member says.
type Said = (ClusterStatusResponse, DiagnoseResponse);

/// Asks everybody, and writes what is said.
pub(crate) async fn run(session: &Session, global: &Global, args: &DebugBundle) -> CliResult {
    let dir = Directory::make(&args.dir)?;
    let client = &session.client;
    let seen = client.cluster_status().await?;
    let asked = each(client, &seen, global.timeout, async |member| Ok((member.cluster_status().await?, member.diagnose().await?))).await;
    let members = asked.iter().map(|asked| dir.member(asked)).collect::<CliResult<Vec<MemberJson>>>()?;
    dir.answer("cluster.json", Ok(&seen))?;
    let said = |Asked { member, answer }: &Asked<Said>| {
        let status = answer.as_ref().map(|(status, _)| status.clone());
        (member.raft_id, status.map_err(String::clone))
    };
    dir.answer("findings.json", Ok(&findings(&seen, &asked.iter().map(said).collect())))?;
    dir.answer("workers.json", client.all_workers().await.as_ref())?;
    dir.answer("limits.json", client.all_limits().await.as_ref())?;
    let bundle = Bundle(BundleJson {
        directory: args.dir.display().to_string(),
        at: Time::of(now_ms()),
        graft_version: env!("CARGO_PKG_VERSION").to_owned(),
        members,
    });
    dir.answer("bundle.json", Ok(&bundle))?;
    session.output.show(&bundle)?;
    if session.output.is_for_people() {
        let shown = shell_word(&bundle.0.directory);
        note(&format!("No secrets are in it; look all the same before you send it: tar -czf graft-debug.tar.gz {shown}"));
    }
    let (silent, of) = (asked.iter().filter(|asked| asked.answer.is_err()).count(), asked.len());
    if silent > 0 { Err(CliError::NotAllAnswer { silent, of }) } else { Ok(()) }
}

/// Where it is written: a directory of its owner's alone, which has nothing else in it.
struct Directory(PathBuf);

impl Directory {
    fn make(path: &Path) -> CliResult<Self> {
        let mut entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(path)?;
                return Ok(Self(path.to_owned()));
            }
            Err(error) => return Err(failed(path, &error)),
        };
        match entries.next() {
            None => Ok(Self(path.to_owned())),
            Some(_) => {
                Err(CliError::Conflict(format!("{} has something in it already\n  Name a directory that is not there.", path.display())))
            }
        }
    }

    fn write(&self, name: &str, text: &str) -> CliResult {
        let path = self.0.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, &error))
    }

    /// An answer as its document; or why there is none, under the same name and `.error`.
    fn answer<A: Answer>(&self, name: &str, answer: Result<&A, &ClientError>) -> CliResult {
        match answer {
            Ok(answer) => self.write(name, &pretty(&answer.document())?),
            Err(error) => self.write(&format!("{name}.error"), &format!("{}\n", error.message())),
        }
    }

    fn member(&self, Asked { member, answer }: &Asked<Said>) -> CliResult<MemberJson> {
        let folder = folder_of(member);
        make(&self.0.join(&folder))?;
        let of = |name: &str| format!("{folder}/{name}");
        let error = match answer {
            Ok((status, said)) => {
                self.answer(&of("status.json"), Ok(status))?;
                self.write(&of("configuration.toml"), &said.configuration)?;
                self.write(&of("readiness.txt"), &said.readiness)?;
                self.write(&of("metrics.txt"), &said.metrics)?;
                self.write(&of("log-level.txt"), &format!("{}\n", said.log_level))?;
                self.write(&of("log.jsonl"), &said.log_lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
                None
            }
            Err(error) => {
                self.write(&of("error.txt"), &format!("{error}\n"))?;
                Some(error.clone())
            }
        };
        let version = answer.as_ref().ok().map(|(_, said)| said.version.clone());
        let name = answer.as_ref().map_or(&member.name, |(_, said)| &said.member);
        Ok(MemberJson { member: name.clone(), raft_id: member.raft_id.to_string(), folder, version, error })
    }
}

fn make(path: &Path) -> CliResult {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| failed(path, &error))
}

/// Two members may have one name for a while; and what a server calls a member must not lead anywhere else.
fn folder_of(member: &Member) -> String {
    let name: String = member.name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' }).collect();
    format!("{name}-{:x}", member.raft_id)
}

struct Bundle(BundleJson);

/// What was collected, and where it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct BundleJson {
    /// The directory.
    directory: String,
    /// When.
    at: Option<Time>,
    /// Version of the command that collected it.
    graft_version: String,
    /// The members.
    members: Vec<MemberJson>,
}

/// A member, and what it gave.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct MemberJson {
    /// Its name.
    member: String,
    /// Its raft id.
    raft_id: String,
    /// Where in the directory its part is.
    folder: String,
    /// Its version; `null`: it does not answer.
    version: Option<String>,
    /// Why it does not answer.
    error: Option<String>,
}

impl Document for BundleJson {
    const KIND: &'static str = "DebugBundle";
}

impl Document for MemberJson {
    const KIND: &'static str = "DebugBundleMember";
}

impl Answer for Bundle {
    type Document = BundleJson;

    fn document(&self) -> BundleJson {
        self.0.clone()
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.0.members.iter().map(compact).collect()
    }

    fn names(&self) -> Vec<String> {
        vec![self.0.directory.clone()]
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |member: &MemberJson| {
            let said = member.error.as_ref().map_or_else(|| "collected".to_owned(), |error| format!("no answer: {error}"));
            let version = member.version.clone().unwrap_or_else(|| "-".to_owned());
            vec![member.member.clone(), version, said, format!("{}/{}", self.0.directory, member.folder)]
        };
        table(view, &[column("MEMBER"), column("VERSION"), column("STATUS"), column("WHERE")], self.0.members.iter().map(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_is_called_leads_nowhere_else() {
        let folder = |name: &str| folder_of(&Member { name: name.into(), raft_id: 255, ..Member::default() });
        assert_eq!(folder("graft-0"), "graft-0-ff");
        assert_eq!(folder("../../etc"), "______etc-ff");
        assert_eq!(folder(""), "-ff");
    }
}
