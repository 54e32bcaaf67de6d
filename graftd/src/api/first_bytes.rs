//! What a connection speaks, by its first bytes; and what is said to one that speaks something else.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes that are looked at: enough for a request line's method.
const LOOKED_AT: usize = 64;
/// What a client of HTTP/2 sends first (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames, and why one goes away (RFC 9113, sections 6 and 7).
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const INADEQUATE_SECURITY: u32 = 0xc;
/// Pause before bytes that do not tell yet are looked at again; it doubles with each look, up to the longest, so that many who say no more cost little.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(1);
/// Longest HTTP method that is believed.
const METHOD_BYTES_MAX: usize = 16;
/// How long a refused connection may take to read its answer.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// Bytes of a refused connection that are read and thrown away, so that its answer is not lost to a reset.
const FAREWELL_BYTES_MAX: u64 = 64 << 10;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1, as far as can be seen.
    Http1,
    /// HTTP/2: it has sent all of its preface.
    Http2,
    /// It begins a TLS handshake.
    Tls,
    /// Something else.
    Other,
    /// It was closed without a word.
    Nothing,
}

/// Looks at the first bytes, without taking them, until they tell. The caller bounds the time: what would decide between the versions of
/// HTTP behind this waits for a whole preface, and has no clock.
pub async fn look(stream: &TcpStream) -> io::Result<Speaks> {
    let mut bytes = [0; LOOKED_AT];
    let (mut before, mut pause) = (0, LOOK_AGAIN);
    loop {
        let seen = stream.peek(&mut bytes).await?;
        match judge(&bytes[..seen]) {
            Some(speaks) => return Ok(speaks),
            // What has been seen stays readable, so only time tells whether there is more; the other side may also be gone.
            None if seen == before => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LOOK_AGAIN_MAX);
            }
            None => before = seen,
        }
    }
}

/// What these first bytes tell; `None`: more are needed.
fn judge(bytes: &[u8]) -> Option<Speaks> {
    if let Some(rest) = HTTP2_PREFACE.strip_prefix(bytes)
        && !bytes.is_empty()
    {
        return rest.is_empty().then_some(Speaks::Http2);
    }
    Some(if bytes.starts_with(HTTP2_PREFACE) { Speaks::Http2 } else { judge_others(bytes) })
}

fn judge_others(bytes: &[u8]) -> Speaks {
    match bytes {
        [] => return Speaks::Nothing,
        // A TLS record of type handshake, version 3.x.
        [0x16] | [0x16, 3, ..] => return Speaks::Tls,
        _ => {}
    }
    let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let line_end = bytes.iter().position(|byte| *byte == b'\n');
    match bytes.get(method) {
        _ if method == 0 || method > METHOD_BYTES_MAX => Speaks::Other,
        // All that has come so far looks like the beginning of a method.
        None => Speaks::Http1,
        Some(b' ') => match line_end {
            Some(end) if !bytes[..end].windows(6).any(|part| part == b" HTTP/") => Speaks::Other,
            _ => Speaks::Http1,
        },
        Some(_) => Speaks::Other,
    }
}

/// Says what this port speaks (over TLS, or plainly), in a line that is plain to a person and an answer to whoever understands HTTP, and closes.
pub async fn refuse(mut stream: TcpStream, speaks: Speaks, tls: bool) -> io::Result<()> {
    let answer = match speaks {
        Speaks::Http2 => go_away(text(speaks, tls)),
        _ => answer(text(speaks, tls)),
    };
    let farewell = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        let mut rest = (&mut stream).take(FAREWELL_BYTES_MAX);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    match tokio::time::timeout(FAREWELL_MAX, farewell).await {
        Ok(done) => done.map(drop),
        Err(_) => Ok(()),
    }
}

fn text(speaks: Speaks, tls: bool) -> &'static str {
    match speaks {
        Speaks::Tls => {
            "This port speaks plain gRPC (HTTP/2) and HTTP/1.1, and you began a TLS handshake: use http:// in place of https://.\n"
        }
        Speaks::Http1 | Speaks::Http2 => "This port speaks gRPC (HTTP/2) and HTTP/1.1 over TLS: use https:// in place of http://.\n",
        _ if tls => "This port speaks gRPC (HTTP/2) and HTTP/1.1 over TLS, and what you sent is no TLS handshake: use https://.\n",
        _ => "This port speaks gRPC (HTTP/2) and HTTP/1.1, and what you sent is neither: GET / says more.\n",
    }
}

fn answer(text: &str) -> Vec<u8> {
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n";
    format!("{head}content-length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

/// The same in HTTP/2: a frame of settings, with which a server begins, and one that says why it goes away (RFC 9113, sections 6.5 and 6.8).
fn go_away(text: &str) -> Vec<u8> {
    let frame = |kind: u8, payload: &[u8]| {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, 0], &[0; 4], payload].concat()
    };
    let reason = [&[0; 4], INADEQUATE_SECURITY.to_be_bytes().as_slice(), text.trim_end().as_bytes()].concat();
    [frame(SETTINGS, &[]), frame(GOAWAY, &reason)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_let_through_as_soon_as_it_may_be_http() {
        for text in ["GET / HTTP/1.1\r\n", "PO", "POST", "OPTIONS /", "GET /a-path-that-is-longer-than-what-is-looked-at"] {
            assert_eq!(judge(text.as_bytes()), Some(Speaks::Http1), "{text}");
        }
        assert_eq!(judge(HTTP2_PREFACE), Some(Speaks::Http2));
        assert_eq!(judge(&[HTTP2_PREFACE, b"\0\0\0"].concat()), Some(Speaks::Http2));
        for text in ["P", "PR", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            assert_eq!(judge(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_tls_client_is_recognised() {
        assert_eq!(judge(&[0x16, 3, 1, 2, 0, 1]), Some(Speaks::Tls));
        assert_eq!(judge(&[0x16]), Some(Speaks::Tls));
    }

    #[test]
    fn other_protocols_are_recognised() {
        for text in [
            "SSH-2.0-OpenSSH_9.6\r\n",
            "*1\r\n$4\r\nPING\r\n",
            "EHLO example\r\n",
            "\0\0\0\x08",
            "hello\n",
            "{\"a\":1}",
            "AAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(judge(text.as_bytes()), Some(Speaks::Other), "{text}");
        }
        assert_eq!(judge(b""), Some(Speaks::Nothing));
    }

    #[test]
    fn the_answer_is_http_and_says_what_to_do() {
        assert!(text(Speaks::Http1, true).contains("use https:// in place of http://"));
        assert!(text(Speaks::Other, true).contains("no TLS handshake"));
        let text_of = |speaks| String::from_utf8(answer(text(speaks, false))).expect("text");
        let text = text_of(Speaks::Tls);
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n") && text.contains("use http:// in place of https://"));
        assert!(text_of(Speaks::Other).contains("GET / says more"));
    }
}
