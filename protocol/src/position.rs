//! Where a stream stands, and from where a subscriber goes on.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::CommandError;
use crate::json::string;

/// Longest epoch, in bytes; ours are shorter.
const MAX_EPOCH: usize = 64;
/// Offsets stay below 2^53, so that JavaScript's numbers hold them exactly.
pub const MAX_OFFSET: u64 = 1 << 53;

/// A place in a stream: the last publication that somebody has, in one life of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which life of the store; offsets of different ones are not comparable.
    pub epoch: Box<str>,
    /// The offset of that publication.
    pub offset: u64,
}

/// From where a subscriber wants what it missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// From the beginning of what the stream has ever held.
    Earliest,
    /// From what comes after this position.
    At(Position),
}

/// What of a stream a subscriber wants when it is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Everything, in order.
    #[default]
    Stream,
    /// Only the newest publication, for channels that carry a whole state each time.
    Latest,
}

#[derive(Deserialize)]
struct RawPosition<'a> {
    #[serde(borrow)]
    epoch: Option<&'a RawValue>,
    offset: Option<u64>,
}

/// Reads `since`; `null` counts as absent.
pub(crate) fn since(field: &str, raw: Option<&RawValue>) -> Result<Option<Since>, CommandError> {
    let bad = || {
        CommandError::bad_request(format!(
            "{field} must be \"earliest\" or a position as the server gave it, {{\"epoch\":\"…\",\"offset\":41}}"
        ))
    };
    let Some(raw) = raw else { return Ok(None) };
    match raw.get().as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') if string(field, Some(raw))?.as_deref() == Some("earliest") => Ok(Some(Since::Earliest)),
        Some(b'{') => {
            let position: RawPosition<'_> = serde_json::from_str(raw.get()).map_err(|_| bad())?;
            let epoch = string("epoch", position.epoch)?.filter(|epoch| epoch.len() <= MAX_EPOCH).ok_or_else(bad)?;
            let offset = position.offset.filter(|offset| *offset < MAX_OFFSET).ok_or_else(bad)?;
            Ok(Some(Since::At(Position { epoch: epoch.into(), offset })))
        }
        _ => Err(bad()),
    }
}

/// Reads `mode`.
pub(crate) fn mode(raw: Option<&RawValue>) -> Result<Mode, CommandError> {
    match string("mode", raw)?.as_deref() {
        None | Some("stream") => Ok(Mode::Stream),
        Some("latest") => Ok(Mode::Latest),
        Some(_) => Err(CommandError::bad_request("mode must be \"stream\" or \"latest\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<Since>, CommandError> {
        since("since", Some(&RawValue::from_string(json.to_owned()).unwrap()))
    }

    #[test]
    fn a_position_has_an_epoch_and_an_offset_that_javascript_can_hold() {
        let at = |epoch: &str, offset| Some(Since::At(Position { epoch: epoch.into(), offset }));
        assert_eq!(read(r#"{"epoch":"e","offset":0,"more":1}"#), Ok(at("e", 0)));
        assert_eq!(read("\"earliest\""), Ok(Some(Since::Earliest)));
        assert_eq!(read("null"), Ok(None));
        for bad in [
            "\"latest\"",
            "1",
            "[]",
            "{}",
            r#"{"epoch":"e"}"#,
            r#"{"offset":1}"#,
            r#"{"epoch":1,"offset":1}"#,
            r#"{"epoch":"e","offset":-1}"#,
            r#"{"epoch":"e","offset":1.5}"#,
            r#"{"epoch":"e","offset":9007199254740992}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
