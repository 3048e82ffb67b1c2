//! Replies: what comes back.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use crate::command::{Command, Part};
use crate::error::{ChannelOutcome, ChannelReceipt, Error, Rejection};

/// The server took a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Connections that the publication was queued for, over all channels.
    pub receivers: u64,
    /// What became of it in each channel that the command named, in their order.
    pub channels: Vec<(String, ChannelReceipt)>,
    /// The idempotency key; empty where the command publishes nothing.
    pub key: String,
    /// From the sending to the reply, of a command that was waited for.
    pub round_trip: Duration,
}

/// What became of a command.
pub type Outcome = Result<Receipt, Error>;

/// The outcomes that the server has told; the error where it has told none.
pub(crate) fn told(outcomes: impl Iterator<Item = Outcome>) -> Result<Vec<Outcome>, Error> {
    outcomes
        .map(|outcome| match outcome {
            Err(error @ Error::Broken { .. }) => Err(error),
            told => Ok(told),
        })
        .collect()
}

/// As much of a reply as tells what it answers.
#[derive(Deserialize)]
pub(crate) struct Head<'a> {
    #[serde(default)]
    pub(crate) id: Option<u64>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

impl Head<'_> {
    pub(crate) fn is_error(&self) -> bool {
        self.kind == "error"
    }
}

/// The heads of a reply, which is an array where the command was one.
pub(crate) fn heads(text: &str) -> serde_json::Result<Vec<Head<'_>>> {
    if text.starts_with('[') { serde_json::from_str(text) } else { Ok(vec![serde_json::from_str(text)?]) }
}

/// A reply as it came, or the part of a reply that is about one of several channels.
#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(default)]
    receivers: u64,
    #[serde(default)]
    epoch: Option<String>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(borrow, default)]
    code: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    results: Option<Vec<Self>>,
}

/// What the reply to `command`, which was sent as `text`, means for each of its parts.
pub(crate) fn outcomes(command: &Command, text: &str, reply: &str) -> Vec<Outcome> {
    let nonsense = |error: &serde_json::Error| {
        // The heads were read, so the rest is JSON, but its fields are not what they should be.
        Err(Error::Rejected(Rejection { code: "bad_reply".to_owned(), message: error.to_string(), key: None }))
    };
    let receipt = |(part, reply): (&Part, Reply<'_>)| reply.into_receipt(part, text);
    if command.array {
        return match serde_json::from_str::<Vec<Reply<'_>>>(reply) {
            Ok(replies) => command.parts().zip(replies).map(receipt).collect(),
            Err(error) => command.parts().map(|_| nonsense(&error)).collect(),
        };
    }
    vec![serde_json::from_str(reply).map_or_else(|error| nonsense(&error), |reply| receipt((&command.first, reply)))]
}

impl Reply<'_> {
    /// What the reply means for a command that names channels.
    fn into_receipt(self, part: &Part, text: &str) -> Outcome {
        let receivers = self.receivers;
        let names = part.names.read(text);
        let outcomes = match self {
            Self { results: Some(results), .. } => results.into_iter().map(Self::into_outcome).collect(),
            whole => {
                let refused = |rejection| Error::Rejected(Rejection { key: part.read_key(text), ..rejection });
                let receipt = whole.into_outcome().map_err(refused)?;
                // Only a command for one channel is answered without results.
                if names.len() == 1 { vec![Ok(receipt)] } else { Vec::new() }
            }
        };
        let key = part.read_key(text);
        if outcomes.iter().any(Result::is_err) {
            return Err(Error::Partly { outcomes: names.into_iter().zip(outcomes).collect(), key });
        }
        let channels = names.into_iter().zip(outcomes.into_iter().flatten()).collect();
        Ok(Receipt { receivers, channels, key: key.unwrap_or_default(), round_trip: Duration::ZERO })
    }

    fn into_outcome(self) -> ChannelOutcome {
        if self.kind == "error" {
            return Err(Rejection { code: self.code.into_owned(), message: self.message.into_owned(), key: None });
        }
        Ok(ChannelReceipt { receivers: self.receivers, epoch: self.epoch, offset: self.offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Audience, Publication};
    use crate::idempotency::Keys;

    fn outcome(reply: &str, audience: Audience<'_>) -> Outcome {
        let publication = Publication { audience, event: None, exclude: None, key: Some("k"), data: "1" };
        let command = Command::publish(7, &publication, &mut Keys::new());
        outcomes(&command, &command.text, reply).remove(0)
    }

    #[test]
    fn an_acknowledgement_of_one_channel_is_its_receipt() {
        let reply = r#"{"id":7,"type":"ack","receivers":12,"epoch":"e","offset":58}"#;
        let receipt = outcome(reply, Audience::Channel("c")).unwrap();
        let channel = ChannelReceipt { receivers: 12, epoch: Some("e".into()), offset: Some(58) };
        let channels = vec![("c".into(), channel)];
        assert_eq!(receipt, Receipt { receivers: 12, channels, key: "k".into(), ..Receipt::default() });
    }

    #[test]
    fn users_and_connections_have_no_channel() {
        let receipt = outcome(r#"{"id":7,"type":"ack","receivers":2}"#, Audience::User("u")).unwrap();
        assert_eq!(receipt, Receipt { receivers: 2, key: "k".into(), ..Receipt::default() });
    }

    #[test]
    fn one_refused_channel_of_several_is_told_with_the_outcome_of_all() {
        let reply = r#"{"id":1,"type":"ack","receivers":3,"results":[{"type":"ack","channel":"a","receivers":3},
            {"type":"error","code":"invalid_name","message":"no \"b\"","channel":"b"}]}"#;
        let Err(Error::Partly { outcomes, .. }) = outcome(reply, Audience::Channels(&["a", "b"])) else {
            panic!("must be refused in part")
        };
        assert_eq!(outcomes[0], ("a".into(), Ok(ChannelReceipt { receivers: 3, epoch: None, offset: None })));
        let rejection = Rejection { code: "invalid_name".into(), message: "no \"b\"".into(), key: None };
        assert_eq!(outcomes[1], ("b".into(), Err(rejection)));
    }

    #[test]
    fn an_error_is_a_rejection() {
        let reply = r#"{"id":1,"type":"error","code":"too_large","message":"m"}"#;
        let Err(Error::Rejected(rejection)) = outcome(reply, Audience::Channel("a")) else {
            panic!("must be rejected")
        };
        assert_eq!((rejection.to_string().as_str(), rejection.key.as_deref()), ("m (too_large)", Some("k")));
    }
}
