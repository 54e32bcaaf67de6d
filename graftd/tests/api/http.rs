//! HTTP/1.1 as a plain client speaks it: one request a connection, and an answer that is read whole or line by line.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::member::{Member, within};

/// An answer, read whole.
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// A header's value; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        header(&self.head, name)
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The problem, which it has to be.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!((self.status, self.header("content-type")), (status, "application/problem+json"), "{}", self.body);
        assert_eq!((&problem["code"], &problem["status"]), (&Value::from(code), &Value::from(status)), "{}", self.body);
        assert_eq!(problem["type"], Value::from(format!("/api/v1/errors/{code}")));
        problem
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    head.lines().find_map(value).unwrap_or_default()
}

/// An answer that is read as it comes.
pub struct Lines {
    stream: BufReader<TcpStream>,
    chunk: usize,
    pub status: u16,
    pub head: String,
}

impl Lines {
    /// The next line of the body, without its end; `None` at its end.
    pub async fn next(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            if self.chunk == 0 {
                let mut size = String::new();
                within(self.stream.read_line(&mut size)).await.expect("readable");
                if size == "\r\n" {
                    continue;
                }
                self.chunk = usize::from_str_radix(size.trim(), 16).ok()?;
                if self.chunk == 0 {
                    assert!(line.is_empty(), "the last line has an end");
                    return None;
                }
            }
            let byte = within(self.stream.read_u8()).await.expect("readable");
            self.chunk -= 1;
            if byte == b'\n' {
                return Some(String::from_utf8(line).expect("UTF-8"));
            }
            line.push(byte);
        }
    }

    /// The next server-sent event as (id, type, data); `None` at the end. Comments are skipped.
    pub async fn event(&mut self) -> Option<(String, String, String)> {
        let (mut id, mut kind, mut data) = Default::default();
        loop {
            let line = self.next().await?;
            match line.split_once(':') {
                Some(("id", value)) => id = value.trim().to_owned(),
                Some(("event", value)) => kind = value.trim().to_owned(),
                Some(("data", value)) => data = value.trim().to_owned(),
                None if line.is_empty() && (String::new(), String::new(), String::new()) != (id.clone(), kind.clone(), data.clone()) => {
                    return Some((id, kind, data));
                }
                _ => {}
            }
        }
    }
}

impl Member {
    /// Asks, with these headers; the answer as it comes.
    pub async fn open_http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Lines {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        if headers.iter().all(|(name, _)| *name != "host") {
            head.push_str("host: localhost\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let stream = TcpStream::connect(self.address).await.expect("it accepts");
        let mut stream = BufReader::new(stream);
        stream.write_all(&[head.as_bytes(), b"\r\n", body].concat()).await.expect("it reads");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(within(stream.read_line(&mut head)).await.expect("readable") > 0, "no answer: {head}");
        }
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no HTTP: {head}"));
        Lines { stream, chunk: 0, status, head }
    }

    /// Asks, and reads all of the answer.
    pub async fn http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut lines = self.open_http(method, path, headers, body).await;
        let mut text = String::new();
        if header(&lines.head, "transfer-encoding") == "chunked" {
            while let Some(line) = lines.next().await {
                text += &line;
                text.push('\n');
            }
        } else {
            within(lines.stream.read_to_string(&mut text)).await.expect("UTF-8");
        }
        Answer { status: lines.status, head: lines.head, body: text }
    }

    /// `GET`.
    pub async fn fetch(&self, path: &str) -> Answer {
        self.http("GET", path, &[], b"").await
    }

    /// A verb with a JSON body.
    pub async fn send_json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.http(method, path, &[("content-type", "application/json")], body.to_string().as_bytes()).await
    }
}
