//! The client against servers that follow a script: what is asked, repeated and reported, and where.
mod controls;
mod desk;
mod events;
mod finding;
mod many;
mod many_starts;
mod operating;
mod patience;
mod retries;
mod scripted;
mod waiting;
