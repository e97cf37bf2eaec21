//! The network: connections between processes, by way of machines that are on or off and directions that are cut. The
//! world says who reaches whom; the seed says how long everything takes.
//!
//! A cut loses nothing for good: what was sent is sent again until it arrives, as TCP does it, and whoever waits for it
//! has a deadline of its own or waits. A process that is killed closes its connections; a machine without power says
//! nothing, and what reaches it after it is on again is told that there is no such connection.

use crate::pipe::{Piece, Pipe, Read};
use interrex_rt::{Awaited, Dial, Link, Listen};
use interrex_sim::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Before what met a cut is sent once more, in microseconds.
const AGAIN: u64 = 200_000;
/// Before a first packet is.
const KNOCK_AGAIN: u64 = 1_000_000;
/// The port of every coordinator.
pub(crate) const PORT: u16 = 7400;

/// The network of one run. Clones are the same.
#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<State>>);

struct State {
    now: u64,
    rng: Rng,
    /// In so many of a hundred cases something has to be sent again.
    loss: u64,
    /// `reach[a][b]`, `near[a][b]`, and which machines are on.
    reach: Vec<Vec<bool>>,
    near: Vec<Vec<bool>>,
    on: Vec<bool>,
    due: BTreeMap<(u64, u64), Due>,
    made: u64,
    pipes: BTreeMap<u64, Pipe>,
    ports: BTreeMap<usize, Queue>,
    knocks: BTreeMap<u64, Knock>,
}

/// What is to happen.
enum Due {
    /// The next piece of a pipe arrives.
    Piece(u64),
    /// Somebody knocks.
    Knock(u64),
    /// An answer to that arrives.
    Answer { knock: u64, read: Option<(u64, u64)> },
}

/// Connections that nobody has taken yet: the pipe to read, the one to write, and from where.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<(u64, u64, usize)>,
    taker: Option<Waker>,
}

/// A connection that is being made.
struct Knock {
    from: usize,
    to: usize,
    answer: Option<io::Result<(u64, u64)>>,
    waker: Option<Waker>,
}

impl Net {
    pub(crate) fn new(machines: usize, loss: u64, rng: Rng, near: Vec<Vec<bool>>) -> Self {
        Self(Arc::new(Mutex::new(State {
            now: 0,
            rng,
            loss,
            reach: vec![vec![true; machines]; machines],
            near,
            on: vec![true; machines],
            due: BTreeMap::new(),
            made: 0,
            pipes: BTreeMap::new(),
            ports: BTreeMap::new(),
            knocks: BTreeMap::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world as it is now.
    pub(crate) fn set(&self, reach: impl Fn(usize, usize) -> bool, on: impl Fn(usize) -> bool) {
        let mut state = self.state();
        let machines = state.on.len();
        for a in 0..machines {
            state.on[a] = on(a);
            for b in 0..machines {
                state.reach[a][b] = reach(a, b);
            }
        }
    }

    /// Everything that is due by `now` happens.
    pub(crate) fn deliver(&self, now: u64) {
        let mut state = self.state();
        state.now = now;
        while let Some(entry) = state.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let due = entry.remove();
            state.happen(due);
        }
    }

    /// How a machine makes connections.
    pub(crate) fn host(&self, machine: usize) -> Host {
        Host { net: self.clone(), machine }
    }

    /// Opens the port of a machine's coordinator.
    pub(crate) fn port(&self, machine: usize) -> Port {
        self.state().ports.insert(machine, Queue::default());
        Port { net: self.clone(), machine }
    }
}

impl State {
    fn at(&mut self, at: u64, due: Due) {
        self.made += 1;
        self.due.insert((at, self.made), due);
    }

    fn delay(&mut self, a: usize, b: usize) -> u64 {
        let base = match (a == b, self.near[a][b]) {
            (true, _) => self.rng.range(30, 100),
            (false, true) => self.rng.tail(80, 2_000),
            (false, false) => self.rng.tail(400, 8_000),
        };
        let again = a != b && self.rng.percent(self.loss);
        base + if again { AGAIN + self.rng.below(AGAIN) } else { 0 }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Piece(pipe) => self.piece(pipe),
            Due::Knock(knock) => self.knock(knock),
            Due::Answer { knock, read } => {
                if let Some(knock) = self.knocks.get_mut(&knock) {
                    knock.answer = Some(read.ok_or_else(|| io::ErrorKind::ConnectionRefused.into()));
                    if let Some(waker) = knock.waker.take() {
                        waker.wake();
                    }
                } else if let Some((read, write)) = read {
                    // Whoever knocked has given up.
                    self.close(read, write);
                }
            }
        }
    }

    fn piece(&mut self, id: u64) {
        let now = self.now;
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let (from, to, back) = (pipe.from, pipe.to, pipe.back);
        if !self.reach[from][to] {
            return self.at(now + AGAIN, Due::Piece(id));
        }
        let heard = pipe.arrive(now);
        let next = pipe.due();
        if !heard {
            // The machine is there, and knows no such connection.
            pipe.break_off();
            if let Some(back) = self.pipes.get_mut(&back) {
                back.break_off();
            }
        } else if let Some(next) = next {
            self.at(next, Due::Piece(id));
        }
    }

    fn send(&mut self, id: u64, piece: Piece) {
        let Some((from, to)) = self.pipes.get(&id).map(|pipe| (pipe.from, pipe.to)) else { return };
        let due = self.now + self.delay(from, to);
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        if pipe.send(due, piece) {
            self.at(due, Due::Piece(id));
        }
    }

    fn knock(&mut self, id: u64) {
        let Some((from, to)) = self.knocks.get(&id).map(|knock| (knock.from, knock.to)) else { return };
        if !(self.reach[from][to] && self.reach[to][from]) {
            return self.at(self.now + KNOCK_AGAIN, Due::Knock(id));
        }
        let back = self.now + self.delay(to, from);
        if !self.ports.contains_key(&to) {
            return self.at(back, Due::Answer { knock: id, read: None });
        }
        self.made += 2;
        let (there, here) = (self.made - 1, self.made);
        self.pipes.insert(there, Pipe::new(from, to, here));
        self.pipes.insert(here, Pipe::new(to, from, there));
        if let Some(port) = self.ports.get_mut(&to) {
            port.waiting.push_back((there, here, from));
            if let Some(taker) = port.taker.take() {
                taker.wake();
            }
        }
        self.at(back, Due::Answer { knock: id, read: Some((here, there)) });
    }

    /// One side of a connection is gone: what it would read and what it would write.
    fn close(&mut self, read: u64, write: u64) {
        let machine = self.pipes.get(&write).map(|pipe| pipe.from);
        let powered = machine.is_some_and(|machine| self.on[machine]);
        if let Some(pipe) = self.pipes.get_mut(&read) {
            pipe.deaf = true;
        }
        if powered {
            self.send(write, Piece::End);
        } else if let Some(pipe) = self.pipes.get_mut(&write) {
            pipe.vanish();
        }
        // Both sides are gone: nobody needs it any more.
        if self.pipes.get(&write).is_some_and(|pipe| pipe.deaf) {
            self.pipes.remove(&read);
            self.pipes.remove(&write);
        }
    }
}

/// How the processes of one machine make connections.
pub(crate) struct Host {
    net: Net,
    machine: usize,
}

/// The number of a machine, by its name.
fn machine(host: &str) -> Option<usize> {
    host.strip_prefix('n')?.parse::<usize>().ok()?.checked_sub(1)
}

impl Dial for Host {
    fn dial<'a>(&'a self, host: &'a str, _: u16) -> Awaited<'a, Link> {
        Box::pin(async move {
            let to = machine(host).ok_or(io::ErrorKind::NotFound)?;
            let knocking = Knocking::begin(&self.net, self.machine, to);
            let (read, write) = poll_fn(|cx| knocking.poll(cx)).await?;
            Ok(Box::new(End { net: self.net.clone(), read, write }) as Link)
        })
    }
}

/// A connection that is waited for; dropped, it is given up.
struct Knocking {
    net: Net,
    id: u64,
}

impl Knocking {
    fn begin(net: &Net, from: usize, to: usize) -> Self {
        let mut state = net.state();
        state.made += 1;
        let id = state.made;
        state.knocks.insert(id, Knock { from, to, answer: None, waker: None });
        let due = state.now + state.delay(from, to);
        state.at(due, Due::Knock(id));
        Self { net: net.clone(), id }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<(u64, u64)>> {
        let mut state = self.net.state();
        let Some(knock) = state.knocks.get_mut(&self.id) else { return Poll::Pending };
        match knock.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                knock.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Knocking {
    fn drop(&mut self) {
        let mut state = self.net.state();
        if let Some(Knock { answer: Some(Ok((read, write))), .. }) = state.knocks.remove(&self.id) {
            state.close(read, write);
        }
    }
}

/// A coordinator's port.
pub(crate) struct Port {
    net: Net,
    machine: usize,
}

fn address(machine: usize) -> SocketAddr {
    let host = u8::try_from(machine + 1).unwrap_or(u8::MAX);
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, host), PORT))
}

impl Listen for Port {
    fn address(&self) -> SocketAddr {
        address(self.machine)
    }

    fn accept(&mut self) -> Awaited<'_, (Link, SocketAddr)> {
        Box::pin(poll_fn(|cx| {
            let mut state = self.net.state();
            let Some(port) = state.ports.get_mut(&self.machine) else { return Poll::Pending };
            match port.waiting.pop_front() {
                Some((read, write, from)) => {
                    let end = End { net: self.net.clone(), read, write };
                    Poll::Ready(Ok((Box::new(end) as Link, address(from))))
                }
                None => {
                    port.taker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let mut state = self.net.state();
        let left = state.ports.remove(&self.machine).map(|port| port.waiting).unwrap_or_default();
        for (read, write, _) in left {
            state.close(read, write);
        }
    }
}

/// One side of a connection.
struct End {
    net: Net,
    read: u64,
    write: u64,
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.net.state();
        let Some(pipe) = state.pipes.get_mut(&self.read) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        match pipe.read(buf.remaining(), |bytes| buf.put_slice(bytes)) {
            Read::Done => Poll::Ready(Ok(())),
            Read::Broken => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Read::Nothing => {
                pipe.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.net.state();
        let Some(pipe) = state.pipes.get_mut(&self.write).filter(|pipe| !pipe.broken) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let n = pipe.room().min(buf.len());
        if n == 0 && !buf.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.send(self.write, Piece::Bytes(buf[..n].to_vec()));
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.net.state().send(self.write, Piece::End);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.net.state().close(self.read, self.write);
    }
}
