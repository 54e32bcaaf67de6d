//! Candidates from a list in the configuration.

use graft_proto::peer::v1::peer_service_client::PeerServiceClient;
use tonic::transport::Channel;

use super::rounds::{CONNECT_TIMEOUT, REQUEST_TIMEOUT};
use crate::peer_tls::{Dialed, LinkOptions, PeerSecurity};

/// Where somebody may answer who could be a member.
#[derive(Clone, Debug)]
pub struct CandidateLink {
    /// `HOST:PORT`.
    pub address: String,
    /// Connects when it is first used, and again when it breaks.
    pub client: PeerServiceClient<Channel>,
    /// Who was there.
    pub dialed: Dialed,
}

/// A link per address, each address once. Fails with the address that is none.
pub fn candidates(peers: impl IntoIterator<Item = String>, security: &PeerSecurity) -> Result<Vec<CandidateLink>, String> {
    let options = LinkOptions { connect: CONNECT_TIMEOUT, request: Some(REQUEST_TIMEOUT), keepalive: None, windows: None };
    let mut links: Vec<CandidateLink> = Vec::new();
    for address in peers {
        if links.iter().any(|link| link.address == address) {
            continue;
        }
        let dialed = security.dial(&address, None, options).map_err(|_| address.clone())?;
        links.push(CandidateLink { address, client: PeerServiceClient::new(dialed.channel.clone()), dialed });
    }
    Ok(links)
}
