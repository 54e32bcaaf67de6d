//! What a client shows of itself: a token, in the metadata `authorization` of each call and of each worker's stream.
//!
//! - Nobody sees it: it stands in no error and no `Debug`, and HTTP/2 is told to keep it out of its tables.
//! - It goes to this machine, or over TLS: an address for which neither is true gets nothing at all, whoever has named it.
//! - A file is looked at again every [`LOOK_EVERY`], before a worker opens a stream, and when a token was refused: the token that was put in the
//!   place of another is in use without a restart. Whoever has read a token keeps it while the file cannot be read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use graft_proto::errors::ErrorCode;
use tonic::metadata::{Ascii, MetadataValue};

use crate::endpoints::{is_loopback, is_secure};
use crate::error::ClientError;

/// How old what was read of a file may be when it is shown.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest token, in bytes: those of identity providers are the long ones.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Where a token comes from.
#[derive(Clone)]
pub(crate) enum Source {
    /// It is this one.
    Text(String),
    /// It stands in this file.
    File(PathBuf),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Source {
    /// What is sent; the error says why there is no token.
    fn read(&self) -> Result<MetadataValue<Ascii>, String> {
        let token = match self {
            Self::Text(text) => text.clone(),
            Self::File(path) => read_file(path).map_err(|error| format!("cannot be read: {error}"))?,
        };
        let token = token.trim();
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("is no token: at least one and at most {TOKEN_BYTES_MAX} characters of ASCII, without spaces"));
        }
        let mut value = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| "is no token".to_owned())?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn named(&self) -> String {
        match self {
            Self::Text(_) => "the token".to_owned(),
            Self::File(path) => format!("token file {}", path.display()),
        }
    }
}

/// The file's text, as far as a token with white space around it could reach.
fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(2 * TOKEN_BYTES_MAX as u64).read_to_string(&mut text)?;
    Ok(text)
}

/// See the module. Cheap to clone; clones share what was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials(Option<Arc<Token>>);

#[derive(Debug)]
struct Token {
    source: Source,
    kept: Mutex<Kept>,
}

/// What was read last.
#[derive(Debug)]
struct Kept {
    value: MetadataValue<Ascii>,
    at: Instant,
    /// The file could not be read since, which was told.
    missed: bool,
}

impl Credentials {
    /// From there, read once so that a mistake is told at once; or nothing.
    ///
    /// # Errors
    /// If there is no token there.
    pub(crate) fn new(source: Option<Source>) -> Result<Self, ClientError> {
        let Some(source) = source else { return Ok(Self(None)) };
        let value = source.read().map_err(|why| ClientError::new(ErrorCode::BadCredentials, "make a client", source.named(), why))?;
        let kept = Mutex::new(Kept { value, at: Instant::now(), missed: false });
        Ok(Self(Some(Arc::new(Token { source, kept }))))
    }

    /// What is to be sent, at most [`LOOK_EVERY`] old; `None`: there is nothing to show.
    pub(crate) fn shown(&self) -> Option<MetadataValue<Ascii>> {
        let token = self.0.as_ref()?;
        let mut kept = token.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.at.elapsed() >= LOOK_EVERY {
            kept.look(&token.source);
        }
        Some(kept.value.clone())
    }

    /// Looks at the file now. Whether there is another token in it.
    pub(crate) fn look(&self) -> bool {
        let Some(token) = &self.0 else { return false };
        token.kept.lock().unwrap_or_else(PoisonError::into_inner).look(&token.source)
    }

    /// Whether they may be shown to this address.
    ///
    /// # Errors
    /// If that is another machine, and everybody on the way to it could read along.
    pub(crate) fn check(&self, url: &str) -> Result<(), ClientError> {
        if self.0.is_none() || is_secure(url) || is_loopback(url) {
            return Ok(());
        }
        let why = "is of another machine and without TLS: the token would go there in the clear";
        Err(ClientError::new(ErrorCode::BadCredentials, "connect", format!("address {url}"), why)
            .remedied("Name an address that begins with https://, or take no token along."))
    }
}

impl Kept {
    fn look(&mut self, source: &Source) -> bool {
        self.at = Instant::now();
        let Source::File(path) = source else { return false };
        match source.read() {
            Ok(value) => {
                self.missed = false;
                std::mem::replace(&mut self.value, value.clone()) != value
            }
            Err(why) => {
                if !std::mem::replace(&mut self.missed, true) {
                    tracing::warn!(file = %path.display(), "the token file {why}; the token that was read before stays in use");
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(token: &str) -> Result<Credentials, ClientError> {
        Credentials::new(Some(Source::Text(token.to_owned())))
    }

    #[test]
    fn a_token_is_sent_and_never_shown() {
        let credentials = text(" graft-api.id.secret\n").unwrap();
        assert_eq!(credentials.shown().unwrap().to_str().unwrap(), "Bearer graft-api.id.secret");
        assert!(credentials.shown().unwrap().is_sensitive());
        assert!(!format!("{credentials:?} {:?}", Source::Text("secret".to_owned())).contains("secret"));
        assert!(Credentials::default().shown().is_none());
        for bad in ["", " \n", "secret secret", "sécret", "sec\nret", &"secret".repeat(2_000)] {
            let error = text(bad).unwrap_err();
            assert!(error.code() == ErrorCode::BadCredentials.name() && !error.to_string().contains("sec"), "{error}");
        }
    }

    #[test]
    fn the_token_that_was_put_in_the_place_of_another_is_sent_and_a_file_that_is_away_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let from_file = || Credentials::new(Some(Source::File(file.clone())));
        let error = from_file().unwrap_err().to_string();
        assert!(error.contains(file.to_str().unwrap()) && error.contains("cannot be read"), "{error}");
        std::fs::write(&file, "one\n").unwrap();
        let credentials = from_file().unwrap();
        assert!(!credentials.look(), "it is the same");
        std::fs::write(&file, "two\n").unwrap();
        assert!(credentials.look());
        assert_eq!(credentials.clone().shown().unwrap().to_str().unwrap(), "Bearer two");
        std::fs::remove_file(&file).unwrap();
        assert!(!credentials.look());
        assert_eq!(credentials.shown().unwrap().to_str().unwrap(), "Bearer two");
    }

    #[test]
    fn what_was_read_is_looked_at_again_after_a_while() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one").unwrap();
        let credentials = Credentials::new(Some(Source::File(file.path().to_owned()))).unwrap();
        std::fs::write(file.path(), "two").unwrap();
        let sent = || credentials.shown().unwrap().to_str().unwrap().to_owned();
        assert_eq!(sent(), "Bearer one");
        credentials.0.as_ref().unwrap().kept.lock().unwrap().at -= LOOK_EVERY;
        assert_eq!(sent(), "Bearer two");
    }

    #[test]
    fn it_goes_to_no_other_machine_in_the_clear() {
        let credentials = text("t").unwrap();
        for url in ["https://graft.example:7420", "http://127.0.0.1:7420", "http://[::1]:1", "http://localhost:7420"] {
            credentials.check(url).unwrap();
        }
        for url in ["http://graft.example:7420", "http://10.0.0.1:7420", "http://localhost.example:1"] {
            let error = credentials.check(url).unwrap_err();
            assert!(error.code() == "GR9014" && error.to_string().contains(url) && error.remedy().contains("https://"), "{error}");
            Credentials::default().check(url).unwrap();
        }
    }
}
