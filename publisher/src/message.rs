//! Whole messages, as code that was written after tutorials has them.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::command::{Command, Names, Part, push_id, push_key, push_quoted};
use crate::idempotency::{KeyRefusal, Keys};

/// Why a whole message of the application was refused. The text completes "the message …".
#[derive(Debug)]
pub enum MessageError {
    /// It is no JSON object.
    Json(serde_json::Error),
    /// Its idempotency key is refused.
    Key(KeyRefusal),
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "must be a JSON object: {error}"),
            Self::Key(refusal) => write!(f, "must have a valid \"key\": it {refusal}"),
        }
    }
}

impl std::error::Error for MessageError {}

impl Command {
    /// A whole message of the application, such as `{"type":"broadcast_update","channel":…,"data":…}`. It gets our id
    /// instead of its own, so that its acknowledgement can be told, and a key unless it has one.
    pub(crate) fn message(id: u64, json: &str, keys: &mut Keys) -> Result<Self, MessageError> {
        let Fields(fields) = serde_json::from_str(json).map_err(MessageError::Json)?;
        let mut text = String::with_capacity(json.len() + 64);
        push_id(&mut text, id);
        let mut part = Part { id, names: Names::None, key: None };
        for (name, value) in &fields {
            if name == "id" || name == "key" && value.get() == "null" {
                continue;
            }
            text.push(',');
            push_quoted(&mut text, name);
            text.push(':');
            let start = text.len();
            text.push_str(value.get());
            let at = start..text.len();
            match name.as_str() {
                "channel" if value.get().starts_with('"') => part.names = Names::One(at),
                "channels" => part.names = Names::Several(at),
                // What is no string is for the server to refuse.
                "key" => part.key = Some(at),
                _ => {}
            }
        }
        match part.read_key(&text) {
            Some(key) => keys.check(&key).map_err(MessageError::Key)?,
            None => part.key = Some(push_key(&mut text, None, keys)),
        }
        text.push('}');
        Ok(Self { text, first: part, rest: Vec::new(), array: false })
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
    fn a_whole_message_keeps_its_fields_and_gets_our_id_and_a_key() {
        let json = r#" {"type":"broadcast_update", "id":"x","channel":"c","data":[1, 2],"__proto__":null}"#;
        let command = Command::message(3, json, &mut Keys::new()).unwrap();
        let fields = r#"{"id":3,"type":"broadcast_update","channel":"c","data":[1, 2],"__proto__":null,"key":"~"#;
        assert!(command.text.starts_with(fields), "{}", command.text);
        assert_eq!(command.first.names.read(&command.text), ["c"]);
        let own = Command::message(3, r#"{"key":"mine"}"#, &mut Keys::new()).unwrap();
        assert_eq!(own.text, r#"{"id":3,"key":"mine"}"#);
        assert_eq!(own.first.read_key(&own.text).as_deref(), Some("mine"));
    }

    #[test]
    fn a_key_that_looks_like_one_of_ours_is_refused() {
        let refused = Command::message(1, r#"{"key":"~x.1"}"#, &mut Keys::new());
        assert!(matches!(refused, Err(MessageError::Key(KeyRefusal::Reserved))));
    }

    #[test]
    fn what_is_no_object_is_no_message() {
        for json in ["", "[]", "1", "\"x\"", "{", "{}x", "{\"a\":}", "null"] {
            assert!(Command::message(1, json, &mut Keys::new()).is_err(), "{json:?}");
        }
    }
}
