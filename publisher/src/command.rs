//! Commands: what goes to the server.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One command, ready to be sent.
#[derive(Debug)]
pub struct Command {
    /// What its reply carries.
    pub(crate) id: u64,
    /// The frame's text.
    pub(crate) text: String,
    /// The channels that it names, which the reply to a single one does not repeat.
    pub(crate) channels: Vec<String>,
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

/// A whole message of the application was not a JSON object.
#[derive(Debug)]
pub struct MessageError(serde_json::Error);

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be a JSON object: {}", self.0)
    }
}

impl std::error::Error for MessageError {}

impl Command {
    /// Asks the server to publish.
    pub fn publish(id: u64, publication: &Publication<'_>) -> Self {
        let Publication { audience, event, exclude, data } = *publication;
        // What the names take, roughly, and the fixed parts.
        let mut text = String::with_capacity(data.len() + 160);
        text.push_str("{\"id\":");
        text.push_str(&id.to_string());
        text.push_str(",\"type\":\"broadcast_update\"");
        let channels = match audience {
            Audience::Channel(name) => {
                push_field(&mut text, "channel", name);
                vec![name.to_owned()]
            }
            Audience::Channels(names) => {
                text.push_str(",\"channels\":[");
                for (i, name) in names.iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    push_quoted(&mut text, name);
                }
                text.push(']');
                names.iter().map(|&name| name.to_owned()).collect()
            }
            Audience::User(id) => {
                push_field(&mut text, "user", id);
                Vec::new()
            }
            Audience::Connection(id) => {
                push_field(&mut text, "connection", id);
                Vec::new()
            }
        };
        for (key, value) in [("event", event), ("exclude", exclude)] {
            if let Some(value) = value {
                push_field(&mut text, key, value);
            }
        }
        text.push_str(",\"data\":");
        text.push_str(data);
        text.push('}');
        Self { id, text, channels }
    }

    /// Asks for a `pong`.
    pub fn ping(id: u64) -> Self {
        Self { id, text: format!("{{\"id\":{id},\"type\":\"ping\"}}"), channels: Vec::new() }
    }

    /// A whole message of the application, such as `{"type":"broadcast_update","channel":…,"data":…}`. It gets our id
    /// instead of its own, so that its acknowledgement can be told.
    pub fn message(id: u64, json: &str) -> Result<Self, MessageError> {
        let Fields(fields) = serde_json::from_str(json).map_err(MessageError)?;
        let mut text = String::with_capacity(json.len() + 24);
        text.push_str("{\"id\":");
        text.push_str(&id.to_string());
        let mut channels = Vec::new();
        for (name, value) in &fields {
            match name.as_str() {
                "id" => continue,
                "channel" => channels.extend(serde_json::from_str::<String>(value.get())),
                "channels" => channels.extend(serde_json::from_str::<Vec<String>>(value.get()).into_iter().flatten()),
                _ => {}
            }
            text.push(',');
            push_quoted(&mut text, name);
            text.push(':');
            text.push_str(value.get());
        }
        text.push('}');
        Ok(Self { id, text, channels })
    }
}

fn push_field(text: &mut String, key: &str, value: &str) {
    text.push_str(",\"");
    text.push_str(key);
    text.push_str("\":");
    push_quoted(text, value);
}

fn push_quoted(text: &mut String, value: &str) {
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

/// An object's fields in their order.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a type, a channel and data")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(4);
                while let Some(key) = map.next_key()? {
                    fields.push((key, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
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
            data: "{\"x\": 1.0}",
        };
        let command = Command::publish(7, &publication);
        assert_eq!(
            command.text,
            r#"{"id":7,"type":"broadcast_update","channels":["a","b\"\n"],"event":"é","exclude":"c1","data":{"x": 1.0}}"#
        );
        assert_eq!(command.channels, ["a", "b\"\n"]);
    }

    #[test]
    fn a_whole_message_keeps_its_fields_and_gets_our_id() {
        let json = r#" {"type":"broadcast_update", "id":"x","channel":"c","data":[1, 2],"__proto__":null}"#;
        let command = Command::message(3, json).unwrap();
        assert_eq!(command.text, r#"{"id":3,"type":"broadcast_update","channel":"c","data":[1, 2],"__proto__":null}"#);
        assert_eq!(command.channels, ["c"]);
    }

    #[test]
    fn what_is_no_object_is_no_message() {
        for json in ["", "[]", "1", "\"x\"", "{", "{}x", "{\"a\":}", "null"] {
            assert!(Command::message(1, json).is_err(), "{json:?}");
        }
    }
}
