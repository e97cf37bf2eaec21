//! One direction of a connection: bytes that fly, bytes that have arrived, and its end. As TCP does it: in order, whole,
//! late by as much as the network likes, and no more at once than its window has room for.

use std::collections::VecDeque;
use std::task::Waker;

/// Bytes under way and unread: a window.
const WINDOW: usize = 256 << 10;

/// What flies.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    /// Whoever sent closed it.
    End,
}

/// A direction, from one machine to another.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The other direction of the same connection.
    pub(crate) back: u64,
    flying: VecDeque<(u64, Piece)>,
    arrived: VecDeque<u8>,
    held: usize,
    ended: bool,
    /// The other side does not know this connection.
    pub(crate) broken: bool,
    /// Nobody will read it any more.
    pub(crate) deaf: bool,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
}

/// What reading amounts to: done, though it may be with nothing, where that is the end.
pub(crate) enum Read {
    Done,
    Nothing,
    Broken,
}

impl Pipe {
    pub(crate) fn new(from: usize, to: usize, back: u64) -> Self {
        Self {
            from,
            to,
            back,
            flying: VecDeque::new(),
            arrived: VecDeque::new(),
            held: 0,
            ended: false,
            broken: false,
            deaf: false,
            reader: None,
            writer: None,
        }
    }

    /// How much may be sent now.
    pub(crate) fn room(&self) -> usize {
        WINDOW.saturating_sub(self.held)
    }

    /// Sends a piece that is to arrive at `due`, and not before what was sent before it. True when nothing was flying:
    /// then somebody has to look after it.
    pub(crate) fn send(&mut self, due: u64, piece: Piece) -> bool {
        if let Piece::Bytes(bytes) = &piece {
            self.held += bytes.len();
        }
        let due = self.flying.back().map_or(due, |(before, _)| due.max(*before));
        self.flying.push_back((due, piece));
        self.flying.len() == 1
    }

    /// When the next piece is to arrive.
    pub(crate) fn due(&self) -> Option<u64> {
        self.flying.front().map(|(due, _)| *due)
    }

    /// What is due arrives. True when it met somebody who listens.
    pub(crate) fn arrive(&mut self, now: u64) -> bool {
        while self.due().is_some_and(|due| due <= now) {
            match self.flying.pop_front() {
                Some((_, Piece::Bytes(bytes))) => self.arrived.extend(bytes),
                Some((_, Piece::End)) => self.ended = true,
                None => {}
            }
        }
        wake(&mut self.reader);
        !self.deaf
    }

    /// Takes what has arrived, as much as fits; none: wait.
    pub(crate) fn read(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> Read {
        if self.broken {
            return Read::Broken;
        }
        let (first, _) = self.arrived.as_slices();
        let n = first.len().min(most);
        if n == 0 {
            return if self.ended { Read::Done } else { Read::Nothing };
        }
        take(&first[..n]);
        self.arrived.drain(..n);
        self.held -= n;
        wake(&mut self.writer);
        Read::Done
    }

    /// It is over, for both.
    pub(crate) fn break_off(&mut self) {
        self.broken = true;
        self.flying.clear();
        wake(&mut self.reader);
        wake(&mut self.writer);
    }

    /// Nothing of it flies any more, and nobody is told.
    pub(crate) fn vanish(&mut self) {
        self.flying.clear();
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
