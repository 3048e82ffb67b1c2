//! How rows look as bytes.

use realtime_protocol::{ChannelName, ConnectionId, EventName, UserId};
use serde_json::value::RawValue;
use std::sync::Arc;

use super::{Kept, Key};
use crate::hub::{AppId, Payload, Stream, StreamName};

/// A row cannot be read: somebody else wrote to the file, or the disk returned something else than was written.
#[derive(Debug)]
pub(super) struct Damaged;

/// Reads a row from its beginning.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (found, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
        self.0 = rest;
        Ok(found)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.bytes(N)?.try_into().map_err(|_| Damaged)
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<&'a str, Damaged> {
        let length = u32::from_be_bytes(self.array()?) as usize;
        text(self.bytes(length)?)
    }
}

fn text(bytes: &[u8]) -> Result<&str, Damaged> {
    std::str::from_utf8(bytes).map_err(|_| Damaged)
}

fn push_text(into: &mut Vec<u8>, text: &str) {
    into.extend_from_slice(&(text.len() as u32).to_be_bytes());
    into.extend_from_slice(text.as_bytes());
}

/// `N` numbers as bytes.
pub(super) fn numbers<const N: usize>(values: [u64; N]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// The numbers of [`numbers`].
pub(super) fn parse_numbers<const N: usize>(bytes: &[u8]) -> Result<[u64; N], Damaged> {
    let mut cursor = Cursor(bytes);
    let mut values = [0; N];
    for value in &mut values {
        *value = cursor.number()?;
    }
    Ok(values)
}

/// A stream as a key.
pub(super) fn stream(stream: &Stream) -> Vec<u8> {
    let (kind, name) = match &stream.name {
        StreamName::Channel(name) => (0, name.as_str()),
        StreamName::User(id) => (1, id.as_str()),
    };
    let mut bytes = stream.app.0.to_be_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

/// The stream of [`stream`].
pub(super) fn parse_stream(bytes: &[u8]) -> Result<Stream, Damaged> {
    let mut cursor = Cursor(bytes);
    let app = AppId(u32::from_be_bytes(cursor.array()?));
    let [kind] = cursor.array()?;
    let name = text(cursor.0)?;
    let name = match kind {
        0 => StreamName::Channel(ChannelName::parse(name).map_err(|_| Damaged)?),
        1 => StreamName::User(UserId::parse(name).map_err(|_| Damaged)?),
        _ => return Err(Damaged),
    };
    Ok(Stream { app, name })
}

/// The process that made keys with this prefix.
pub(super) fn process(origin: &str, prefix: [u8; 16]) -> Vec<u8> {
    let mut bytes = prefix.to_vec();
    push_text(&mut bytes, origin);
    bytes
}

/// The key of a row of what a [`process`] has sent.
pub(super) fn sent_key(process: &[u8], number: u64) -> Vec<u8> {
    [process, &number.to_be_bytes()].concat()
}

/// Process and number of [`sent_key`].
pub(super) fn parse_sent_key(bytes: &[u8]) -> Result<(&[u8], u64), Damaged> {
    let (process, number) = bytes.split_last_chunk().ok_or(Damaged)?;
    Ok((process, u64::from_be_bytes(*number)))
}

/// What a command of a process stands for in one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SentRow {
    /// The command's counter, and what stands for the stream.
    pub(super) sent: (u64, u64),
    pub(super) digest: u64,
    pub(super) offset: u64,
    pub(super) at: u64,
}

impl SentRow {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let Self { sent: (counter, scope), digest, offset, at } = self;
        numbers([counter, scope, digest, offset, at])
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let [counter, scope, digest, offset, at] = parse_numbers(bytes)?;
        Ok(Self { sent: (counter, scope), digest, offset, at })
    }
}

/// An idempotency key with its scope.
pub(super) fn key(of: &Stream, key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    push_text(&mut bytes, &key.origin);
    let stream = stream(of);
    bytes.extend_from_slice(&(stream.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&stream);
    bytes.extend_from_slice(key.key.to_string().as_bytes());
    bytes
}

/// Whether a library made this [`key`] for a command of its own; applications may not begin theirs like that. Format 1
/// kept both kinds in one table.
pub(super) fn is_made(key: &[u8]) -> bool {
    fn skip(bytes: &[u8]) -> Option<&[u8]> {
        let (length, rest) = bytes.split_first_chunk()?;
        rest.get(u32::from_be_bytes(*length) as usize..)
    }
    // Behind the origin and the stream.
    skip(key).and_then(skip).is_some_and(|key| key.starts_with(b"~"))
}

/// What an idempotency key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyRow {
    pub(super) digest: u64,
    pub(super) offset: u64,
    pub(super) at: u64,
    /// Its number in the log of keys.
    pub(super) number: u64,
}

impl KeyRow {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        numbers([self.digest, self.offset, self.at, self.number])
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let [digest, offset, at, number] = parse_numbers(bytes)?;
        Ok(Self { digest, offset, at, number })
    }
}

/// A row of the log of keys.
pub(super) fn logged_key(at: u64, key: &[u8]) -> Vec<u8> {
    let mut bytes = at.to_be_bytes().to_vec();
    bytes.extend_from_slice(key);
    bytes
}

/// Time and key of [`logged_key`].
pub(super) fn parse_logged_key(bytes: &[u8]) -> Result<(u64, &[u8]), Damaged> {
    let mut cursor = Cursor(bytes);
    Ok((cursor.number()?, cursor.0))
}

const EXCLUDE: u8 = 1;
const ID: u8 = 2;
const EVENT: u8 = 4;
const USER: u8 = 8;

/// A publication's row; its offset is in the key.
pub(super) fn publication(kept: &Kept) -> Vec<u8> {
    let Payload { event, data, user } = &*kept.payload;
    let mut bytes = Vec::with_capacity(64 + data.get().len());
    bytes.extend_from_slice(&kept.at.to_be_bytes());
    let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
    let exclude_and_id = flag(kept.exclude.is_some(), EXCLUDE) | flag(kept.id.is_some(), ID);
    bytes.push(exclude_and_id | flag(event.is_some(), EVENT) | flag(user.is_some(), USER));
    if let Some(exclude) = &kept.exclude {
        bytes.extend_from_slice(exclude.as_bytes());
    }
    if let Some(id) = &kept.id {
        push_text(&mut bytes, id);
    }
    if let Some(event) = event {
        push_text(&mut bytes, event.as_str());
    }
    if let Some(user) = user {
        push_text(&mut bytes, user.as_str());
    }
    bytes.extend_from_slice(data.get().as_bytes());
    bytes
}

/// The publication of [`publication`].
pub(super) fn parse_publication(offset: u64, bytes: &[u8]) -> Result<Kept, Damaged> {
    let mut cursor = Cursor(bytes);
    let at = cursor.number()?;
    let [flags] = cursor.array()?;
    let has = |flag: u8| flags & flag != 0;
    let exclude = if has(EXCLUDE) { Some(ConnectionId::from_bytes(cursor.array()?)) } else { None };
    let id = if has(ID) { Some(cursor.text()?.into()) } else { None };
    let event = if has(EVENT) { Some(EventName::parse(cursor.text()?).map_err(|_| Damaged)?) } else { None };
    let user = if has(USER) { Some(UserId::parse(cursor.text()?).map_err(|_| Damaged)?) } else { None };
    let data = RawValue::from_string(text(cursor.0)?.to_owned()).map_err(|_| Damaged)?;
    Ok(Kept { offset, at, payload: Arc::new(Payload { event, data, user }), exclude, id })
}

/// When a publication was made; the start of its row.
pub(super) fn parse_time(bytes: &[u8]) -> Result<u64, Damaged> {
    Cursor(bytes).number()
}

#[cfg(test)]
mod tests {
    use realtime_protocol::IdempotencyKey;

    use super::*;

    #[test]
    fn rows_come_back_as_they_were() {
        for (event, exclude, id, user) in [
            (None, None, None, None),
            (Some("order.paid"), Some(ConnectionId::from_bytes([9; 18])), Some("a1"), None),
            (Some("é"), None, Some(""), Some("u7")),
        ] {
            let user = user.map(|user| UserId::parse(user).unwrap());
            let event = event.map(|event| EventName::parse(event).unwrap());
            let data = RawValue::from_string("{\"a\": [1,  2]}".to_owned()).unwrap();
            let payload = Arc::new(Payload { event, data, user });
            let kept = Kept { offset: 7, at: 1_700_000_000_000, payload, exclude, id: id.map(Into::into) };
            let back = parse_publication(7, &publication(&kept)).unwrap();
            assert_eq!(format!("{back:?}"), format!("{kept:?}"));
            for length in 0..9 {
                assert!(parse_publication(7, &publication(&kept)[..length]).is_err());
            }
        }
    }

    #[test]
    fn streams_and_keys_of_different_scopes_never_meet() {
        let channel = Stream { app: AppId(1), name: StreamName::Channel(ChannelName::parse("u7").unwrap()) };
        let user = Stream { app: AppId(1), name: StreamName::User(UserId::parse("u7").unwrap()) };
        assert_eq!(parse_stream(&stream(&channel)).unwrap(), channel);
        assert_eq!(parse_stream(&stream(&user)).unwrap(), user);
        let scoped = |origin: &str, name: &str| Key {
            origin: origin.into(),
            key: IdempotencyKey::parse(name).unwrap(),
            digest: 0,
        };
        assert_ne!(key(&channel, &scoped("a", "b")), key(&user, &scoped("a", "b")));
        assert_ne!(key(&channel, &scoped("a", "bc")), key(&channel, &scoped("ab", "c")));
    }
}
