//! One connection's TLS, as bytes in and bytes out. It keeps no buffers while nothing is half done.

use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use rustls::{Error, ServerConfig};

/// Most plaintext in one record (RFC 8446 §5.1).
pub(crate) const MAX_PLAINTEXT: usize = 1 << 14;
/// Most bytes that are kept of what is not a whole record, or a whole message of a handshake, yet. More than the longest
/// record; a handshake of so many bytes is an attack.
const MAX_KEPT: usize = 32 << 10;
/// What a record has besides plaintext, in all versions and suites that are spoken.
const OVERHEAD: usize = 64;

/// One connection's TLS.
pub(crate) struct Session {
    connection: UnbufferedServerConnection,
    /// Bytes that arrived and are not a whole record yet.
    kept: Vec<u8>,
    /// Records that the peer is to get and has not got.
    unsent: Vec<u8>,
    said_goodbye: bool,
    /// Whether the peer broke the rules: nothing is read or written any more.
    has_failed: bool,
}

/// How a connection stands after bytes were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// More may come.
    Open,
    /// The peer has said that nothing more comes.
    Closed,
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self { connection, kept: Vec::new(), unsent: Vec::new(), said_goodbye: false, has_failed: false })
    }

    /// Whether the handshake is not done yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Bytes that must stand before what is read next when it is given to [`Self::receive`].
    pub(crate) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Records that are to be sent before anything else.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.unsent
    }

    /// So many of the unsent bytes are out.
    pub(crate) fn sent(&mut self, bytes: usize) {
        if bytes == self.unsent.len() {
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..bytes);
        }
    }

    /// Keeps what the kernel did not take of a record, which must go out before anything else.
    pub(crate) fn keep_unsent(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// Takes in `bytes`, which are what was kept and what was read since, and adds to `plaintext`. What is to be answered
    /// is then unsent, after an error too: the peer learns what was wrong.
    pub(crate) fn receive(&mut self, bytes: &mut [u8], plaintext: &mut Vec<u8>) -> Result<Received, Error> {
        let mut from = 0;
        let outcome = loop {
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(&mut bytes[from..]);
            let outcome = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    let mut outcome = None;
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                plaintext.extend_from_slice(record.payload);
                            }
                            Err(error) => {
                                outcome = Some(Err(error));
                                break;
                            }
                        }
                    }
                    outcome
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.unsent).err().map(Err),
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It goes out in its order with everything else.
                    data.done();
                    None
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Some(Ok(Received::Open)),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Some(Ok(Received::Closed)),
                Ok(state) => Some(Err(Error::General(format!("unexpected state {state:?}")))),
                Err(error) => Some(Err(error)),
            };
            from += discard;
            if let Some(outcome) = outcome {
                break outcome;
            }
        };
        let rest = &mut bytes[from..];
        if outcome.is_err() {
            self.collect_alert(rest);
        }
        let outcome = match outcome {
            Ok(Received::Open) if rest.len() > MAX_KEPT => Err(Error::PeerSentOversizedRecord),
            outcome => outcome,
        };
        self.has_failed |= outcome.is_err();
        match outcome {
            Ok(Received::Open) if !rest.is_empty() => {
                self.kept.clear();
                self.kept.extend_from_slice(rest);
            }
            _ => self.kept = Vec::new(),
        }
        outcome
    }

    /// The alert that tells the peer of an error is the next thing that rustls wants encoded.
    fn collect_alert(&mut self, rest: &mut [u8]) {
        while self.connection.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(data)) = self.connection.process_tls_records(rest).state else {
                return;
            };
            if encode(data, &mut self.unsent).is_err() {
                return;
            }
        }
    }

    /// Writes `plaintext` to the front of `record`, which grows when it is too small, as one record if it is no longer
    /// than [`MAX_PLAINTEXT`]. Returns the length. What is unsent must go out before.
    pub(crate) fn encrypt(&mut self, plaintext: &[u8], record: &mut Vec<u8>) -> Result<usize, Error> {
        self.write(record, plaintext.len() + OVERHEAD, |traffic, record| traffic.encrypt(plaintext, record))
    }

    /// Says that nothing more comes, once, by an alert that is unsent then.
    pub(crate) fn say_goodbye(&mut self) {
        if self.said_goodbye || self.has_failed || self.is_handshaking() {
            return;
        }
        self.said_goodbye = true;
        let mut record = Vec::new();
        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not general enough")]
        let written = self.write(&mut record, OVERHEAD, |traffic, record| traffic.queue_close_notify(record));
        if let Ok(length) = written {
            self.unsent.extend_from_slice(&record[..length]);
        }
    }

    fn write(
        &mut self,
        record: &mut Vec<u8>,
        expected: usize,
        mut write: impl FnMut(&mut WriteTraffic<'_, ServerData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<usize, Error> {
        if self.has_failed {
            return Err(Error::General("the peer broke the rules of TLS".to_owned()));
        }
        // What rustls wants to say before, as new keys, comes before.
        let mut before = Vec::new();
        loop {
            // What is kept has no whole record, but rustls may have half a message in it.
            match self.connection.process_tls_records(&mut self.kept).state? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let start = before.len();
                    if record.len() < start + expected {
                        record.resize(start + expected, 0);
                    }
                    record[..start].copy_from_slice(&before);
                    return match write(&mut traffic, &mut record[start..]) {
                        Ok(length) => Ok(start + length),
                        Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                            record.resize(start + required_size, 0);
                            write(&mut traffic, &mut record[start..]).map(|length| start + length).map_err(general)
                        }
                        Err(error) => Err(general(error)),
                    };
                }
                ConnectionState::EncodeTlsData(data) => encode(data, &mut before)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                state => return Err(Error::General(format!("cannot write in state {state:?}"))),
            }
        }
    }
}

type ServerData = rustls::server::ServerConnectionData;

fn general(error: impl std::error::Error) -> Error {
    Error::General(error.to_string())
}

fn encode(mut data: EncodeTlsData<'_, ServerData>, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    let needed = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => required_size,
        Err(error) => return Err(general(error)),
        Ok(_) => return Ok(()),
    };
    out.resize(start + needed, 0);
    data.encode(&mut out[start..]).map(drop).map_err(general)
}
