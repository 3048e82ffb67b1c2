//! Questions to the server, which change nothing.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::command::{Command, push_field};
use crate::entry::{Entry, NOBODY};
use crate::error::{Error, Rejection};
use crate::exchange::{Exchange, Goal};
use crate::publisher::{Publisher, Settings, Target};

/// Entries of one page of a list.
const PAGE: u32 = 1_000;

/// A place in a channel's history.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Position {
    /// The life of the history that `offset` belongs to.
    pub epoch: String,
    /// Counted from one.
    pub offset: u64,
}

/// Where a history shall begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since<'a> {
    /// With the oldest publication that is kept.
    Earliest,
    /// After this position.
    After {
        /// The life of the history that `offset` belongs to.
        epoch: &'a str,
        /// The offset of the last publication that is known.
        offset: u64,
    },
}

#[derive(Deserialize)]
struct MaybePosition<'a> {
    #[serde(borrow, default)]
    epoch: Option<Cow<'a, str>>,
    #[serde(default)]
    offset: Option<u64>,
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    members: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    next: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Channel<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    subscribers: u64,
}

#[derive(Deserialize)]
struct Channels<'a> {
    #[serde(borrow)]
    channels: Vec<Channel<'a>>,
    #[serde(borrow, default)]
    next: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Subscribers {
    subscribers: u64,
}

#[derive(Deserialize)]
struct Receivers {
    receivers: u64,
}

impl Publisher {
    /// Publications of a channel in ascending order, the newest or those since a position: the reply, a JSON object.
    pub fn history(
        &self,
        target: &Target,
        settings: &Settings,
        channel: &str,
        limit: u64,
        since: Option<Since<'_>>,
    ) -> Result<String, Error> {
        self.ask(target, settings, "history", &|text| {
            about(text, channel);
            push_number(text, "limit", limit);
            match since {
                None => {}
                Some(Since::Earliest) => {
                    push_field(text, "since", "earliest");
                }
                Some(Since::After { epoch, offset }) => {
                    text.push_str(",\"since\":{\"offset\":");
                    // Writing to a string cannot fail.
                    let _ = write!(text, "{offset}");
                    push_field(text, "epoch", epoch);
                    text.push('}');
                }
            }
        })
    }

    /// Where a channel's history stands; `None` when the channel keeps none.
    pub fn position(&self, target: &Target, settings: &Settings, channel: &str) -> Result<Option<Position>, Error> {
        let reply = self.ask(target, settings, "position", &|text| about(text, channel))?;
        let MaybePosition { epoch, offset } = read(&reply)?;
        Ok(epoch.zip(offset).map(|(epoch, offset)| Position { epoch: epoch.into_owned(), offset }))
    }

    /// Who is in a channel: a JSON array of all members.
    pub fn presence(&self, target: &Target, settings: &Settings, channel: &str) -> Result<String, Error> {
        let mut all = "[".to_owned();
        let fields = |text: &mut String| about(text, channel);
        self.pages(target, settings, "presence", &fields, |reply| {
            let Members { members, next } = read(reply)?;
            for member in members {
                if all.len() > 1 {
                    all.push(',');
                }
                all.push_str(member.get());
            }
            Ok(next.map(Cow::into_owned))
        })?;
        all.push(']');
        Ok(all)
    }

    /// Channels with subscribers whose names begin with `prefix`, and how many they have.
    pub fn channels(&self, target: &Target, settings: &Settings, prefix: &str) -> Result<Vec<(String, u64)>, Error> {
        let mut all = Vec::new();
        let fields = |text: &mut String| {
            if !prefix.is_empty() {
                push_field(text, "prefix", prefix);
            }
        };
        self.pages(target, settings, "channels", &fields, |reply| {
            let Channels { channels, next } = read(reply)?;
            all.extend(
                channels.into_iter().map(|Channel { channel, subscribers }| (channel.into_owned(), subscribers)),
            );
            Ok(next.map(Cow::into_owned))
        })?;
        Ok(all)
    }

    /// How many connections have subscribed to a channel.
    pub fn subscribers(&self, target: &Target, settings: &Settings, channel: &str) -> Result<u64, Error> {
        let reply = self.ask(target, settings, "subscribers", &|text| about(text, channel))?;
        Ok(read::<Subscribers>(&reply)?.subscribers)
    }

    /// One question; its reply.
    pub(crate) fn ask(
        &self,
        target: &Target,
        settings: &Settings,
        kind: &str,
        fields: &Fields<'_>,
    ) -> Result<String, Error> {
        self.exchange(target, settings, Instant::now(), |exchange| self.ask_once(exchange, kind, fields))
    }

    /// Follows the pages of a list, all within the limits of one call.
    fn pages(
        &self,
        target: &Target,
        settings: &Settings,
        kind: &str,
        fields: &Fields<'_>,
        mut take: impl FnMut(&str) -> Result<Option<String>, Error>,
    ) -> Result<(), Error> {
        self.exchange(target, settings, Instant::now(), |exchange| {
            let mut after: Option<String> = None;
            loop {
                let reply = self.ask_once(exchange, kind, &|text| {
                    fields(text);
                    if let Some(after) = &after {
                        push_field(text, "after", after);
                    }
                    push_number(text, "limit", PAGE.into());
                })?;
                match take(&reply)? {
                    // A cursor that does not move would never end.
                    next @ Some(_) if next != after => after = next,
                    _ => return Ok(()),
                }
            }
        })
    }

    fn ask_once(&self, exchange: &mut Exchange<'_>, kind: &str, fields: &Fields<'_>) -> Result<String, Error> {
        exchange.line.queue.add(Entry::new(Command::ask(self.next_id(), kind, fields), NOBODY), exchange.counters);
        let driven = exchange.drive(Goal::Answered);
        let entry = exchange.line.queue.pop_last().unwrap_or_else(|| unreachable!("it was pushed above"));
        driven?;
        entry.outcomes(&exchange.line.target.endpoint).into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(entry.answer().unwrap_or_default().to_owned())
    }
}

/// What else a command takes.
pub(crate) type Fields<'a> = dyn Fn(&mut String) + 'a;

fn about(text: &mut String, channel: &str) {
    push_field(text, "channel", channel);
}

fn push_number(text: &mut String, name: &str, value: u64) {
    // Writing to a string cannot fail.
    let _ = write!(text, ",\"{name}\":{value}");
}

/// The number in an acknowledgement.
pub(crate) fn read_receivers(reply: &str) -> Result<u64, Error> {
    Ok(read::<Receivers>(reply)?.receivers)
}

/// A reply that is not what was asked for comes from a server of another kind or time.
fn read<'a, T: Deserialize<'a>>(reply: &'a str) -> Result<T, Error> {
    serde_json::from_str(reply).map_err(|error| {
        Error::Rejected(Rejection {
            code: "bad_reply".to_owned(),
            message: format!(
                "the server's reply is not understood: {error}; do its version and the extension's agree?"
            ),
            key: None,
        })
    })
}
