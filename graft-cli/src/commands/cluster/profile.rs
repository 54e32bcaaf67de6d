//! `graft cluster profile`: where a member spends its processor time.

use std::io::Write;
use std::time::Duration;

use graft_client::proto::ProfileResponse;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::place::ProfileArgs;
use crate::commands::Session;
use crate::commands::files::{beside, failed, keep};
use crate::error::{CliError, CliResult};
use crate::output::json::Document;
use crate::output::spinner::Spinner;
use crate::output::style::Line;
use crate::output::table::facts;
use crate::output::{Answer, View};

/// Has the profile made, and keeps it.
pub(super) async fn run(session: &Session, args: ProfileArgs) -> CliResult {
    let ProfileArgs { seconds, member, file: path } = args;
    let seen = session.client.cluster_status().await?;
    let wanted = match &member {
        Some(name) => seen.members.iter().find(|member| member.name == *name),
        None => seen.members.iter().find(|member| member.raft_id == seen.leader),
    };
    let client = match (wanted, member) {
        (Some(member), _) => session.client.at(&member.client_address)?,
        (None, Some(name)) => {
            return Err(CliError::NotFound(format!("there is no member {name}\n  See who is there with: graft cluster members")));
        }
        // Nobody leads: whoever answers will do.
        (None, None) => session.client.clone(),
    };
    let mut file = beside(&path)?;
    let spinner = Spinner::start("sampling");
    spinner.say(|| format!("sampling for {seconds} s"));
    let made = client.profile(Duration::from_secs(seconds)).await?;
    drop(spinner);
    file.write_all(&made.profile).map_err(|error| failed(&path, &error))?;
    keep(file, &path)?;
    session.output.show(&Made(made))
}

struct Made(ProfileResponse);

/// A profile that was made.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProfileJson {
    /// Name of the member that it is of.
    member: String,
    /// Samples in it: 99 for each second of processor time.
    samples: u64,
    /// Its size.
    bytes: u64,
}

impl Document for ProfileJson {
    const KIND: &'static str = "MemberProfile";
}

impl Answer for Made {
    type Document = ProfileJson;

    fn document(&self) -> ProfileJson {
        let ProfileResponse { profile, samples, member } = &self.0;
        ProfileJson { member: member.clone(), samples: *samples, bytes: profile.len() as u64 }
    }

    fn names(&self) -> Vec<String> {
        vec![self.0.member.clone()]
    }

    fn people(&self, _: View) -> Vec<Line> {
        let ProfileJson { member, samples, bytes } = self.document();
        facts(&[("member", member), ("samples", samples.to_string()), ("size", format!("{bytes} bytes"))])
    }
}
