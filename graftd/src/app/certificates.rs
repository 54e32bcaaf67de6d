//! Shows in metrics when the certificates of this member end, as they are in use.

use std::sync::Arc;

use tokio::time::interval;

use super::error::Failure;
use crate::observability::metrics::Metrics;
use crate::tls::LOOK_EVERY;
use crate::tls::clients::ClientTls;
use crate::tls::members::PeerSecurity;

/// Looks until it is dropped.
pub(super) async fn watch((members, clients): (PeerSecurity, Option<ClientTls>), metrics: Arc<Metrics>) -> Result<(), Failure> {
    let mut look = interval(LOOK_EVERY);
    loop {
        look.tick().await;
        let ends = [("peer", members.expires()), ("client", clients.as_ref().map(ClientTls::expires))];
        for (kind, ends) in ends {
            if let Some(ends) = ends {
                metrics.cluster.certificate_ends.with_label_values(&[kind]).set(ends);
            }
        }
    }
}
