//! What a token says.

use std::sync::Arc;
use std::time::Duration;

use realtime_protocol::token::MAX_INFO;
use realtime_protocol::{ChannelName, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{KeyPrint, Refused, SKEW, shortened};
use crate::rules::Pattern;

/// What members of presence channels see of a user beside the id: any JSON.
pub type Info = Arc<RawValue>;

/// Seconds since 1970 that no clock will show: JavaScript's largest safe integer.
const MAX_TIME: f64 = 9_007_199_254_740_991.0;

/// What may take a token back before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// When the token was made (`iat`), Unix seconds.
    pub issued: u64,
    /// The key that signed it, or the JWK set that has that one.
    pub key: KeyPrint,
}

/// What a token says, checked.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Whose it is (`sub`).
    pub user: UserId,
    /// When it was made, and by which key.
    pub proof: Proof,
    /// When it ends (`exp`), Unix seconds; it is accepted for [`SKEW`] longer.
    pub expires: u64,
    /// What others see of the user.
    pub info: Option<Info>,
    /// What it is for.
    pub scope: Scope,
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A connection, which may have these channels without more.
    Connection(Box<[Pattern]>),
    /// One channel.
    Channel(ChannelName),
}

/// The claims as they come.
#[derive(Deserialize)]
pub(super) struct RawClaims {
    sub: Option<Subject>,
    exp: Option<f64>,
    iat: Option<f64>,
    nbf: Option<f64>,
    aud: Option<Audience>,
    info: Option<Box<RawValue>>,
    channels: Option<Vec<String>>,
    channel: Option<String>,
}

/// An id from a database is a number in many applications; it counts as its decimal text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Subject {
    Text(String),
    Number(i64),
}

/// RFC 7519 §4.1.3: one, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn holds(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

/// A NumericDate (RFC 7519 §2), which may have a fraction.
fn seconds(time: Option<f64>, claim: &'static str) -> Result<Option<u64>, Refused> {
    match time {
        None => Ok(None),
        Some(time) if (0.0..=MAX_TIME).contains(&time) => Ok(Some(time as u64)),
        Some(_) => Err(Refused::Claims(format!("{claim} is no time in seconds since 1970"))),
    }
}

impl RawClaims {
    /// What a token that `key` signed says, if all of it makes sense at `now`.
    pub(super) fn check(
        self,
        key: KeyPrint,
        now: u64,
        audience: Option<&str>,
        max_ttl: Duration,
    ) -> Result<Claims, Refused> {
        let user = match self.sub.ok_or(Refused::Missing("sub"))? {
            Subject::Text(text) => UserId::parse(&text),
            Subject::Number(number) => UserId::parse(&number.to_string()),
        };
        let user = user.map_err(Refused::User)?;
        let expires = seconds(self.exp, "exp")?.ok_or(Refused::Missing("exp"))?;
        let issued = seconds(self.iat, "iat")?.ok_or(Refused::Missing("iat"))?;
        let starts = seconds(self.nbf, "nbf")?;
        for (claim, time) in [("iat", Some(issued)), ("nbf", starts)] {
            let early = time.unwrap_or(0).saturating_sub(now);
            if early > SKEW {
                return Err(Refused::Early { claim, by: early });
            }
        }
        if now >= expires + SKEW {
            return Err(Refused::Expired { since: now - expires });
        }
        if expires.saturating_sub(issued) > max_ttl.as_secs() {
            return Err(Refused::TooLongValid { max: max_ttl.as_secs() });
        }
        if let Some(wanted) = audience
            && !self.aud.as_ref().ok_or(Refused::Missing("aud"))?.holds(wanted)
        {
            return Err(Refused::Audience);
        }
        let info = self.info.filter(|info| info.get() != "null");
        if let Some(info) = info.as_ref().filter(|info| info.get().len() > MAX_INFO) {
            return Err(Refused::Info { found: info.get().len(), max: MAX_INFO });
        }
        let scope = match (self.channel, self.channels) {
            (Some(_), Some(_)) => {
                return Err(Refused::Claims(
                    "it has channel, as a token for one channel has, and channels, as one for a connection".to_owned(),
                ));
            }
            (Some(channel), None) => Scope::Channel(ChannelName::parse(&channel).map_err(Refused::Channel)?),
            (None, channels) => Scope::Connection(patterns(&channels.unwrap_or_default())?),
        };
        Ok(Claims { user, proof: Proof { issued, key }, expires, info: info.map(Info::from), scope })
    }
}

fn patterns(channels: &[String]) -> Result<Box<[Pattern]>, Refused> {
    let pattern = |text: &String| {
        Pattern::parse(text).map_err(|error| Refused::Channels(format!("{:?}: {error}", shortened(text))))
    };
    channels.iter().map(pattern).collect()
}
