//! `POST /broadcast`, from the body's bytes to the answer's.

use realtime_protocol::PublisherFrame;
use serde_json::value::RawValue;

use super::check_answer;
use super::node::{Node, at_once};
use crate::http::answer_body;

/// The body of one request of who may publish.
pub fn body(input: &[u8]) {
    let node = Node::new();
    let (status, answer) = at_once(answer_body(&node.shared, &node.grant, input));
    let answer = std::str::from_utf8(&answer).unwrap_or_else(|error| panic!("an answer is not UTF-8: {error}"));
    let commands = std::str::from_utf8(input).map(PublisherFrame::parse);
    match (status, commands) {
        (200, Ok(PublisherFrame::Many(requests))) => {
            let replies: Vec<&RawValue> = serde_json::from_str(answer).unwrap_or_else(|e| panic!("{answer}: {e}"));
            assert_eq!(replies.len(), requests.len(), "each command has its answer: {answer}");
            replies.iter().for_each(|reply| check_answer(reply.get()));
        }
        (200, Ok(PublisherFrame::One(Ok(_)))) => check_answer(answer),
        (400 | 409 | 413 | 429 | 503 | 507, Ok(PublisherFrame::One(_))) | (400, Err(_)) => check_refusal(answer),
        (status, commands) => panic!("{status} {answer:?} answers {commands:?}"),
    }
    node.check_queued();
}

fn check_refusal(answer: &str) {
    let read: serde_json::Value = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{answer}: {error}"));
    let (code, message) = (&read["error"]["code"], &read["error"]["message"]);
    assert!(code.is_string() && message.is_string(), "no reason is given: {answer}");
}
