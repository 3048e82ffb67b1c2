//! One subscriber's connection: bytes in, whole messages out, whatever protocol carries them.

use std::io::{self, Write};

use memchr::memmem;

use crate::LoadError;
use crate::frame;
use crate::secure::Socket;
use crate::stamp::Deliveries;

/// How a subscriber's bytes divide into messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    WebSocket,
    EventStream,
    Lines,
}

/// A subscriber.
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    /// The incomplete end of what was read.
    rest: Vec<u8>,
    /// What follows the upgrade; `None` once it was sent.
    after_upgrade: Option<Vec<u8>>,
    /// Messages with the awaited words that are still to come.
    pub(crate) awaited: usize,
    pub(crate) open: bool,
}

/// What a message is looked through for.
pub(crate) struct Ear<'a> {
    pub(crate) wire: Wire,
    /// The words that [`Connection::awaited`] counts.
    pub(crate) words: &'a [u8],
    pub(crate) deliveries: &'a mut Deliveries,
}

impl Connection {
    pub(crate) fn new(socket: Socket, after_upgrade: Vec<u8>) -> Self {
        Self { socket, rest: Vec::new(), after_upgrade: Some(after_upgrade), awaited: 1, open: true }
    }

    /// Sends bytes that are few enough for an empty socket buffer.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Takes in what was read.
    pub(crate) fn receive(&mut self, fresh: &[u8], ear: &mut Ear<'_>) -> Result<(), LoadError> {
        let joined;
        let bytes = if self.rest.is_empty() {
            fresh
        } else {
            self.rest.extend_from_slice(fresh);
            joined = std::mem::take(&mut self.rest);
            &joined
        };
        let mut used = 0;
        if self.after_upgrade.is_some() && ear.wire != Wire::Lines {
            match self.upgraded(bytes, ear)? {
                Some(head) => used = head,
                None => {
                    self.rest = bytes.to_vec();
                    return Ok(());
                }
            }
        }
        used += match ear.wire {
            Wire::WebSocket => self.frames(&bytes[used..], ear)?,
            Wire::EventStream | Wire::Lines => self.lines(&bytes[used..], ear),
        };
        if used < bytes.len() {
            self.rest = bytes[used..].to_vec();
        }
        Ok(())
    }

    /// Reads the answer to the upgrade; its size, once it is whole.
    fn upgraded(&mut self, bytes: &[u8], ear: &Ear<'_>) -> Result<Option<usize>, LoadError> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let status: &[u8] = if ear.wire == Wire::WebSocket { b"HTTP/1.1 101" } else { b"HTTP/1.1 200" };
        if !bytes.starts_with(status) {
            return Err(LoadError::Refused(String::from_utf8_lossy(bytes).trim_end().to_owned()));
        }
        if let Some(frames) = self.after_upgrade.take() {
            self.send(&frames).map_err(LoadError::io("send the first frames"))?;
        }
        if ear.words.is_empty() {
            self.awaited = 0;
        }
        Ok(Some(end + 4))
    }

    fn frames(&mut self, bytes: &[u8], ear: &mut Ear<'_>) -> Result<usize, LoadError> {
        let mut used = 0;
        while let Some(frame) = frame::server(&bytes[used..]) {
            match frame.opcode {
                frame::PING => {
                    let mut pong = Vec::with_capacity(frame.size + 4);
                    frame::pong(frame.payload, &mut pong);
                    self.send(&pong).map_err(LoadError::io("answer a ping"))?;
                }
                frame::CLOSE => {}
                // Servers compress publications; what is waited for is short.
                _ if frame.deflated => ear.deliveries.see_deflated(frame.payload)?,
                _ => self.message(frame.payload, ear),
            }
            used += frame.size;
        }
        Ok(used)
    }

    /// In protocols of lines only whole lines count.
    fn lines(&mut self, bytes: &[u8], ear: &mut Ear<'_>) -> usize {
        let Some(end) = memchr::memrchr(b'\n', bytes) else { return 0 };
        self.message(&bytes[..=end], ear);
        end + 1
    }

    fn message(&mut self, payload: &[u8], ear: &mut Ear<'_>) {
        if self.awaited > 0 && !ear.words.is_empty() && memmem::find(payload, ear.words).is_some() {
            self.awaited -= 1;
        }
        ear.deliveries.see(payload);
    }
}
