//! Commands: what goes to the server.

use std::fmt::Write;
use std::ops::Range;

use crate::idempotency::Keys;

/// One frame of commands, ready to be sent.
#[derive(Debug)]
pub struct Command {
    /// The frame's text.
    pub(crate) text: String,
    /// What its commands are; nearly always one.
    pub(crate) first: Part,
    /// The others of an array.
    pub(crate) rest: Vec<Part>,
    /// Whether the frame is an array, which is answered by one.
    pub(crate) array: bool,
}

/// One command of a frame. What its receipt repeats stays in the text until somebody asks.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// What its reply carries.
    pub(crate) id: u64,
    /// The channels that it names, which the reply to a single one does not repeat.
    pub(crate) names: Names,
    /// Where its idempotency key is, quoted. Only what publishes has one.
    pub(crate) key: Option<Range<usize>>,
}

/// Where a command names its channels.
#[derive(Clone, Debug)]
pub(crate) enum Names {
    /// No channel.
    None,
    /// A string.
    One(Range<usize>),
    /// An array of strings.
    Several(Range<usize>),
}

impl Names {
    /// The names, read from the text of their frame.
    pub(crate) fn read(&self, text: &str) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::One(at) => unquote(&text[at.clone()]).into_iter().collect(),
            Self::Several(at) => serde_json::from_str(&text[at.clone()]).unwrap_or_default(),
        }
    }

    fn end(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(at) | Self::Several(at) => at.end,
        }
    }
}

impl Part {
    /// The idempotency key, read from the text of its frame.
    pub(crate) fn read_key(&self, text: &str) -> Option<String> {
        self.key.clone().and_then(|at| unquote(&text[at]))
    }

    /// Where the last of what a receipt repeats ends.
    pub(crate) fn end(&self) -> usize {
        self.names.end().max(self.key.as_ref().map_or(0, |key| key.end))
    }
}

/// The string that a JSON string stands for.
fn unquote(json: &str) -> Option<String> {
    if !json.contains('\\') {
        return Some(json.trim_matches('"').to_owned());
    }
    serde_json::from_str(json).ok()
}

/// Something to publish.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// Who shall get it.
    pub audience: Audience<'a>,
    /// The application's name on it.
    pub event: Option<&'a str>,
    /// The connection that shall not get it.
    pub exclude: Option<&'a str>,
    /// The application's idempotency key, checked; without one, one is made.
    pub key: Option<&'a str>,
    /// The value, as JSON.
    pub data: &'a str,
}

/// Who shall get a publication.
#[derive(Clone, Copy, Debug)]
pub enum Audience<'a> {
    /// The subscribers of one channel.
    Channel(&'a str),
    /// The subscribers of several, with an outcome for each.
    Channels(&'a [&'a str]),
    /// All connections of a user.
    User(&'a str),
    /// One connection.
    Connection(&'a str),
}

impl Command {
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    pub(crate) fn len(&self) -> usize {
        1 + self.rest.len()
    }

    /// Asks the server to publish.
    pub(crate) fn publish(id: u64, publication: &Publication<'_>, keys: &mut Keys) -> Self {
        // What the names and the key take, roughly, and the fixed parts.
        let mut text = String::with_capacity(publication.data.len() + 192);
        let first = push_publication(&mut text, id, publication, keys);
        Self { text, first, rest: Vec::new(), array: false }
    }

    /// Asks for something that publishes nothing: `type`, and what else it takes. It can be asked again at any time, since
    /// it changes nothing, or nothing more the second time.
    pub(crate) fn ask(id: u64, kind: &str, fields: impl FnOnce(&mut String)) -> Self {
        let mut text = String::with_capacity(96);
        push_head(&mut text, id, kind);
        fields(&mut text);
        text.push('}');
        Self { text, first: Part { id, names: Names::None, key: None }, rest: Vec::new(), array: false }
    }
}

/// Appends a command that publishes. What its receipt repeats stands before the data, which may be long.
pub(crate) fn push_publication(text: &mut String, id: u64, publication: &Publication<'_>, keys: &mut Keys) -> Part {
    let Publication { audience, event, exclude, key, data } = *publication;
    push_head(text, id, "broadcast_update");
    let names = match audience {
        Audience::Channel(name) => Names::One(push_field(text, "channel", name)),
        Audience::Channels(names) => {
            text.push_str(",\"channels\":");
            let start = text.len();
            text.push('[');
            for (i, name) in names.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                push_quoted(text, name);
            }
            text.push(']');
            Names::Several(start..text.len())
        }
        Audience::User(id) => {
            push_field(text, "user", id);
            Names::None
        }
        Audience::Connection(id) => {
            push_field(text, "connection", id);
            Names::None
        }
    };
    let key = Some(push_key(text, key, keys));
    for (name, value) in [("event", event), ("exclude", exclude)] {
        if let Some(value) = value {
            push_field(text, name, value);
        }
    }
    text.push_str(",\"data\":");
    text.push_str(data);
    text.push('}');
    Part { id, names, key }
}

pub(crate) fn push_id(text: &mut String, id: u64) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{{\"id\":{id}");
}

fn push_head(text: &mut String, id: u64, kind: &str) {
    push_id(text, id);
    text.push_str(",\"type\":\"");
    text.push_str(kind);
    text.push('"');
}

/// Appends the application's key, or one that is made for it, and says where it is.
pub(crate) fn push_key(text: &mut String, given: Option<&str>, keys: &mut Keys) -> Range<usize> {
    match given {
        Some(key) => push_field(text, "key", key),
        None => {
            text.push_str(",\"key\":");
            let start = text.len();
            text.push('"');
            keys.push_next(text);
            text.push('"');
            start..text.len()
        }
    }
}

/// Appends a field whose value is a string, and says where that is.
pub(crate) fn push_field(text: &mut String, name: &str, value: &str) -> Range<usize> {
    text.push_str(",\"");
    text.push_str(name);
    text.push_str("\":");
    let start = text.len();
    push_quoted(text, value);
    start..text.len()
}

pub(crate) fn push_quoted(text: &mut String, value: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if value.bytes().all(plain) {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        // A string has no reason to fail: no map keys, no custom serializer, no I/O.
        text.push_str(&serde_json::to_string(value).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_one_json_object_whose_data_is_untouched() {
        let publication = Publication {
            audience: Audience::Channels(&["a", "b\"\n"]),
            event: Some("é"),
            exclude: Some("c1"),
            key: Some("k\\"),
            data: "{\"x\": 1.0}",
        };
        let command = Command::publish(7, &publication, &mut Keys::new());
        assert_eq!(
            command.text,
            r#"{"id":7,"type":"broadcast_update","channels":["a","b\"\n"],"key":"k\\","event":"é","exclude":"c1","data":{"x": 1.0}}"#
        );
        assert_eq!(command.first.names.read(&command.text), ["a", "b\"\n"]);
        assert_eq!(command.first.read_key(&command.text).as_deref(), Some("k\\"));
    }

    #[test]
    fn without_a_key_one_is_made() {
        let publication =
            Publication { audience: Audience::Channel("c"), event: None, exclude: None, key: None, data: "1" };
        let mut keys = Keys::new();
        let command = Command::publish(7, &publication, &mut keys);
        let key = command.first.read_key(&command.text).unwrap();
        assert_eq!(
            command.text,
            format!(r#"{{"id":7,"type":"broadcast_update","channel":"c","key":"{key}","data":1}}"#)
        );
        assert_eq!(keys.check(&key), Ok(()));
    }
}
