//! The command line of `graftd`.

use std::path::PathBuf;

use clap::Parser;

use super::LogFormat;

/// Durable workflow orchestration: the Graft daemon.
///
/// With no arguments it is a single development member on loopback that keeps its data in ./graft-data.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "graftd", version, after_help = EXAMPLES)]
pub struct Flags {
    /// Configuration file (TOML)
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where this member keeps its data [node.data_dir; default: ./graft-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where clients and workers are served [client.listen; default: 127.0.0.1:7420]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// This member's name [node.name; default without peers: the host's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How the log is written [log.format; default: auto]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// How much is logged: error, warn, info, debug, trace, or directives [log.level; default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Allow listening beyond loopback although nothing is encrypted and nobody has to say who they are [security.insecure]
    #[arg(long)]
    pub insecure: bool,
}

const EXAMPLES: &str = "\
Every key of the configuration file can also be set in the environment: GRAFT__RAFT__HEARTBEAT=100ms.
Flags stand above the environment, the environment above the file.

Examples:
  graftd
  graftd --data-dir /var/lib/graft --listen 127.0.0.1:9000
  graftd --config /etc/graft/graftd.toml";

impl Flags {
    /// What was said, as keys of the configuration.
    pub(super) fn overrides(&self) -> Vec<(&'static str, String)> {
        let text = |value: &Option<String>| value.clone();
        let format = self.log_format.map(|format| match format {
            LogFormat::Auto => "auto".to_owned(),
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        });
        [
            ("node.data_dir", self.data_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned())),
            ("client.listen", text(&self.listen)),
            ("node.name", text(&self.name)),
            ("log.format", format),
            ("log.level", text(&self.log_level)),
            ("security.insecure", self.insecure.then(|| "true".to_owned())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}
