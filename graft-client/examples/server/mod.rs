//! Where the examples find a server: the one that is named, or one of their own in this process.

use graftd::app::Daemon;
use graftd::config::Config;

/// A server that answers at `url`.
pub struct Server {
    /// Where it answers.
    pub url: String,
    own: Option<(Daemon, tempfile::TempDir)>,
}

impl Server {
    /// The one at `addr`; without, one of our own on a free port, with a temporary directory.
    pub async fn at(addr: Option<String>) -> Result<Self, Box<dyn std::error::Error>> {
        if let Some(url) = addr {
            return Ok(Self { url, own: None });
        }
        let directory = tempfile::tempdir()?;
        let daemon = Daemon::start(Config::in_process(directory.path())).await?;
        daemon.ready().await?;
        Ok(Self { url: format!("http://{}", daemon.client_address()), own: Some((daemon, directory)) })
    }

    /// Stops it, if it is our own.
    pub async fn stop(self) {
        if let Some((daemon, _directory)) = self.own {
            daemon.shutdown().await;
        }
    }
}
