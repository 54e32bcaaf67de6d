//! Consensus end to end: members in this process, over real files and loopback TCP.

mod member;
mod single;
mod three;
