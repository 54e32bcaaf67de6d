//! REST: the verbs of the gRPC services over JSON, below `/api/v1`.
//!
//! Thin on purpose. A verb reads path, query and body into the message that a gRPC client would send, hands it to the same service, and
//! writes the answer as one of the documents of [`graft_proto::documents`] that `graft -o json` writes as well. What is refused is refused by
//! the service, with the same code: here it becomes a problem document.
//!
//! - [`route`]: the table of routes, which makes both the router and, in [`openapi`], the OpenAPI document: neither has what the other lacks.
//! - [`call`]: a request, read: [`query`] by its schema, [`bodies`] by their types; [`suggest`]: the nearest name.
//! - [`answer`]: documents, lines, server-sent events, pieces.
//! - One file for each noun: [`workflows`], [`starts`], [`watch`], [`tasks`], [`dead_letters`], [`limits`], [`events`], [`cluster`],
//!   [`membership`], [`access`].
//!
//! Repeating safely: the header `Idempotency-Key` is the request id of the protocol. Who asks: a token in the header `authorization`, a
//! certificate, or, where nobody has to show who it is, the header `graft-client`, as in gRPC. Pages of other origins cannot read answers (no CORS header is sent), and [`origin`] refuses what they would change.

mod access;
mod answer;
mod bodies;
mod call;
mod cluster;
mod dead_letters;
mod events;
mod limits;
mod membership;
mod openapi;
mod origin;
mod query;
mod route;
mod starts;
mod suggest;
mod tasks;
mod watch;
mod workflows;

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use http::header;

pub(crate) use self::origin::Hosts;
use self::route::{ROOT, Table};
use crate::api::Shared;

/// All verbs.
fn table() -> Table {
    let mut table = Table::new();
    workflows::routes(&mut table);
    starts::routes(&mut table);
    watch::routes(&mut table);
    tasks::routes(&mut table);
    dead_letters::routes(&mut table);
    limits::routes(&mut table);
    events::routes(&mut table);
    cluster::routes(&mut table);
    membership::routes(&mut table);
    access::routes(&mut table);
    table
}

/// All paths below `/api/v1`.
pub(super) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let document = get(document).fallback(route::refusing("GET".to_owned()));
    let router = table().router().route(&format!("{ROOT}{}", openapi::PATH), document);
    router.layer(middleware::from_fn_with_state(shared.clone(), origin::guard))
}

async fn document(State(shared): State<Arc<Shared>>) -> Response {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let text = DOCUMENT.get_or_init(|| openapi::document(&mut table(), &shared.api.info.version).to_string());
    route::finished(([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        let mut table = table();
        let routes: BTreeSet<_> =
            table.routes.iter().map(|route| (format!("{ROOT}{}", route.path), route.method.name().to_lowercase())).collect();
        assert_eq!(routes.len(), table.routes.len(), "no verb is there twice");
        let document = openapi::document(&mut table, "1.2.3");
        let paths = document["paths"].as_object().expect("paths");
        let told: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, verbs)| verbs.as_object().expect("verbs").keys().map(move |verb| (path.clone(), verb.clone())))
            .collect();
        assert_eq!(told, routes);
    }

    #[test]
    fn operations_have_names_of_their_own_and_say_what_they_do() {
        let table = table();
        let names: BTreeSet<_> = table.routes.iter().map(|route| route.operation).collect();
        assert_eq!(names.len(), table.routes.len());
        for route in &table.routes {
            assert!(route.about.ends_with('.'), "{}: {}", route.operation, route.about);
            assert!(route.parameters.iter().all(|parameter| !parameter.description.is_empty()), "{}", route.operation);
        }
    }
}
