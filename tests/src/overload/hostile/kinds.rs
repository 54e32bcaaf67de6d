//! The kinds of hostile connections.
//!
//! Each is a loop that opens a connection, does its worst, and begins again when it is thrown out. Each kind runs so many of them, and each of those does so
//! much in a tick: that bounds what it does in a second.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::wire;

/// How often a connection does a portion of its worst.
const TICK: Duration = Duration::from_millis(5);
/// Longest time of one connection that waits for something; and of what reads slowly.
const HELD: Duration = Duration::from_secs(30);
/// Longest time until each kind has done something.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);
/// Pause before a connection is opened anew.
const AGAIN: Duration = Duration::from_millis(10);
/// Streams that are opened and given up in a tick.
const RESETS: u32 = 50;
/// Pings, or settings, in a tick.
const QUESTIONS: usize = 200;
/// Frames of an endless head in a tick.
const MORE_HEAD: usize = 8;
/// Bytes of a message that is too large, as it says itself.
const TOO_LARGE: u32 = 1 << 30;
/// Bytes of it that are sent in a tick.
const PIECE: usize = 16 << 10;
/// A page that is as large as pages get.
const PAGE: &str = "/api/v1/namespaces/default/workflows?limit=1000";
/// A call that is begun, and never made.
const CALL: &str = "/graft.v1.WorkflowService/Start";

/// Where they go, `HOST:PORT`.
#[derive(Clone, Debug)]
pub struct Targets {
    /// For clients, in the clear.
    pub clients: String,
    /// For members, over TLS.
    pub members: String,
}

/// All kinds.
pub const KINDS: [&str; 13] = [
    "rapid_resets",
    "ping_floods",
    "settings_floods",
    "endless_heads",
    "half_heads",
    "half_prefaces",
    "slow_readers",
    "slow_streams",
    "huge_lists",
    "oversized_messages",
    "bad_tokens",
    "tls_handshakes",
    "tls_where_none_is",
];

/// Runs these kinds (one, or `all`) for this time; how often each did what it does.
///
/// # Errors
/// If there is no such kind.
pub async fn run(which: &str, targets: &Targets, time: Duration) -> Result<BTreeMap<&'static str, u64>, String> {
    let mut all = JoinSet::new();
    let mut counts = BTreeMap::new();
    for kind in KINDS.into_iter().filter(|kind| which == "all" || which == *kind) {
        let count = Arc::new(AtomicU64::new(0));
        let Targets { clients, members } = targets.clone();
        match kind {
            "rapid_resets" => crowd(&mut all, 4, clients, &count, rapid_resets),
            "ping_floods" => crowd(&mut all, 4, clients, &count, |to, count| asking(to, count, wire::ping())),
            "settings_floods" => crowd(&mut all, 4, clients, &count, |to, count| asking(to, count, wire::settings())),
            "endless_heads" => crowd(&mut all, 4, clients, &count, endless_heads),
            "half_heads" => crowd(&mut all, 200, clients, &count, |to, count| {
                silent(to, count, b"POST /api/v1/namespaces/default/workflows HTTP/1.1\r\nHo")
            }),
            "half_prefaces" => crowd(&mut all, 200, clients, &count, |to, count| silent(to, count, b"PRI * HTTP/2.0\r\n\r\nSM")),
            "slow_readers" => crowd(&mut all, 50, clients, &count, slow_readers),
            "slow_streams" => crowd(&mut all, 8, clients, &count, slow_streams),
            "huge_lists" => crowd(&mut all, 4, clients, &count, huge_lists),
            "oversized_messages" => crowd(&mut all, 8, clients, &count, oversized_messages),
            "bad_tokens" => crowd(&mut all, 4, clients, &count, bad_tokens),
            "tls_handshakes" => crowd(&mut all, 4, members, &count, handshakes),
            "tls_where_none_is" => crowd(&mut all, 4, clients, &count, handshakes),
            _ => unreachable!("all kinds are above"),
        }
        counts.insert(kind, count);
    }
    if counts.is_empty() {
        return Err(format!("{which}: there are {}, and all", KINDS.join(", ")));
    }
    tokio::time::sleep(time).await;
    // On a machine that is busy with others it may take longer until each has begun.
    let begun = async {
        while counts.values().any(|count| count.load(Ordering::Relaxed) == 0) {
            tokio::time::sleep(TICK).await;
        }
    };
    let _ = tokio::time::timeout(BEGUN_WITHIN, begun).await; // whoever has not is told by its count
    all.shutdown().await;
    Ok(counts.into_iter().map(|(kind, count)| (kind, count.load(Ordering::Relaxed))).collect())
}

/// So many connections, each of which is opened anew when it is over, however that was.
fn crowd<F, Fut>(all: &mut JoinSet<()>, connections: usize, to: String, count: &Arc<AtomicU64>, one: F)
where
    F: Fn(TcpStream, Arc<AtomicU64>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = io::Result<()>> + Send,
{
    for _ in 0..connections {
        let (to, count, one) = (to.clone(), count.clone(), one.clone());
        all.spawn(async move {
            loop {
                if let Ok(stream) = connect(&to).await {
                    let _ = one(stream, count.clone()).await; // it was thrown out, as it deserves
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}

/// With little room for what comes: who reads slowly is felt soon.
async fn connect(to: &str) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(16 << 10)?;
    let stream = socket.connect(to.parse().map_err(io::Error::other)?).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a portion in each tick, and throws away what comes, until the other side has enough.
async fn flood(mut stream: TcpStream, begin: Vec<u8>, mut portion: impl FnMut() -> Vec<u8>) -> io::Result<()> {
    let (mut reads, mut writes) = stream.split();
    let reading = async { tokio::io::copy(&mut reads, &mut tokio::io::sink()).await.map(drop) };
    let writing = async {
        writes.write_all(&begin).await?;
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            writes.write_all(&portion()).await?;
        }
    };
    tokio::select! {
        read = reading => read,
        written = writing => written,
    }
}

/// Opens streams and gives them up at once.
async fn rapid_resets(stream: TcpStream, count: Arc<AtomicU64>) -> io::Result<()> {
    let mut next = 1;
    flood(stream, wire::begin(65_535), || {
        count.fetch_add(RESETS.into(), Ordering::Relaxed);
        let streams = (0..RESETS).map(|at| next + 2 * at);
        let portion = streams.flat_map(|stream| [wire::call(stream, CALL), wire::reset(stream)].concat()).collect();
        next += 2 * RESETS;
        portion
    })
    .await
}

/// Asks what has to be answered, and is of no use.
async fn asking(stream: TcpStream, count: Arc<AtomicU64>, question: Vec<u8>) -> io::Result<()> {
    flood(stream, wire::begin(65_535), || {
        count.fetch_add(QUESTIONS as u64, Ordering::Relaxed);
        question.repeat(QUESTIONS)
    })
    .await
}

/// Begins a head that does not end.
async fn endless_heads(stream: TcpStream, count: Arc<AtomicU64>) -> io::Result<()> {
    let begin = [wire::begin(65_535), wire::endless_head(1)].concat();
    flood(stream, begin, || {
        count.fetch_add(MORE_HEAD as u64, Ordering::Relaxed);
        wire::more_head(1).repeat(MORE_HEAD)
    })
    .await
}

/// Says so much, and no more.
async fn silent(mut stream: TcpStream, count: Arc<AtomicU64>, said: &'static [u8]) -> io::Result<()> {
    stream.write_all(said).await?;
    count.fetch_add(1, Ordering::Relaxed);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.map(drop)
}

/// Asks for large pages over HTTP/1.1, and reads a little of them now and then.
async fn slow_readers(mut stream: TcpStream, count: Arc<AtomicU64>) -> io::Result<()> {
    let asked = format!("GET {PAGE} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(16);
    stream.write_all(asked.as_bytes()).await?;
    count.fetch_add(1, Ordering::Relaxed);
    let reading = async {
        let mut byte = [0; 1];
        while stream.read(&mut byte).await? > 0 {
            tokio::time::sleep(TICK * 20).await;
        }
        Ok(())
    };
    tokio::time::timeout(HELD, reading).await.unwrap_or(Ok(()))
}

/// Asks for large pages on many streams, and lets none of them come.
async fn slow_streams(mut stream: TcpStream, count: Arc<AtomicU64>) -> io::Result<()> {
    const STREAMS: u32 = 100;
    stream.write_all(&wire::begin(0)).await?;
    for at in 0..STREAMS {
        stream.write_all(&wire::get(2 * at + 1, PAGE)).await?;
        count.fetch_add(1, Ordering::Relaxed);
    }
    let reading = async { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop) };
    tokio::time::timeout(HELD, reading).await.unwrap_or(Ok(()))
}

/// Asks for one page after the other, and reads them.
async fn huge_lists(stream: TcpStream, count: Arc<AtomicU64>) -> io::Result<()> {
    one_after_the_other(stream, count, &format!("GET {PAGE} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
}

/// Shows tokens that nobody made.
async fn bad_tokens(stream: TcpStream, count: Arc<AtomicU64>) -> io::Result<()> {
    let token = format!("graft_{}", uuid::Uuid::new_v4().simple());
    one_after_the_other(
        stream,
        count,
        &format!("GET /api/v1/access/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"),
    )
    .await
}

/// A request after the answer to the last one.
async fn one_after_the_other(mut stream: TcpStream, count: Arc<AtomicU64>, asked: &str) -> io::Result<()> {
    let mut read = Vec::new();
    loop {
        stream.write_all(asked.as_bytes()).await?;
        read.clear();
        let head = loop {
            if let Some(end) = read.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        let lines = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
        let length = lines.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
        let Some(length) = length else { return Ok(()) };
        while read.len() < head + length {
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        }
        count.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(TICK).await;
    }
}

/// Says that a message of a gigabyte comes, and sends it.
async fn oversized_messages(stream: TcpStream, count: Arc<AtomicU64>) -> io::Result<()> {
    let begin = [wire::begin(65_535), wire::call(1, CALL), wire::data(1, &wire::message_length(TOO_LARGE))].concat();
    count.fetch_add(1, Ordering::Relaxed);
    flood(stream, begin, || wire::data(1, &[b'x'; PIECE])).await
}

/// Begins a handshake, has the other side do its part, and goes.
async fn handshakes(mut stream: TcpStream, count: Arc<AtomicU64>) -> io::Result<()> {
    stream.write_all(&wire::client_hello()).await?;
    stream.read_exact(&mut [0; 1]).await?;
    count.fetch_add(1, Ordering::Relaxed);
    Ok(())
}
