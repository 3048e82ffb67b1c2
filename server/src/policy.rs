//! What a reload can change: who may connect, subscribe and publish.

use std::net::IpAddr;
use std::sync::Arc;

use realtime_protocol::UserId;

use crate::config::Config;
use crate::grant::{Grant, Grants};
use crate::hub::StreamName;
use crate::limits::Limits;
use crate::origin::OriginPolicy;
use crate::rules::{Rules, StreamRule};
use crate::token::{Claims, Proof, Refused, Revocations, Verifier};

/// The rules in force.
pub struct Policy {
    /// Who may subscribe to what.
    pub rules: Rules,
    /// What holds for what is sent to users.
    users: StreamRule,
    /// Which pages may connect.
    pub origins: OriginPolicy,
    /// How fast clients may send commands, subscribe and publish.
    pub limits: Limits,
    /// Channels that one connection may have.
    pub max_channels: usize,
    /// Whether a claimed `userId` counts.
    pub insecure_identity: bool,
    /// What verifies tokens, where they are configured.
    pub tokens: Option<Verifier>,
    /// Who may publish, and what.
    pub grants: Grants,
}

/// What a request shows of itself when it wants to publish.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The value after `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    /// Whether a browser or a proxy made it: it has Origin, Forwarded or X-Forwarded-*.
    pub is_relayed: bool,
    /// The other end; `None` on the unix socket.
    pub address: Option<IpAddr>,
}

/// Why a request may not publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It shows no key.
    NoKey,
    /// It shows a wrong key.
    WrongKey,
    /// It shows something else than a publisher key.
    NoPublisherKey,
    /// Without a key only processes on this machine may publish, not browsers or proxies.
    Relayed,
}

impl Denied {
    /// 401 asks for other credentials, 403 says that none would help.
    pub fn http_status(self) -> u16 {
        match self {
            Self::NoKey | Self::WrongKey | Self::NoPublisherKey => 401,
            Self::Relayed => 403,
        }
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoKey => {
                "publishing needs the publisher key: send Authorization: Bearer rtk_… (in PHP: realtime.key); \
                 `realtime-server key` makes one"
            }
            Self::WrongKey => "the publisher key is none that this server is configured with",
            Self::NoPublisherKey => {
                "the bearer token is no publisher key (those begin with rtk_); tokens of clients belong on /"
            }
            Self::Relayed => {
                "a request with an Origin, Forwarded or X-Forwarded header comes from a browser or through a proxy, \
                 and those may publish over TCP with a publisher key only"
            }
        })
    }
}

impl Policy {
    /// The policy of a configuration. From the one `before` it, keys stay that were fetched.
    pub fn new(config: &Config, revocations: &Arc<Revocations>, before: Option<&Self>) -> Self {
        Self {
            rules: Rules::new(config.channels.clone(), config.tokens.is_used()),
            tokens: Verifier::new(&config.tokens, before.and_then(|before| before.tokens.as_ref()), revocations),
            users: config.users,
            origins: OriginPolicy::new(config.allowed_origins.clone()).requiring_one(config.require_origin),
            limits: Limits::new(config),
            max_channels: config.max_channels,
            insecure_identity: config.insecure_identity || config.dev,
            grants: Grants::new(config),
        }
    }

    /// The policy that follows this one. Limits need a restart, and what was used of them counts on.
    pub fn followed_by(&self, config: &Config, revocations: &Arc<Revocations>) -> Self {
        revocations.remember_for(config.tokens.max_ttl);
        Self { limits: self.limits.clone(), ..Self::new(config, revocations, Some(self)) }
    }

    /// What the hub does for a stream.
    pub fn stream(&self, name: &StreamName) -> StreamRule {
        match name {
            StreamName::Channel(channel) => self.rules.stream(channel),
            StreamName::User(_) => self.users,
        }
    }

    /// Whether a token of this user counts no more, though its time is not over.
    pub fn is_void(&self, user: &UserId, proof: Proof) -> bool {
        self.tokens.as_ref().is_none_or(|tokens| tokens.is_void(user, proof))
    }

    /// Whether tokens that were proved so are still verified by the same key.
    pub fn has_key(&self, proof: Proof) -> bool {
        self.tokens.as_ref().is_some_and(|tokens| tokens.has_key(proof))
    }

    /// What a token grants at `now`, seconds since 1970.
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, Refused> {
        self.tokens.as_ref().ok_or(Refused::NotConfigured)?.verify(token, now)
    }

    /// What a request may publish.
    pub fn publisher(&self, credentials: Credentials<'_>) -> Result<Arc<Grant>, Denied> {
        let unrelayed = |grant: &Arc<Grant>| match credentials.is_relayed {
            true => Err(Denied::Relayed),
            false => Ok(grant.clone()),
        };
        let Some(address) = credentials.address else { return unrelayed(self.grants.unix()) };
        match credentials.bearer {
            Some(bearer) if !bearer.starts_with(realtime_protocol::PUBLISHER_KEY_PREFIX) => Err(Denied::NoPublisherKey),
            Some(bearer) => self.grants.by_key(bearer).cloned().ok_or(Denied::WrongKey),
            None => match self.grants.dev() {
                Some(dev) if address.is_loopback() => unrelayed(dev),
                _ => Err(Denied::NoKey),
            },
        }
    }
}

/// The policy of a configuration, for tests.
#[cfg(test)]
pub fn of(config: &Config) -> Policy {
    Policy::new(config, &Arc::new(Revocations::new(config.tokens.max_ttl)), None)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::config::PublisherKey;

    fn ask(config: &Config, bearer: Option<&str>, is_relayed: bool, address: Option<Ipv4Addr>) -> Result<(), Denied> {
        let credentials = Credentials { bearer, is_relayed, address: address.map(IpAddr::V4) };
        of(config).publisher(credentials).map(drop)
    }

    const HERE: Option<Ipv4Addr> = Some(Ipv4Addr::LOCALHOST);
    const ELSEWHERE: Option<Ipv4Addr> = Some(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn over_tcp_the_key_is_needed_from_everywhere() {
        let key = PublisherKey::generate().unwrap();
        let config = Config { publisher_key: Some(key.clone()), ..Config::default() };
        for address in [HERE, ELSEWHERE] {
            assert_eq!(ask(&config, None, false, address), Err(Denied::NoKey));
            assert_eq!(ask(&config, Some(key.secret()), false, address), Ok(()));
            assert_eq!(ask(&config, Some(key.secret()), true, address), Ok(()));
            assert_eq!(
                ask(&config, Some(PublisherKey::generate().unwrap().secret()), false, address),
                Err(Denied::WrongKey)
            );
            assert_eq!(ask(&config, Some("eyJ.x.y"), false, address), Err(Denied::NoPublisherKey));
        }
        assert_eq!(ask(&Config::default(), Some(key.secret()), false, HERE), Err(Denied::WrongKey));
    }

    #[test]
    fn dev_admits_this_machine_but_no_browser_and_no_proxy() {
        let config = Config { dev: true, ..Config::default() };
        assert_eq!(ask(&config, None, false, HERE), Ok(()));
        assert_eq!(ask(&config, None, true, HERE), Err(Denied::Relayed));
        assert_eq!(ask(&config, None, false, ELSEWHERE), Err(Denied::NoKey));
        assert_eq!(ask(&config, Some("rtk_wrong"), false, HERE), Err(Denied::WrongKey));
    }

    #[test]
    fn the_unix_socket_needs_no_key_and_takes_no_proxy() {
        assert_eq!(ask(&Config::default(), None, false, None), Ok(()));
        assert_eq!(ask(&Config::default(), None, true, None), Err(Denied::Relayed));
    }
}
