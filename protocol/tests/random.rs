//! Parsers on input that nobody thought of: they answer, never panic, and change nothing.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use realtime_protocol::{
    ClientCommand, ClientRequest, CommandError, ErrorCode, PublisherCommand, PublisherFrame, PublisherRequest,
    RequestId, Target,
};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// What both parsers say of a text.
fn parse(text: &str) -> Vec<Option<CommandError>> {
    let mut outcomes = vec![ClientRequest::parse(text).err()];
    match PublisherFrame::parse(text) {
        PublisherFrame::One(request) => outcomes.push(request.err()),
        PublisherFrame::Many(requests) => outcomes.extend(requests.into_iter().map(Result::err)),
    }
    outcomes
}

fn publication(text: &str) -> Result<PublisherRequest<'_>, CommandError> {
    match PublisherFrame::parse(text) {
        PublisherFrame::One(request) => request,
        PublisherFrame::Many(_) => panic!("no array: {text}"),
    }
}

/// Any JSON, with the protocol's field names among the keys.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        select(vec!["subscribe", "unsubscribe", "register", "ping", "broadcast_update"]).prop_map(Value::from),
    ];
    let fields = select(vec![
        "type",
        "action",
        "id",
        "channel",
        "channels",
        "user",
        "userId",
        "connection",
        "event",
        "exclude",
        "data",
    ]);
    let key = prop_oneof![8 => fields.prop_map(str::to_owned), 1 => ".{0,10}"];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..6).prop_map(Value::from),
            3 => btree_map(key.clone(), inner, 0..8).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A command that is fine.
fn any_command() -> impl Strategy<Value = String> {
    (".{1,30}", any_json(), select(vec!["subscribe", "register", "broadcast_update", "ping"])).prop_map(
        |(name, data, kind)| {
            json!({"type": kind, "id": 7, "channel": name, "channels": [name], "userId": name, "data": data})
                .to_string()
        },
    )
}

/// Brackets that open and close again, with strings between in which others count for nothing.
fn nested(levels: usize, objects: bool) -> String {
    let (open, close) = if objects { (r#"{"}]\"[{":"#, "}") } else { (r#"["]}\\","#, "]") };
    format!("{}0{}", open.repeat(levels), close.repeat(levels))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        parse(&text);
    }

    #[test]
    fn any_json_is_answered_and_what_is_taken_is_json(value in any_json(), cut in any::<Index>()) {
        let text = value.to_string();
        parse(&text);
        let at = (0..=cut.index(text.len() + 1)).rev().find(|&at| text.is_char_boundary(at)).unwrap();
        let cut = &text[..at];
        if serde_json::from_str::<IgnoredAny>(cut).is_err() {
            for outcome in parse(cut) {
                prop_assert_eq!(outcome.map(|error| error.code), Some(ErrorCode::BadRequest), "{}", cut);
            }
        }
    }

    #[test]
    fn a_command_with_a_few_bytes_changed_is_answered(
        text in any_command(),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = text.into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let text = String::from_utf8_lossy(&bytes);
        let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        for outcome in parse(&text) {
            prop_assert!(is_json || outcome.is_some(), "{} is taken", text);
        }
    }

    #[test]
    fn data_and_ids_come_through_byte_for_byte(data in any_json(), id in any::<f64>(), spaces in "[ \t\r\n]{0,3}") {
        let (data, id) = (data.to_string(), json!(id).to_string());
        let text = format!(r#"{spaces}{{"type":"broadcast_update",{spaces}"id":{id},"channel":"c","data":{spaces}{data}{spaces}}}"#);
        let request = publication(&text).unwrap();
        prop_assert_eq!(request.id.as_ref().map(RequestId::as_json), Some(&*id).filter(|id| *id != "null"));
        let PublisherCommand::Publish(publish) = request.command else { panic!("no publication") };
        prop_assert_eq!(publish.data.get(), data);
        prop_assert!(matches!(publish.target, Target::Channel(name) if name.as_str() == "c"));
    }

    #[test]
    fn names_come_through_however_they_are_escaped(name in "\\PC{1,40}", escape in any::<bool>()) {
        let escaped: String = name.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let literal = if escape { format!("\"{escaped}\"") } else { json!(name).to_string() };
        let text = format!(r#"{{"channel":{literal},"type":"subscribe"}}"#);
        match ClientRequest::parse(&text) {
            Ok(ClientRequest { command: ClientCommand::Subscribe(asked), .. }) => prop_assert_eq!(asked.channel.as_str(), name),
            Err(error) => {
                prop_assert_eq!(error.code, ErrorCode::InvalidName);
                prop_assert!(name.len() > 200 || name.chars().any(char::is_control));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn depth_is_bounded_in_data_and_around_it(
        inside in prop_oneof![0_usize..1100, 508_usize..518],
        around in 0_usize..70,
        objects in any::<bool>(),
        data_first in any::<bool>(),
    ) {
        let (data, noise) = (nested(inside, objects), nested(around, !objects));
        let fields = [format!(r#""data":{data}"#), format!(r#""other":{noise}"#)];
        let [first, second] = if data_first { &fields } else { &[fields[1].clone(), fields[0].clone()] };
        let text = format!(r#"{{{first},"type":"broadcast_update","channel":"c",{second}}}"#);
        // The command itself is one level.
        let is_fine = inside <= 512 && around < 32;
        match publication(&text) {
            Ok(_) => prop_assert!(is_fine),
            Err(error) => {
                prop_assert!(!is_fine, "{}", error);
                prop_assert_eq!(error.code, ErrorCode::BadRequest);
                prop_assert!(error.message.contains("nested deeper than"), "{}", error);
            }
        }
    }
}
