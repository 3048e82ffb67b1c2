//! A publisher's frames, carried out.

use realtime_protocol::{PublisherFrame, PublisherRequest};
use serde_json::value::RawValue;

use super::check_answer;
use super::node::Node;
use crate::publisher::execute_frame;

/// Each line is one text message of one publisher.
pub fn publisher(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let node = Node::new();
    for line in text.lines() {
        let reply = execute_frame(&node.shared, &node.grant, line, node.place);
        let has_id = |request: &Result<PublisherRequest<'_>, _>| request.as_ref().map_or(true, |r| r.id.is_some());
        match (PublisherFrame::parse(line), reply) {
            (PublisherFrame::One(request), reply) => {
                assert!(reply.is_some() || !has_id(&request), "no answer to {line:?}");
                reply.as_deref().into_iter().for_each(check_answer);
            }
            (PublisherFrame::Many(requests), None) => assert!(!requests.iter().any(has_id), "no answers to {line:?}"),
            (PublisherFrame::Many(requests), Some(reply)) => {
                let replies: Vec<&RawValue> = serde_json::from_str(&reply).unwrap_or_else(|e| panic!("{reply}: {e}"));
                let expected = requests.iter().filter(|request| has_id(request)).count()..=requests.len();
                assert!(expected.contains(&replies.len()), "{} answers to {line:?}", replies.len());
                replies.iter().for_each(|reply| check_answer(reply.get()));
            }
        }
        node.check_queued();
    }
}
