//! Frames that the kernel did not take yet, bounded in bytes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;

use realtime_protocol::push;

use crate::fault;
use crate::hub::Stream;
use crate::rules::Overflow;
use crate::ws;

/// What a frame is, as far as waiting is concerned.
#[derive(Clone, Copy)]
pub enum Class<'a> {
    /// A reply, a control frame, or what is sent from a history: never dropped.
    Control,
    /// A publication.
    Publication {
        /// The shard's number of its stream.
        local: u32,
        /// Its stream.
        stream: &'a Stream,
        /// The life of the stream's history, when it has one.
        epoch: Option<&'a str>,
        /// Its place in the stream.
        offset: u64,
        /// What happens when there is no room.
        overflow: Overflow,
    },
}

/// What became of a frame that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// No more waits than may.
    Fits,
    /// More waits than may.
    Full,
    /// It was dropped with all that waited in its stream from this offset on: the receiver gets that from the history.
    Behind(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Control,
    Publication {
        local: u32,
        offset: u64,
    },
    /// Says which publications of the stream were dropped here, and how many those are.
    Missed {
        local: u32,
        from: u64,
        to: u64,
        count: u64,
    },
}

impl Kind {
    fn is_of(self, stream: u32) -> bool {
        matches!(self, Self::Publication { local, .. } | Self::Missed { local, .. } if local == stream)
    }

    fn is_publication_of(self, stream: u32) -> bool {
        matches!(self, Self::Publication { local, .. } if local == stream)
    }
}

#[derive(Debug)]
struct Chunk {
    frame: Bytes,
    kind: Kind,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The kernel has it.
    Out,
    /// It waits; a flush must be started.
    Blocked,
    /// It waits behind others.
    Queued,
    /// It waits, and more waits now than may.
    Full,
    /// It was dropped with all of its stream from this offset on; the history has it.
    Behind(u64),
    /// The socket is dead.
    Dead,
}

/// About what a frame occupies while it waits: its allocation, for which the allocator has four sizes between one power
/// of two and the next, and its place in a queue that may be half empty. Large allocations are pages of their own; those
/// that stay leave gaps among those that come and go, which were seen to be up to a fifth of them. A bound on bare lengths would let
/// a stopped reader cost a third more than its bound.
fn cost(frame: &Bytes) -> usize {
    const SHARED: usize = 32;
    const PLACE: usize = 2 * size_of::<Chunk>();
    const LARGE: usize = 16 << 10;
    let size = frame.len().next_multiple_of((frame.len().next_power_of_two() / 8).max(16));
    let gaps = if size >= LARGE { size / 5 } else { 0 };
    size + gaps + SHARED + PLACE
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing waits any more.
    Empty,
    /// The kernel takes no more now.
    Blocked,
}

/// A bounded queue of frames. It exists only while something waits.
#[derive(Debug, Default)]
pub struct Outbox {
    chunks: VecDeque<Chunk>,
    /// How much of the first frame is written already.
    written: usize,
    /// What all frames occupy.
    bytes: usize,
}

impl Outbox {
    /// Writes `frame` now if nothing waits before it, else queues it. `written` of its bytes are out already. `slot` has
    /// the outbox while something waits.
    pub fn send(
        slot: &mut Option<Box<Self>>,
        frame: &Bytes,
        mut written: usize,
        class: Class<'_>,
        max: usize,
        try_write: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> Written {
        if let Some(outbox) = slot.as_mut() {
            return match outbox.push(frame.clone(), written, class, max) {
                Pushed::Fits => Written::Queued,
                Pushed::Full => Written::Full,
                Pushed::Behind(offset) => Written::Behind(offset),
            };
        }
        match try_write(&frame[written..]) {
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Written::Dead,
        }
        if written == frame.len() {
            return Written::Out;
        }
        slot.get_or_insert_default().push(frame.clone(), written, class, max);
        if written > 0 {
            fault::reach(fault::Point::MidFrame);
        }
        Written::Blocked
    }

    /// Bytes that what waits occupies.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames that wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Adds a frame of which the first `written` bytes are out (only the first frame of a queue can be so). What waits is
    /// to occupy `max` bytes at most; beyond them, what the class allows is dropped.
    pub fn push(&mut self, frame: Bytes, written: usize, class: Class<'_>, max: usize) -> Pushed {
        debug_assert!(written == 0 || self.chunks.is_empty());
        let Class::Publication { local, stream, epoch, offset, overflow } = class else {
            return self.add(frame, written, Kind::Control, max);
        };
        let kind = Kind::Publication { local, offset };
        // A frame that is half out cannot be taken back, and one always may wait, however long it is.
        if overflow == Overflow::CatchUp && !self.chunks.is_empty() && self.bytes + cost(&frame) > max {
            let first = self.first_droppable(local).unwrap_or(offset);
            self.drop_where(|kind| kind.is_publication_of(local));
            return Pushed::Behind(first);
        }
        if overflow == Overflow::Latest {
            let last = self.drop_where(|kind| kind.is_publication_of(local));
            if let (Some(last), Some(_)) = (last, epoch) {
                let position = ws::text_frame(&push::position(stream.name.of(), last));
                self.add(position, 0, Kind::Publication { local, offset: last }, max);
            }
        }
        let pushed = self.add(frame, written, kind, max);
        if overflow == Overflow::DropOldest && pushed == Pushed::Full {
            self.drop_oldest(local, stream, epoch, max);
            return self.room(max);
        }
        pushed
    }

    fn add(&mut self, frame: Bytes, written: usize, kind: Kind, max: usize) -> Pushed {
        if written > 0 {
            self.written = written;
        }
        self.bytes += cost(&frame);
        self.chunks.push_back(Chunk { frame, kind });
        self.room(max)
    }

    fn room(&self, max: usize) -> Pushed {
        if self.bytes <= max { Pushed::Fits } else { Pushed::Full }
    }

    /// The offset of the first publication of a stream that waits and is not half written.
    fn first_droppable(&self, local: u32) -> Option<u64> {
        self.chunks.iter().skip(usize::from(self.written > 0)).find_map(|chunk| match chunk.kind {
            Kind::Publication { local: of, offset } if of == local => Some(offset),
            _ => None,
        })
    }

    /// The subscription to a stream is over or begins anew. What waits of it is not dropped any more: what the next one
    /// drops, under the same number, must not be told by these offsets.
    pub fn seal(&mut self, local: u32) {
        for chunk in &mut self.chunks {
            if chunk.kind.is_of(local) {
                chunk.kind = Kind::Control;
            }
        }
    }

    /// Drops every publication that is not half written.
    pub fn drop_publications(&mut self) {
        self.drop_where(|kind| matches!(kind, Kind::Publication { .. }));
    }

    /// Returns the last offset that was dropped.
    fn drop_where(&mut self, unwanted: impl Fn(Kind) -> bool) -> Option<u64> {
        let half_written = self.written > 0;
        let mut is_first = true;
        let mut last = None;
        let bytes = &mut self.bytes;
        self.chunks.retain(|chunk| {
            let keep = (std::mem::take(&mut is_first) && half_written) || !unwanted(chunk.kind);
            if !keep {
                *bytes -= cost(&chunk.frame);
                if let Kind::Publication { offset, .. } = chunk.kind {
                    last = Some(offset);
                }
            }
            keep
        });
        last
    }

    /// Drops what waited longest of one stream, all but its newest, until a quarter of the outbox is free (so that the
    /// next publications need no dropping), and leaves one `missed` in its place.
    fn drop_oldest(&mut self, local: u32, stream: &Stream, epoch: Option<&str>, max: usize) {
        let enough = max / 4 * 3;
        let first = usize::from(self.written > 0);
        let newest = self.chunks.len() - 1;
        let mut gap: Option<(u64, u64, u64)> = None;
        let (mut place, mut at) = (0, 0);
        let bytes = &mut self.bytes;
        self.chunks.retain(|chunk| {
            let index = at;
            at += 1;
            let dropped = match chunk.kind {
                Kind::Missed { local: of, from, to, count } if of == local && index >= first => Some((from, to, count)),
                Kind::Publication { local: of, offset } if of == local && index >= first && index < newest => {
                    (*bytes > enough).then_some((offset, offset, 1))
                }
                _ => None,
            };
            let Some((from, to, count)) = dropped else { return true };
            gap = match gap {
                None => {
                    place = index;
                    Some((from, to, count))
                }
                Some((first, _, before)) => Some((first, to, before + count)),
            };
            *bytes -= cost(&chunk.frame);
            false
        });
        let Some((from, to, count)) = gap else { return };
        let text = match (epoch, &stream.name) {
            (Some(epoch), name) => {
                let reason = "overflow";
                push::missed_range(name.of(), push::Gap { epoch, from, to, reason, recoverable: true })
            }
            (None, name) => push::missed(name.of(), count),
        };
        let frame = ws::text_frame(&text);
        self.bytes += cost(&frame);
        self.chunks.insert(place, Chunk { frame, kind: Kind::Missed { local, from, to, count } });
    }

    /// Writes until the kernel refuses or nothing waits.
    pub fn flush(&mut self, mut try_write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<Flushed> {
        /// Frames joined in one system call.
        const JOINED: usize = 64;
        while !self.chunks.is_empty() {
            let mut slices = [IoSlice::new(&[]); JOINED];
            let mut skip = self.written;
            let mut used = 0;
            for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                *slice = IoSlice::new(&chunk.frame[std::mem::take(&mut skip)..]);
                used += 1;
            }
            match try_write(&slices[..used]) {
                Ok(n) => self.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed::Empty)
    }

    fn advance(&mut self, mut n: usize) {
        while let Some(chunk) = self.chunks.front() {
            let left = chunk.frame.len() - self.written;
            if n < left {
                self.written += n;
                return;
            }
            n -= left;
            self.written = 0;
            self.bytes -= cost(&chunk.frame);
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
