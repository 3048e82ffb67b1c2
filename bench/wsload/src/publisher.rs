//! A publisher's connection.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;

use crate::dialect::{Dialect, Publish};
use crate::{Crowd, LoadError, frame, socket, stamp};

/// How long a publisher waits for the answer to its upgrade.
const PATIENCE: Duration = Duration::from_secs(5);

/// One publisher to a crowd's server.
pub struct Publisher {
    socket: TcpStream,
    dialect: Dialect,
    host: SocketAddr,
    out: Vec<u8>,
    buffer: Vec<u8>,
    payload: String,
    /// Bytes that the server answered.
    pub answered: u64,
}

impl Publisher {
    /// Connects and, where the dialect says so, upgrades; `number` tells the publishers of a crowd apart.
    pub fn connect(crowd: &Crowd, number: usize) -> Result<Self, LoadError> {
        Self::connect_to(crowd, number, crowd.address())
    }

    /// The same, where publishers have an address of their own.
    pub fn connect_to(crowd: &Crowd, number: usize, host: SocketAddr) -> Result<Self, LoadError> {
        let dialect = crowd.dialect().clone();
        let mut socket = socket::connect_blocking(host)?;
        let mut hello = dialect.publisher_hello(host);
        socket.write_all(&hello).map_err(LoadError::io("greet as a publisher"))?;
        if let Publish::WebSocket(upgrade) = &dialect.publish {
            upgraded(&mut socket)?;
            hello.clear();
            for text in &upgrade.frames {
                frame::text(text.as_bytes(), &mut hello);
            }
            socket.write_all(&hello).map_err(LoadError::io("send the publisher's first frames"))?;
        }
        socket.set_nonblocking(true).map_err(LoadError::io("make a socket non-blocking"))?;
        let mut socket = TcpStream::from_std(socket);
        crowd.watch_publisher(&mut socket, number)?;
        let buffer = vec![0; 64 << 10];
        Ok(Self { socket, dialect, host, out: Vec::new(), buffer, payload: String::new(), answered: 0 })
    }

    /// Queues publication `number` with a payload of `size` bytes, stamped now.
    pub(crate) fn queue(&mut self, number: usize, size: usize) {
        stamp::payload(size, &mut self.payload);
        self.dialect.publication(number, &self.payload, self.host, &mut self.out);
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(&mut self) -> Result<(), LoadError> {
        while !self.out.is_empty() {
            match self.socket.write(&self.out) {
                Ok(written) => {
                    self.out.drain(..written);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(LoadError::io("publish")(error)),
            }
        }
        Ok(())
    }

    /// Whether something waits to be written.
    pub(crate) fn blocked(&self) -> bool {
        !self.out.is_empty()
    }

    /// Reads and drops the server's answers.
    pub(crate) fn drain(&mut self) -> Result<(), LoadError> {
        loop {
            match self.socket.read(&mut self.buffer) {
                Ok(0) => return Err(LoadError::Refused("the publisher's connection was closed".to_owned())),
                Ok(read) => self.answered += read as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(LoadError::io("read the publisher's answers")(error)),
            }
        }
    }
}

/// Waits for the answer to the upgrade.
fn upgraded(socket: &mut std::net::TcpStream) -> Result<(), LoadError> {
    socket.set_read_timeout(Some(PATIENCE)).map_err(LoadError::io("set a timeout"))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        // Byte by byte: whatever follows the head belongs to the stream.
        let mut byte = [0];
        match socket.read(&mut byte).map_err(LoadError::io("read the answer to the publisher's upgrade"))? {
            0 => break,
            _ => answer.push(byte[0]),
        }
    }
    if answer.starts_with(b"HTTP/1.1 101") {
        Ok(())
    } else {
        Err(LoadError::Refused(String::from_utf8_lossy(&answer).trim_end().to_owned()))
    }
}
