//! The client against servers that follow a script: what is asked, repeated and reported, and where.
mod controls;
mod many;
mod patience;
mod retries;
mod scripted;
mod waiting;
