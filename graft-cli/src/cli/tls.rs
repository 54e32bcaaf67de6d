//! `graft tls`: certificates for members, clients and workers.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use graftd::tls::authority::{CERTIFICATE_DAYS, CERTIFICATE_DAYS_MAX};

/// What is done with certificates. Needs no server.
#[derive(Debug, Subcommand)]
pub(crate) enum Tls {
    /// Make an authority for a cluster: ca.pem, which every member gets, and ca.key, which stays with whoever issues certificates.
    #[command(after_help = "Example:\n  graft tls init --cluster demo --dir ./tls")]
    Init(TlsInit),
    /// Make a member's certificate and key: MEMBER.pem and MEMBER.key, which go to that member alone.
    #[command(
        after_help = "Examples:\n  graft tls issue m1 --cluster demo --dir ./tls\n  graft tls issue m1 --cluster demo --dir ./tls --host graft.example --host 10.0.0.7\n  graft tls issue m1 --cluster demo --dir ./tls --replace --days 90"
    )]
    Issue(TlsIssue),
    /// Make a certificate and key for a client or a worker: NAME.pem and NAME.key, which show to members who it is.
    #[command(after_help = "Example:\n  graft tls issue-client billing --cluster demo --dir ./tls")]
    IssueClient(TlsIssueClient),
}

/// Where, and for whom.
#[derive(Debug, Args)]
pub(crate) struct TlsPlace {
    /// Name of the cluster, as `cluster.name` says it to its members.
    #[arg(long, default_value = "graft", value_name = "NAME")]
    pub(crate) cluster: String,
    /// Where the files are, or go; made if it is not there.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
}

/// Arguments of `graft tls init`.
#[derive(Debug, Args)]
pub(crate) struct TlsInit {
    #[command(flatten)]
    pub(crate) place: TlsPlace,
    /// Leave one that is there already as it is, and be content: for scripts that run again.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Arguments of `graft tls issue`.
#[derive(Debug, Args)]
pub(crate) struct TlsIssue {
    /// Name of the member, as `node.name` says it.
    #[arg(value_name = "MEMBER")]
    pub(crate) member: String,
    /// A name or an address under which clients reach it; may be given again. Then the certificate also serves for `client.cert`.
    #[arg(long = "host", value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    #[command(flatten)]
    pub(crate) made: TlsMade,
}

/// Arguments of `graft tls issue-client`.
#[derive(Debug, Args)]
pub(crate) struct TlsIssueClient {
    /// Name of the client or worker, as roles and the history of workflows name it.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) made: TlsMade,
}

/// Where a certificate goes, and how long it is good.
#[derive(Debug, Args)]
pub(crate) struct TlsMade {
    #[command(flatten)]
    pub(crate) place: TlsPlace,
    /// Where ca.pem and ca.key are, if that is somewhere else than where the files go.
    #[arg(long, value_name = "DIR")]
    pub(crate) authority: Option<PathBuf>,
    /// How long it is good, in days from now.
    #[arg(long, default_value_t = CERTIFICATE_DAYS, value_parser = clap::value_parser!(u32).range(1..=i64::from(CERTIFICATE_DAYS_MAX)))]
    pub(crate) days: u32,
    /// Put it in the place of one that is there already; a member that runs takes it within seconds.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Leave one that is there already as it is, and be content: for scripts that run again.
    #[arg(long, conflicts_with = "replace")]
    pub(crate) keep: bool,
}
