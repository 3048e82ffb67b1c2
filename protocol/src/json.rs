//! What commands have in common: bounded depth, fields with clear errors, request ids.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::{ErrorCode, NameError};

/// Deepest nesting of a command outside its `data`.
pub const MAX_ENVELOPE_DEPTH: usize = 32;
/// Deepest nesting of `data`, as in PHP's `json_encode()`.
pub const MAX_DATA_DEPTH: usize = 512;
/// Longest request id, in bytes as it is written, without the quotes.
const MAX_REQUEST_ID: usize = 64;

/// The `id` of a command, kept as the JSON that came, so that the reply carries exactly it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// The id as JSON.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// A command that was refused, and what its sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// The command's id, when it had one that could be read.
    pub id: Option<RequestId>,
    /// The machine's half.
    pub code: ErrorCode,
    /// The human's half: what was wrong and what to do.
    pub message: String,
    /// The channel that the command named, when it could be read.
    pub channel: Option<String>,
    /// How long to wait before sending it again, ms.
    pub after: Option<u64>,
}

impl CommandError {
    /// An error without id or channel.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { id: None, code, message: message.into(), channel: None, after: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// `what` is the kind of name in the plural: "channel names".
    pub fn name(what: &str, error: NameError) -> Self {
        Self::new(ErrorCode::InvalidName, format!("{what} {error}"))
    }

    /// The same error, for the command with this id.
    #[must_use]
    pub fn with_id(mut self, id: Option<RequestId>) -> Self {
        self.id = id;
        self
    }

    /// The same error, which passes after this time.
    #[must_use]
    pub fn later(mut self, wait: Duration) -> Self {
        // Rounded up, since a little too early is refused again.
        self.after = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).ok();
        self
    }

    /// The same error, about this channel.
    #[must_use]
    pub fn about(mut self, channel: impl Into<String>) -> Self {
        self.channel = Some(channel.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for CommandError {}

/// Reads the request id.
pub(crate) fn request_id(raw: Option<&RawValue>) -> Result<Option<RequestId>, CommandError> {
    let Some(raw) = raw else { return Ok(None) };
    let text = raw.get();
    let first = text.as_bytes().first().copied().unwrap_or(b'n');
    let longest = if first == b'"' { MAX_REQUEST_ID + 2 } else { MAX_REQUEST_ID };
    match first {
        b'n' => Ok(None),
        b'"' | b'-' | b'0'..=b'9' if text.len() <= longest => Ok(Some(RequestId(text.into()))),
        _ => {
            Err(CommandError::bad_request(format!("id must be a number or a string of at most {MAX_REQUEST_ID} bytes")))
        }
    }
}

/// Reads a string; `null` counts as absent.
pub(crate) fn string<'a>(field: &str, raw: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, CommandError> {
    match raw.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(text) => serde_json::from_str::<Str<'a>>(text).map(|s| Some(s.0)).map_err(|error| match error.is_data() {
            true => CommandError::bad_request(format!("{field} must be a string")),
            // The text is JSON already, so what is wrong is inside a string, where only this can be.
            false => not_unicode(field),
        }),
    }
}

/// Reads a number from 1 to `most`; absent, it is `most`.
pub(crate) fn limit(raw: Option<&RawValue>, most: usize) -> Result<usize, CommandError> {
    match raw.map(RawValue::get) {
        None | Some("null") => Ok(most),
        Some(text) => match text.parse() {
            Ok(limit) if limit >= 1 => Ok(most.min(limit)),
            _ => Err(CommandError::bad_request("limit must be a number from 1 on")),
        },
    }
}

/// Reads a list of strings; `null` counts as absent.
pub(crate) fn strings<'a>(field: &str, raw: Option<&'a RawValue>) -> Result<Option<Vec<Cow<'a, str>>>, CommandError> {
    match raw.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(text) => serde_json::from_str::<Vec<Str<'a>>>(text)
            .map(|list| Some(list.into_iter().map(|s| s.0).collect()))
            .map_err(|error| match error.is_data() {
                true => CommandError::bad_request(format!("{field} must be a list of strings")),
                false => not_unicode(field),
            }),
    }
}

fn not_unicode(field: &str) -> CommandError {
    CommandError::bad_request(format!("{field} is not valid Unicode: an escape is half of a surrogate pair"))
}

/// Borrows when the string has no escapes (`Cow` alone never borrows in serde).
#[derive(serde::Deserialize)]
struct Str<'a>(#[serde(borrow)] Cow<'a, str>);

/// Parses one envelope `T` (a struct of raw fields) from `text`, an object.
pub(crate) fn envelope<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, CommandError> {
    if !text.trim_start().starts_with('{') {
        return match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Err(CommandError::bad_request("a command must be a JSON object")),
            Err(error) => Err(CommandError::bad_request(format!("not valid JSON: {error}"))),
        };
    }
    serde_json::from_str(text).map_err(|error| {
        let what = if error.is_data() { "not a valid command" } else { "not valid JSON" };
        CommandError::bad_request(format!("{what}: {error}"))
    })
}

/// Refuses nesting beyond the bounds, without recursion: the envelope's everywhere but inside `data`.
pub(crate) fn check_depth(text: &str, data: Option<&RawValue>) -> Result<(), CommandError> {
    let (before, data, after) = match data {
        // `data` borrows from `text`, so its place there is the distance of the two pointers.
        Some(data) => {
            let start = data.get().as_ptr().addr() - text.as_ptr().addr();
            (&text[..start], data.get(), &text[start + data.get().len()..])
        }
        None => (text, "", ""),
    };
    let mut envelope = Depth::default();
    envelope.scan(before);
    envelope.scan(after);
    let mut inner = Depth::default();
    inner.scan(data);
    if envelope.deepest > MAX_ENVELOPE_DEPTH {
        return Err(CommandError::bad_request(format!("nested deeper than {MAX_ENVELOPE_DEPTH} levels")));
    }
    if inner.deepest > MAX_DATA_DEPTH {
        return Err(CommandError::bad_request(format!("data is nested deeper than {MAX_DATA_DEPTH} levels")));
    }
    Ok(())
}

/// Depth of JSON that is already known to be valid.
#[derive(Default)]
struct Depth {
    now: usize,
    deepest: usize,
    in_string: bool,
    escaped: bool,
}

impl Depth {
    fn scan(&mut self, text: &str) {
        for byte in text.bytes() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => {
                        self.now += 1;
                        self.deepest = self.deepest.max(self.now);
                    }
                    b'}' | b']' => self.now = self.now.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }
}
