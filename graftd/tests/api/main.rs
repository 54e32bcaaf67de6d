//! The API floor over real floors: one member in this process, over files in a temporary directory, spoken to through its port.
//!
//! Workers here are scripted, message by message ([`worker`]): what the SDK makes of the protocol is tested with the SDK.

mod access;
mod dead_letters;
mod diagnosing;
mod exporting;
mod http;
mod limiting;
mod member;
mod openapi;
mod other_protocols;
mod reading;
mod redacting;
mod refusing;
mod rest;
mod rest_access;
mod rest_tasks;
mod stalling;
mod standard;
mod starting;
mod starting_many;
mod steering;
mod subscribing;
mod three;
mod watching;
mod worker;
mod worker_stream;
