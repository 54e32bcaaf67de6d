//! Candidates from a list in the configuration.

use graft_proto::peer::v1::peer_service_client::PeerServiceClient;
use tonic::transport::{Channel, Endpoint};

use super::rounds::{CONNECT_TIMEOUT, REQUEST_TIMEOUT};

/// Where somebody may answer who could be a member.
#[derive(Clone, Debug)]
pub struct CandidateLink {
    /// `HOST:PORT`.
    pub address: String,
    /// Connects when it is first used, and again when it breaks.
    pub client: PeerServiceClient<Channel>,
}

/// A link per address, each address once. Fails with the address that is none.
pub fn candidates(peers: impl IntoIterator<Item = String>) -> Result<Vec<CandidateLink>, String> {
    let mut links: Vec<CandidateLink> = Vec::new();
    for address in peers {
        if links.iter().any(|link| link.address == address) {
            continue;
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| address.clone())?;
        let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).timeout(REQUEST_TIMEOUT).connect_lazy();
        links.push(CandidateLink { address, client: PeerServiceClient::new(channel) });
    }
    Ok(links)
}
