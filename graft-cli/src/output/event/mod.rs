//! One event as a line for people: [`line()`].
mod words;

pub(crate) use words::line;
