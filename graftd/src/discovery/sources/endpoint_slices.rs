//! What the EndpointSlices of a Service say: the addresses of its pods. No network here: events go in, addresses come out.
//!
//! A Service has any number of slices. An endpoint moves from one to another, for a moment it is in both or in none, a slice may be empty
//! when it first appears, and its lists may be missing altogether. All that counts is the union. Endpoints that are not ready count too, since
//! members become ready only when they have found each other; and those that are about to go, since they may be the ones that know.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;

/// Most slices that are looked at. Each has room for a hundred endpoints and more.
const SLICES_MAX: usize = 64;

/// At which port of an endpoint members answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerPort {
    /// The port that the Service calls so.
    Named(String),
    /// This one, whatever the Service says.
    Number(u16),
}

impl FromStr for PeerPort {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither the name of a port (as a Service has it) nor a number from 1 to 65535");
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().filter(|port| *port > 0).map(Self::Number).ok_or_else(wrong);
        }
        let name = text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if name { Ok(Self::Named(text.to_owned())) } else { Err(wrong()) }
    }
}

impl fmt::Display for PeerPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// What happened to the slices.
#[derive(Clone, Debug, PartialEq)]
pub enum SliceEvent {
    /// A list begins: what is not in it is gone.
    ListBegins,
    /// A slice of the list.
    Listed(String, Value),
    /// The list is complete.
    ListEnds,
    /// A slice is new, or another.
    Applied(String, Value),
    /// A slice is gone.
    Deleted(String),
}

/// The slices of one Service.
#[derive(Debug)]
pub struct EndpointSlices {
    port: PeerPort,
    slices: BTreeMap<String, Slice>,
    /// Of a list that is not complete yet.
    listing: Option<BTreeMap<String, Slice>>,
}

#[derive(Clone, Debug, Default)]
struct Slice {
    addresses: BTreeSet<String>,
    trouble: Option<String>,
}

/// The part of a slice that counts. Everything may be missing, or null.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    endpoints: Option<Vec<WrittenEndpoint>>,
    #[serde(default)]
    ports: Option<Vec<WrittenPort>>,
}

#[derive(Deserialize)]
struct WrittenEndpoint {
    #[serde(default)]
    addresses: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct WrittenPort {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    port: Option<u16>,
}

impl EndpointSlices {
    /// None are known yet.
    pub fn new(port: PeerPort) -> Self {
        Self { port, slices: BTreeMap::new(), listing: None }
    }

    /// Takes an event in; whether there may be news for others.
    pub fn take(&mut self, event: SliceEvent) -> bool {
        match event {
            SliceEvent::ListBegins => self.listing = Some(BTreeMap::new()),
            SliceEvent::Listed(name, slice) => {
                let read = self.read(&name, slice);
                put(self.listing.get_or_insert_default(), name, read);
            }
            SliceEvent::ListEnds => {
                self.slices = self.listing.take().unwrap_or_default();
                return true;
            }
            SliceEvent::Applied(name, slice) => {
                let read = self.read(&name, slice);
                put(&mut self.slices, name, read);
                return true;
            }
            SliceEvent::Deleted(name) => return self.slices.remove(&name).is_some(),
        }
        false
    }

    /// Whether a list has begun and is not complete.
    pub fn is_listing(&self) -> bool {
        self.listing.is_some()
    }

    /// Of all slices, each once.
    pub fn addresses(&self) -> Vec<String> {
        let all: BTreeSet<&String> = self.slices.values().flat_map(|slice| &slice.addresses).collect();
        all.into_iter().cloned().collect()
    }

    /// What is wrong with slices, if something is.
    pub fn trouble(&self) -> Option<String> {
        let troubles: Vec<&str> = self.slices.values().filter_map(|slice| slice.trouble.as_deref()).collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }

    fn read(&self, name: &str, slice: Value) -> Slice {
        let trouble = |why: String| Slice { trouble: Some(format!("EndpointSlice {name}: {why}")), ..Slice::default() };
        let Written { endpoints, ports } = match serde_json::from_value(slice) {
            Ok(written) => written,
            Err(error) => return trouble(format!("cannot be read: {error}")),
        };
        let hosts: Vec<String> = endpoints.into_iter().flatten().flat_map(|endpoint| endpoint.addresses.unwrap_or_default()).collect();
        if hosts.is_empty() {
            return Slice::default();
        }
        let port = match &self.port {
            PeerPort::Number(number) => *number,
            PeerPort::Named(wanted) => {
                let ports = ports.unwrap_or_default();
                let found = ports.iter().find(|port| port.name.as_deref() == Some(wanted)).and_then(|port| port.port);
                match found {
                    Some(port) => port,
                    None => {
                        let names: Vec<&str> = ports.iter().filter_map(|port| port.name.as_deref()).collect();
                        return trouble(format!("names no port `{wanted}`, but {names:?}"));
                    }
                }
            }
        };
        let mut read = Slice::default();
        for host in hosts {
            match at_port(&host, port) {
                Some(address) => drop(read.addresses.insert(address)),
                None => read.trouble = trouble(format!("`{host}` is no address")).trouble,
            }
        }
        read
    }
}

fn put(slices: &mut BTreeMap<String, Slice>, name: String, slice: Slice) {
    if slices.len() < SLICES_MAX || slices.contains_key(&name) {
        slices.insert(name, slice);
    } else if let Some(mut last) = slices.last_entry() {
        last.get_mut().trouble = Some(format!("more than {SLICES_MAX} EndpointSlices: the others are not looked at"));
    }
}

/// An IP of either family, or a name.
fn at_port(host: &str, port: u16) -> Option<String> {
    match host.parse::<IpAddr>() {
        Ok(ip) => Some(std::net::SocketAddr::new(ip, port).to_string()),
        Err(_) => {
            let name =
                !host.is_empty() && host.len() <= 253 && host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'));
            name.then(|| format!("{host}:{port}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slice(addresses: &[&str]) -> Value {
        let endpoints: Vec<Value> = addresses.iter().map(|address| json!({ "addresses": [address] })).collect();
        json!({ "addressType": "IPv4", "endpoints": endpoints, "ports": [{ "name": "client", "port": 7420 }, { "name": "peer", "port": 7421 }] })
    }

    fn slices() -> EndpointSlices {
        EndpointSlices::new(PeerPort::Named("peer".into()))
    }

    fn applied(slices: &mut EndpointSlices, name: &str, slice: Value) {
        assert!(slices.take(SliceEvent::Applied(name.into(), slice)));
    }

    #[test]
    fn a_slice_that_is_first_empty_is_no_trouble_and_counts_when_it_is_filled() {
        let mut slices = slices();
        for empty in [
            json!({}),
            json!({ "endpoints": null, "ports": null }),
            json!({ "endpoints": [] }),
            json!({ "endpoints": [{ "addresses": null }] }),
        ] {
            applied(&mut slices, "a", empty);
            assert_eq!((slices.addresses(), slices.trouble()), (vec![], None));
        }
        applied(&mut slices, "a", slice(&["10.0.0.1"]));
        assert_eq!(slices.addresses(), ["10.0.0.1:7421"]);
    }

    #[test]
    fn an_endpoint_that_moves_to_another_slice_is_a_candidate_all_the_while() {
        let mut slices = slices();
        applied(&mut slices, "a", slice(&["10.0.0.1", "10.0.0.2"]));
        applied(&mut slices, "b", slice(&["10.0.0.2"]));
        assert_eq!(slices.addresses(), ["10.0.0.1:7421", "10.0.0.2:7421"]);
        applied(&mut slices, "a", slice(&["10.0.0.1"]));
        assert_eq!(slices.addresses(), ["10.0.0.1:7421", "10.0.0.2:7421"]);
        assert!(slices.take(SliceEvent::Deleted("a".into())));
        assert_eq!(slices.addresses(), ["10.0.0.2:7421"]);
        assert!(!slices.take(SliceEvent::Deleted("a".into())), "nothing new");
    }

    #[test]
    fn a_list_takes_the_place_of_what_was_known_when_it_is_complete_and_not_before() {
        let mut slices = slices();
        applied(&mut slices, "a", slice(&["10.0.0.1"]));
        assert!(!slices.take(SliceEvent::ListBegins));
        assert!(!slices.take(SliceEvent::Listed("b".into(), slice(&["10.0.0.2"]))));
        assert!(slices.is_listing());
        assert_eq!(slices.addresses(), ["10.0.0.1:7421"]);
        // The list is broken off, and begins anew.
        assert!(!slices.take(SliceEvent::ListBegins));
        assert!(!slices.take(SliceEvent::Listed("c".into(), slice(&["10.0.0.3"]))));
        assert!(slices.take(SliceEvent::ListEnds));
        assert!(!slices.is_listing());
        assert_eq!(slices.addresses(), ["10.0.0.3:7421"]);
    }

    #[test]
    fn endpoints_count_whether_they_are_ready_or_not_or_about_to_go() {
        let mut slices = slices();
        let mut written = slice(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        written["endpoints"][0]["conditions"] = json!({ "ready": false, "serving": false, "terminating": false });
        written["endpoints"][1]["conditions"] = json!({ "ready": false, "serving": true, "terminating": true });
        written["endpoints"][2]["conditions"] = json!(null);
        applied(&mut slices, "a", written);
        assert_eq!(slices.addresses().len(), 3);
    }

    #[test]
    fn what_makes_no_sense_is_told_and_takes_nothing_else_with_it() {
        let mut slices = slices();
        applied(&mut slices, "good", slice(&["10.0.0.1"]));
        applied(&mut slices, "half", slice(&["10.0.0.2", "not an address"]));
        assert_eq!(slices.trouble().unwrap(), "EndpointSlice half: `not an address` is no address");
        applied(&mut slices, "half", json!({ "endpoints": "many" }));
        assert!(slices.trouble().unwrap().starts_with("EndpointSlice half: cannot be read: invalid type"), "{:?}", slices.trouble());
        assert_eq!(slices.addresses(), ["10.0.0.1:7421"]);
        applied(&mut slices, "half", json!({ "endpoints": [{ "addresses": ["10.0.0.9"] }], "ports": [{ "name": "grpc", "port": 1 }] }));
        assert_eq!(slices.trouble().unwrap(), "EndpointSlice half: names no port `peer`, but [\"grpc\"]");
        applied(
            &mut slices,
            "half",
            json!({ "endpoints": [{ "addresses": ["10.0.0.9"] }], "ports": [{ "name": "peer", "port": 70_000 }] }),
        );
        assert!(slices.trouble().unwrap().contains("cannot be read"));
        slices.take(SliceEvent::Deleted("half".into()));
        assert_eq!(slices.trouble(), None);
    }

    #[test]
    fn both_families_and_names_are_addresses_and_a_number_needs_no_port_of_the_service() {
        let mut slices = EndpointSlices::new("7421".parse().unwrap());
        applied(&mut slices, "six", json!({ "addressType": "IPv6", "endpoints": [{ "addresses": ["2001:db8::1"] }] }));
        applied(&mut slices, "name", json!({ "addressType": "FQDN", "endpoints": [{ "addresses": ["graft-0.example"] }], "ports": [] }));
        assert_eq!(slices.addresses(), ["[2001:db8::1]:7421", "graft-0.example:7421"]);
    }

    #[test]
    fn there_is_a_bound_on_slices_and_who_is_beyond_it_is_told() {
        let mut slices = slices();
        for i in 0..=SLICES_MAX {
            applied(&mut slices, &format!("s{i:03}"), slice(&[&format!("10.0.1.{i}")]));
        }
        assert_eq!(slices.addresses().len(), SLICES_MAX);
        assert_eq!(slices.trouble().unwrap(), "more than 64 EndpointSlices: the others are not looked at");
    }

    #[test]
    fn a_port_is_a_name_or_a_number_and_reads_back() {
        for text in ["peer", "raft-tls", "7421", "1"] {
            assert_eq!(text.parse::<PeerPort>().unwrap().to_string(), text);
        }
        for text in ["", "0", "70000", "Peer", "a b"] {
            assert!(text.parse::<PeerPort>().is_err(), "{text}");
        }
    }
}
