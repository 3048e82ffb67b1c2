//! Frames that the kernel did not take yet, bounded in bytes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;

use realtime_protocol::push;

use super::socket::WriteHalf;
use crate::hub::{Stream, StreamName};
use crate::rules::Overflow;
use crate::ws;

/// What a frame is, as far as waiting is concerned.
#[derive(Clone, Copy)]
pub enum Class<'a> {
    /// A reply or control frame: never dropped.
    Control,
    /// A publication.
    Publication {
        /// The shard's number of its stream.
        local: u32,
        /// Its stream.
        stream: &'a Stream,
        /// What happens when there is no room.
        overflow: Overflow,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Control,
    Publication {
        local: u32,
    },
    /// Says how many publications of the stream were dropped here.
    Missed {
        local: u32,
        count: u64,
    },
}

#[derive(Debug)]
struct Chunk {
    frame: Bytes,
    kind: Kind,
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
    /// Unwritten bytes.
    bytes: usize,
}

impl Outbox {
    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a frame of which the first `written` bytes are out (only the first frame of a queue can be so). Returns
    /// whether no more than `max` bytes wait now, after what the class allows to be dropped.
    pub fn push(&mut self, frame: Bytes, written: usize, class: Class<'_>, max: usize) -> bool {
        debug_assert!(written == 0 || self.chunks.is_empty());
        let kind = match class {
            Class::Control => Kind::Control,
            Class::Publication { local, overflow: Overflow::Latest, .. } => {
                self.drop_where(|kind| kind == Kind::Publication { local });
                Kind::Publication { local }
            }
            Class::Publication { local, .. } => Kind::Publication { local },
        };
        if written > 0 {
            self.written = written;
        }
        self.bytes += frame.len() - written;
        self.chunks.push_back(Chunk { frame, kind });
        if let Class::Publication { local, stream, overflow: Overflow::DropOldest } = class
            && self.bytes > max
        {
            self.drop_oldest(local, stream, max);
        }
        self.bytes <= max
    }

    /// Drops every publication that is not half written.
    pub fn drop_publications(&mut self) {
        self.drop_where(|kind| matches!(kind, Kind::Publication { .. }));
    }

    fn drop_where(&mut self, unwanted: impl Fn(Kind) -> bool) {
        let half_written = self.written > 0;
        let mut is_first = true;
        let bytes = &mut self.bytes;
        self.chunks.retain(|chunk| {
            let keep = (std::mem::take(&mut is_first) && half_written) || !unwanted(chunk.kind);
            if !keep {
                *bytes -= chunk.frame.len();
            }
            keep
        });
    }

    /// Drops what waited longest of one stream, all but its newest, until a quarter of the outbox is free (so that the
    /// next publications need no dropping), and leaves one `missed` in its place.
    fn drop_oldest(&mut self, local: u32, stream: &Stream, max: usize) {
        let enough = max / 4 * 3;
        let first = usize::from(self.written > 0);
        let newest = self.chunks.len() - 1;
        let (mut count, mut place, mut at) = (0, None, 0);
        let bytes = &mut self.bytes;
        self.chunks.retain(|chunk| {
            let index = at;
            at += 1;
            let dropped = match chunk.kind {
                Kind::Missed { local: of, count } if of == local && index >= first => count,
                Kind::Publication { local: of } if of == local && index >= first && index < newest => {
                    u64::from(*bytes > enough)
                }
                _ => 0,
            };
            if dropped > 0 {
                count += dropped;
                place.get_or_insert(index);
                *bytes -= chunk.frame.len();
            }
            dropped == 0
        });
        let (Some(place), StreamName::Channel(channel)) = (place, &stream.name) else { return };
        let frame = ws::text_frame(&push::missed(channel, count));
        self.bytes += frame.len();
        self.chunks.insert(place, Chunk { frame, kind: Kind::Missed { local, count } });
    }

    /// Writes until the kernel refuses or nothing waits.
    pub fn flush(&mut self, socket: &WriteHalf) -> io::Result<Flushed> {
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
            match socket.try_write_vectored(&slices[..used]) {
                Ok(n) => self.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed::Empty)
    }

    fn advance(&mut self, mut n: usize) {
        self.bytes -= n;
        while let Some(chunk) = self.chunks.front() {
            let left = chunk.frame.len() - self.written;
            if n < left {
                self.written += n;
                return;
            }
            n -= left;
            self.written = 0;
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use realtime_protocol::ChannelName;

    use super::*;
    use crate::hub::AppId;

    fn stream() -> Stream {
        Stream { app: AppId::DEFAULT, name: StreamName::Channel(ChannelName::parse("c").unwrap()) }
    }

    fn class(stream: &Stream, overflow: Overflow) -> Class<'_> {
        Class::Publication { local: 0, stream, overflow }
    }

    fn waiting(outbox: &Outbox) -> Vec<String> {
        outbox.chunks.iter().map(|chunk| String::from_utf8_lossy(&chunk.frame).into_owned()).collect()
    }

    #[test]
    fn a_half_written_frame_is_never_dropped() {
        let stream = stream();
        let mut outbox = Outbox::default();
        let class = class(&stream, Overflow::Disconnect);
        outbox.push(Bytes::from_static(b"hello"), 2, class, 100);
        outbox.push(Bytes::from_static(b"world"), 0, class, 100);
        outbox.push(Bytes::from_static(b"ctl"), 0, Class::Control, 100);
        outbox.drop_publications();
        assert_eq!(waiting(&outbox), ["hello", "ctl"]);
        assert_eq!(outbox.bytes(), 3 + 3);
        outbox.advance(3);
        outbox.advance(3);
        assert_eq!((outbox.bytes(), outbox.chunks.len()), (0, 0));
    }

    #[test]
    fn latest_keeps_one_publication_waiting_and_never_overflows() {
        let stream = stream();
        let mut outbox = Outbox::default();
        for n in 0..100 {
            assert!(outbox.push(format!("state {n:03}").into(), 0, class(&stream, Overflow::Latest), 30));
        }
        outbox.push(Bytes::from_static(b"ctl"), 0, Class::Control, 30);
        assert_eq!(waiting(&outbox), ["state 099", "ctl"]);
        assert_eq!(outbox.bytes(), 12);
    }

    #[test]
    fn drop_oldest_leaves_one_missed_with_the_whole_count() {
        let stream = stream();
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from_static(b"half"), 1, class(&stream, Overflow::DropOldest), 400);
        for n in 0..100 {
            assert!(outbox.push(format!("publication {n:03}").into(), 0, class(&stream, Overflow::DropOldest), 400));
        }
        let waiting = waiting(&outbox);
        assert_eq!(waiting[0], "half");
        assert_eq!(waiting.iter().filter(|text| text.contains("missed")).count(), 1);
        let kept = waiting.len() - 2;
        assert!(waiting[1].contains(&format!("\"count\":{}", 100 - kept)), "{waiting:?}");
        assert_eq!(waiting.last().unwrap(), "publication 099");
        assert_eq!(outbox.bytes(), outbox.chunks.iter().map(|chunk| chunk.frame.len()).sum::<usize>() - 1);
    }

    #[test]
    fn what_may_not_be_dropped_makes_the_outbox_full() {
        let stream = stream();
        let mut outbox = Outbox::default();
        assert!(outbox.push(Bytes::from_static(b"0123456789"), 0, Class::Control, 15));
        assert!(!outbox.push(Bytes::from_static(b"0123456789"), 0, class(&stream, Overflow::DropOldest), 15));
    }
}
