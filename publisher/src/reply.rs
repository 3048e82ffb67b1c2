//! Replies: what comes back.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{ChannelOutcome, ChannelReceipt, Error, Rejection};

/// The server took a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Connections that the publication was queued for, over all channels.
    pub receivers: u64,
    /// What became of it in each channel that the command named, in their order.
    pub channels: Vec<(String, ChannelReceipt)>,
    /// From the sending to the reply.
    pub round_trip: Duration,
}

/// A reply as it came, or the part of a reply that is about one of several channels.
#[derive(Deserialize)]
pub(crate) struct Reply<'a> {
    #[serde(default)]
    pub(crate) id: Option<u64>,
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

impl<'a> Reply<'a> {
    pub(crate) fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// What the reply means for a command that named `channels`.
    pub(crate) fn into_receipt(self, channels: Vec<String>) -> Result<Receipt, Error> {
        let receivers = self.receivers;
        let outcomes = match self {
            Self { results: Some(results), .. } => results.into_iter().map(Self::into_outcome).collect(),
            whole => {
                let receipt = whole.into_outcome().map_err(Error::Rejected)?;
                // Only a command for one channel is answered without results.
                if channels.len() == 1 { vec![Ok(receipt)] } else { Vec::new() }
            }
        };
        let outcomes: Vec<(String, ChannelOutcome)> = channels.into_iter().zip(outcomes).collect();
        if outcomes.iter().any(|(_, outcome)| outcome.is_err()) {
            return Err(Error::Partly(outcomes));
        }
        let channels = outcomes.into_iter().filter_map(|(name, outcome)| Some((name, outcome.ok()?))).collect();
        Ok(Receipt { receivers, channels, round_trip: Duration::ZERO })
    }

    fn into_outcome(self) -> ChannelOutcome {
        if self.kind == "error" {
            return Err(Rejection { code: self.code.into_owned(), message: self.message.into_owned() });
        }
        Ok(ChannelReceipt { receivers: self.receivers, epoch: self.epoch, offset: self.offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(reply: &str, channels: &[&str]) -> Result<Receipt, Error> {
        Reply::parse(reply).unwrap().into_receipt(channels.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn an_acknowledgement_of_one_channel_is_its_receipt() {
        let receipt = receipt(r#"{"id":7,"type":"ack","receivers":12,"epoch":"e","offset":58}"#, &["c"]).unwrap();
        let channel = ChannelReceipt { receivers: 12, epoch: Some("e".into()), offset: Some(58) };
        assert_eq!(receipt, Receipt { receivers: 12, channels: vec![("c".into(), channel)], ..Receipt::default() });
    }

    #[test]
    fn users_and_connections_have_no_channel() {
        let receipt = receipt(r#"{"id":7,"type":"ack","receivers":2}"#, &[]).unwrap();
        assert_eq!(receipt, Receipt { receivers: 2, ..Receipt::default() });
    }

    #[test]
    fn one_refused_channel_of_several_is_told_with_the_outcome_of_all() {
        let reply = r#"{"id":1,"type":"ack","receivers":3,"results":[{"type":"ack","channel":"a","receivers":3},
            {"type":"error","code":"invalid_name","message":"no \"b\"","channel":"b"}]}"#;
        let Err(Error::Partly(outcomes)) = receipt(reply, &["a", "b"]) else { panic!("must be refused in part") };
        assert_eq!(outcomes[0], ("a".into(), Ok(ChannelReceipt { receivers: 3, epoch: None, offset: None })));
        let rejection = Rejection { code: "invalid_name".into(), message: "no \"b\"".into() };
        assert_eq!(outcomes[1], ("b".into(), Err(rejection)));
    }

    #[test]
    fn an_error_is_a_rejection() {
        let Err(Error::Rejected(rejection)) =
            receipt(r#"{"id":1,"type":"error","code":"too_large","message":"m"}"#, &["a"])
        else {
            panic!("must be rejected")
        };
        assert_eq!(rejection.to_string(), "m (too_large)");
    }
}
