//! `graft tls`: certificates for members.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use graftd::peer_tls::authority::{MEMBER_DAYS, MEMBER_DAYS_MAX};

/// What is done with certificates. Needs no server.
#[derive(Debug, Subcommand)]
pub(crate) enum Tls {
    /// Make an authority for a cluster: ca.pem, which every member gets, and ca.key, which stays with whoever issues certificates.
    #[command(after_help = "Example:\n  graft tls init --cluster demo --dir ./tls")]
    Init(TlsInit),
    /// Make a member's certificate and key: MEMBER.pem and MEMBER.key, which go to that member alone.
    #[command(
        after_help = "Examples:\n  graft tls issue m1 --cluster demo --dir ./tls\n  graft tls issue m1 --cluster demo --dir ./tls --replace --days 90"
    )]
    Issue(TlsIssue),
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
}

/// Arguments of `graft tls issue`.
#[derive(Debug, Args)]
pub(crate) struct TlsIssue {
    /// Name of the member, as `node.name` says it.
    #[arg(value_name = "MEMBER")]
    pub(crate) member: String,
    #[command(flatten)]
    pub(crate) place: TlsPlace,
    /// How long it is good, in days from now.
    #[arg(long, default_value_t = MEMBER_DAYS, value_parser = clap::value_parser!(u32).range(1..=i64::from(MEMBER_DAYS_MAX)))]
    pub(crate) days: u32,
    /// Put it in the place of one that is there already; a member that runs takes it within seconds.
    #[arg(long)]
    pub(crate) replace: bool,
}
