//! A wall clock that can be moved while its process runs: libfaketime, preloaded, which reads how far from a file. The monotonic clock is the
//! machine's: nothing can move that one in earnest.

use std::fs;
use std::path::{Path, PathBuf};

use crate::http;
use crate::member::Member;

/// Where the library may be: Debian's places.
const PLACES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

fn library() -> Option<&'static str> {
    PLACES.into_iter().find(|place| Path::new(place).exists())
}

/// Why clocks cannot be moved here.
///
/// # Errors
/// They cannot.
pub fn possible() -> Result<(), String> {
    library().map(drop).ok_or_else(|| "libfaketime is not there (Debian: faketime)".to_owned())
}

fn file(member: &Member) -> PathBuf {
    member.config_path().with_file_name("clock")
}

/// Gives a member a clock that can be moved, from its next start on.
///
/// # Errors
/// The library or its file is not to be had.
pub fn wear(member: &mut Member) -> Result<(), String> {
    let library = library().ok_or("libfaketime is not there (Debian: faketime)")?;
    move_to(member, 0)?;
    for (name, value) in [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", file(member).to_str().expect("utf-8")),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_RESET", "1"),
    ] {
        member.set_variable(name, value);
    }
    Ok(())
}

/// Moves a member's clock so many seconds from the machine's.
///
/// # Errors
/// The file cannot be written.
pub fn move_to(member: &Member, seconds: i64) -> Result<(), String> {
    let file = file(member);
    // It is read at any moment, and must never be half a number.
    let next = file.with_extension("next");
    fs::write(&next, format!("{seconds:+}\n"))
        .and_then(|()| fs::rename(&next, &file))
        .map_err(|error| format!("{}: {error}", file.display()))
}

/// Whether a member's process has the library whose clock it reads.
pub fn is_worn_by(member: &Member) -> bool {
    let maps = member.process_id().map(|id| fs::read_to_string(format!("/proc/{id}/maps")).unwrap_or_default());
    maps.is_some_and(|maps| maps.contains("libfaketime"))
}

/// How far a member's clock stands from the machine's, in seconds, as the head of one of its answers tells it: to about two seconds, and as far as half
/// a day.
pub fn shown_by(member: &Member) -> Option<i64> {
    const DAY: i64 = 86_400;
    let date = http::date(&member.client_address).ok()?;
    // "Thu, 26 Nov 2026 08:42:00 GMT"
    let time = date.split(' ').nth(4)?;
    let mut parts = time.split(':').map(str::parse::<i64>);
    let (hours, minutes, seconds) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs() as i64 % DAY;
    let apart = (hours * 3_600 + minutes * 60 + seconds - now).rem_euclid(DAY);
    Some(if apart > DAY / 2 { apart - DAY } else { apart })
}
