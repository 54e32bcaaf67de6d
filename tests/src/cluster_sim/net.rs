//! The network between the members: streams of bytes that take their time, stall while a way is cut, and break when an end is gone.
//!
//! It is TCP as far as members notice: what is written arrives in order, or the stream ends. What is "lost" comes later, as a retransmission
//! would; a cut stalls one direction, and what was on its way arrives after it. A process that is killed resets its connections; one whose power
//! went says nothing, until somebody talks to it after its return. tonic and its HTTP/2 run over these streams as they are.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::FutureExt;
use futures::future::BoxFuture;
use graftd::tls::members::{Carried, Carrier};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tonic::transport::server::Connected;

use crate::loop_sim::rng::Rng;

/// Bytes that may be on their way in one direction; then the writer waits.
const WINDOW_BYTES: usize = 1 << 20;
/// How much later what was lost arrives, in milliseconds.
const RETRANSMIT_MS: u64 = 200;

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    from: usize,
    to: usize,
    /// With the time at which each arrives; an empty one is the end.
    on_the_way: VecDeque<(u64, Vec<u8>)>,
    bytes_on_the_way: usize,
    arrived: VecDeque<u8>,
    ended: bool,
    /// Neither end will hear of the other again.
    broken: bool,
    /// The process at that end is no more, and nobody has said so.
    silent: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    fn break_off(&mut self) {
        self.broken = true;
        self.on_the_way.clear();
        self.wake();
    }
}

struct Dial {
    from: usize,
    to: usize,
    due: u64,
    answer: oneshot::Sender<io::Result<Stream>>,
}

struct Inner {
    now: u64,
    rng: Rng,
    /// Longest way, in milliseconds.
    delay: u64,
    /// What is lost, in thousandths.
    loss: u64,
    /// From, to, until when.
    cuts: Vec<(usize, usize, u64)>,
    pipes: BTreeMap<u64, Pipe>,
    dials: Vec<Dial>,
    listeners: BTreeMap<usize, mpsc::UnboundedSender<Stream>>,
    /// Machines whose power is off.
    dark: Vec<usize>,
    last: u64,
}

impl Inner {
    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.iter().any(|(f, t, until)| *f == from && *t == to && *until > self.now)
    }

    fn arrives(&mut self) -> u64 {
        let lost = self.rng.chance(self.loss);
        self.now + 1 + self.rng.below(self.delay) + if lost { RETRANSMIT_MS } else { 0 }
    }
}

/// The network. Clones are handles to the same one.
#[derive(Clone)]
pub struct Net(Arc<Mutex<Inner>>);

impl Net {
    /// A network whose ways take up to `delay` milliseconds, and lose so many thousandths.
    pub fn new(delay: u64, loss: u64, rng: Rng) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            now: 0,
            rng,
            delay,
            loss,
            cuts: Vec::new(),
            pipes: BTreeMap::new(),
            dials: Vec::new(),
            listeners: BTreeMap::new(),
            dark: Vec::new(),
            last: 0,
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing goes this way until then.
    pub fn cut(&self, from: usize, to: usize, until: u64) {
        self.inner().cuts.push((from, to, until));
    }

    /// Every way is open, quick and safe again.
    pub fn mend(&self) {
        let mut inner = self.inner();
        inner.cuts.clear();
        (inner.loss, inner.delay) = (0, 3);
    }

    /// A member listens; what comes in.
    pub fn listen(&self, member: usize) -> mpsc::UnboundedReceiver<Stream> {
        let (sender, incoming) = mpsc::unbounded_channel();
        let mut inner = self.inner();
        inner.dark.retain(|dark| *dark != member);
        inner.listeners.insert(member, sender);
        incoming
    }

    /// A member's process is no more; with `power`, nobody says so.
    pub fn gone(&self, member: usize, power: bool) {
        let mut inner = self.inner();
        inner.listeners.remove(&member);
        inner.dials.retain(|dial| dial.from != member);
        if power {
            inner.dark.push(member);
        }
        for pipe in inner.pipes.values_mut().filter(|pipe| pipe.from == member || pipe.to == member) {
            match power {
                true => pipe.silent = true,
                false => pipe.break_off(),
            }
        }
    }

    /// Connections from this member, for its client side.
    pub fn from(&self, member: usize) -> Arc<dyn Carrier> {
        Arc::new(From { net: self.clone(), member })
    }

    /// Time has come to `now`: what is due arrives.
    pub fn deliver(&self, now: u64) {
        // Streams that nobody takes: dropped when the network is not held any more.
        let mut waste = Vec::new();
        self.deliver_into(now, &mut waste);
    }

    fn deliver_into(&self, now: u64, waste: &mut Vec<Stream>) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        inner.now = now;
        inner.cuts.retain(|(_, _, until)| *until > now);
        for dial in std::mem::take(&mut inner.dials) {
            let open = !inner.is_cut(dial.from, dial.to) && !inner.is_cut(dial.to, dial.from);
            if dial.answer.is_closed() {
                continue;
            }
            if dial.due > now || !open || inner.dark.contains(&dial.to) {
                inner.dials.push(dial);
                continue;
            }
            let Some(listener) = inner.listeners.get(&dial.to).cloned() else {
                let _ = dial.answer.send(Err(io::ErrorKind::ConnectionRefused.into()));
                continue;
            };
            inner.last += 2;
            let (there, back) = (inner.last, inner.last + 1);
            inner.pipes.insert(there, Pipe { from: dial.from, to: dial.to, ..Pipe::default() });
            inner.pipes.insert(back, Pipe { from: dial.to, to: dial.from, ..Pipe::default() });
            let near = Stream { net: self.clone(), reads: back, writes: there };
            let far = Stream { net: self.clone(), reads: there, writes: back };
            if let Err(mpsc::error::SendError(far)) = listener.send(far) {
                waste.push(far);
            }
            if let Err(Ok(near)) = dial.answer.send(Ok(near)) {
                waste.push(near);
            }
        }
        let cuts = std::mem::take(&mut inner.cuts);
        let cut = |from: usize, to: usize| cuts.iter().any(|(f, t, _)| *f == from && *t == to);
        let mut reset = Vec::new();
        for (id, pipe) in &mut inner.pipes {
            if cut(pipe.from, pipe.to) {
                continue;
            }
            while pipe.on_the_way.front().is_some_and(|(due, _)| *due <= now) {
                let Some((_, data)) = pipe.on_the_way.pop_front() else { break };
                pipe.bytes_on_the_way -= data.len();
                if pipe.silent {
                    // Whoever has come back knows nothing of this connection.
                    if !inner.dark.contains(&pipe.to) {
                        reset.push(*id);
                    }
                    continue;
                }
                match data.is_empty() {
                    true => pipe.ended = true,
                    false => pipe.arrived.extend(data),
                }
                pipe.wake();
            }
        }
        inner.cuts = cuts;
        for id in reset {
            for id in [id & !1, id | 1] {
                inner.pipes.get_mut(&id).into_iter().for_each(Pipe::break_off);
            }
        }
    }
}

struct From {
    net: Net,
    member: usize,
}

impl std::fmt::Debug for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "from member {}", self.member)
    }
}

/// Where a member answers others.
pub fn address(member: usize) -> String {
    format!("m{member}:7000")
}

impl Carrier for From {
    fn connect(&self, address: String) -> BoxFuture<'static, io::Result<Box<dyn Carried>>> {
        let to = address.strip_prefix('m').and_then(|rest| rest.split(':').next()).and_then(|number| number.parse().ok());
        let Some(to) = to else { return async { Err(io::ErrorKind::InvalidInput.into()) }.boxed() };
        let (answer, connected) = oneshot::channel();
        let mut inner = self.net.inner();
        let due = inner.arrives();
        inner.dials.push(Dial { from: self.member, to, due, answer });
        async move {
            let stream = connected.await.unwrap_or_else(|_| Err(io::ErrorKind::ConnectionAborted.into()))?;
            Ok(Box::new(stream) as Box<dyn Carried>)
        }
        .boxed()
    }
}

/// One end of a connection.
pub struct Stream {
    net: Net,
    reads: u64,
    writes: u64,
}

impl Connected for Stream {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.net.inner();
        let Some(pipe) = inner.pipes.get_mut(&self.reads) else { return Poll::Ready(Err(reset())) };
        if pipe.arrived.is_empty() {
            if pipe.broken {
                return Poll::Ready(Err(reset()));
            }
            if pipe.ended {
                return Poll::Ready(Ok(()));
            }
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (first, _) = pipe.arrived.as_slices();
        let count = first.len().min(buf.remaining());
        buf.put_slice(&first[..count]);
        pipe.arrived.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.net.inner();
        let due = inner.arrives();
        let Some(pipe) = inner.pipes.get_mut(&self.writes).filter(|pipe| !pipe.broken) else { return Poll::Ready(Err(reset())) };
        if pipe.bytes_on_the_way >= WINDOW_BYTES {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if !data.is_empty() {
            let due = due.max(pipe.on_the_way.back().map_or(0, |(last, _)| *last));
            pipe.bytes_on_the_way += data.len();
            pipe.on_the_way.push_back((due, data.to_vec()));
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl Stream {
    /// Nothing more is written.
    fn end(&self) {
        let mut inner = self.net.inner();
        let due = inner.arrives();
        if let Some(pipe) = inner.pipes.get_mut(&self.writes).filter(|pipe| !pipe.broken && !pipe.silent) {
            let due = due.max(pipe.on_the_way.back().map_or(0, |(last, _)| *last));
            pipe.on_the_way.push_back((due, Vec::new()));
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
        let mut inner = self.net.inner();
        if let Some(pipe) = inner.pipes.get_mut(&self.reads).filter(|pipe| !pipe.silent) {
            pipe.break_off();
        }
        // The last end takes both directions with it.
        let over = |pipe: &Pipe| (pipe.broken || pipe.silent) && pipe.on_the_way.is_empty();
        let both = [self.reads & !1, self.reads | 1];
        if both.iter().all(|id| inner.pipes.get(id).is_none_or(over)) {
            both.iter().for_each(|id| drop(inner.pipes.remove(id)));
        }
    }
}
