//! An API server of Kubernetes for tests, that says what it is told to say.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::service_account::ServiceAccount;

/// Answers one request after the other, each with the next of these; what was asked, with which token.
pub async fn server(answers: Vec<(u16, Value)>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for (code, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let token = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap();
            asked.push(format!("{} as {token}", head.lines().next().unwrap()));
            let body = body.to_string();
            let answer = format!(
                "HTTP/1.1 {code} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (url, serving)
}

/// An account there, in the namespace `ns`, with the token `secret`.
pub fn account(url: &str) -> (TempDir, ServiceAccount) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "secret").unwrap();
    std::fs::write(folder.path().join("namespace"), "ns\n").unwrap();
    let answer = Duration::from_secs(30);
    let account = ServiceAccount { server: Some(url.to_owned()), account: folder.path().to_owned(), namespace: None, answer };
    (folder, account)
}

/// A request that is refused.
pub fn status(code: u16, message: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}))
}
