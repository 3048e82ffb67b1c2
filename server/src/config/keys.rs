//! The one table of keys. Flags, variables, the file, `check-config`, the manual and messages all come from it.

use std::time::Duration;

use super::field::{Field, Place};
use super::{LogFormat, LogLevel, SyncMode};
use crate::token::Algorithm;

/// A key of the configuration.
pub struct Key {
    /// Its name in the file; `table.key` inside a table.
    pub name: &'static str,
    /// Its part of the manual.
    pub(super) group: Group,
    pub(super) field: Field,
    /// What it does, for the manual; the first sentence is the flag's help.
    pub(super) doc: &'static str,
    /// The default in words, where it is no single value.
    pub(super) default: Option<&'static str>,
    /// Secrets have no flag, since flags show in process lists.
    pub(super) has_flag: bool,
    /// Whether SIGHUP takes a new value over.
    pub(super) reloads: bool,
}

/// Parts of the manual.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Listening,
    Publishers,
    Browsers,
    Tokens,
    History,
    Limits,
    Compression,
    Log,
}

impl Group {
    pub(super) const ALL: &'static [Self] = &[
        Self::Listening,
        Self::Publishers,
        Self::Browsers,
        Self::Tokens,
        Self::History,
        Self::Limits,
        Self::Compression,
        Self::Log,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Listening => "Listening",
            Self::Publishers => "Publishers",
            Self::Browsers => "Browsers",
            Self::Tokens => "Tokens",
            Self::History => "History",
            Self::Limits => "Limits",
            Self::Compression => "Compression",
            Self::Log => "Log",
        }
    }
}

impl Key {
    /// The key with this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// `REALTIME_…`.
    pub fn variable(&self) -> String {
        format!("REALTIME_{}", self.name.replace('.', "__").to_ascii_uppercase())
    }

    /// The flag without its dashes; `None` for secrets.
    pub fn flag(&self) -> Option<String> {
        self.has_flag.then(|| self.name.replace(['_', '.'], "-"))
    }

    /// Whether the flag needs no value.
    pub fn is_switch(&self) -> bool {
        self.field.is_switch()
    }

    /// What stands for the value in the flag's help.
    pub fn placeholder(&self) -> &'static str {
        self.field.placeholder()
    }

    /// One sentence.
    pub fn summary(&self) -> &'static str {
        self.doc.split_once(". ").map_or_else(|| self.doc.trim_end_matches('.'), |(first, _)| first)
    }
}

macro_rules! at {
    ($($field:ident).+) => {
        Place { read: |config| &config.$($field).+, write: |config| &mut config.$($field).+ }
    };
}

/// What most keys have.
const fn key(name: &'static str, group: Group, field: Field, doc: &'static str) -> Key {
    Key { name, group, field, doc, default: None, has_flag: true, reloads: false }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Every key that is no table, in the order of the manual.
pub static KEYS: &[Key] = &[
    key(
        "listen",
        Group::Listening,
        Field::Address(at!(listen)),
        "Address of WebSocket and HTTP. Port 0 takes a free one; the log says which.",
    ),
    Key {
        default: Some("none: there is no TLS"),
        ..key(
            "tls_listen",
            Group::Listening,
            Field::MaybeAddress(at!(tls_listen)),
            "Address of WebSocket and HTTP over TLS (`wss://`, `https://`), besides `listen`. It needs `tls_cert` and \
             `tls_key`.",
        )
    },
    Key {
        default: Some("none"),
        reloads: true,
        ..key(
            "tls_cert",
            Group::Listening,
            Field::File(at!(tls_cert)),
            "File with the certificate in PEM, the server's own first, then those that signed it; certbot calls it \
             `fullchain.pem`. A new one is taken over by itself within seconds.",
        )
    },
    Key {
        default: Some("none"),
        reloads: true,
        ..key(
            "tls_key",
            Group::Listening,
            Field::File(at!(tls_key)),
            "File with the certificate's private key in PEM, without a passphrase; certbot calls it `privkey.pem`.",
        )
    },
    Key {
        default: Some(
            "`/run/realtime/realtime.sock` if that directory exists, else `$XDG_RUNTIME_DIR/realtime.sock`, else none",
        ),
        ..key(
            "unix_socket",
            Group::Listening,
            Field::Socket(at!(unix_socket)),
            "The socket of publishers on this machine, an absolute path or `\"off\"`. Whoever may open it may publish, \
             without a key, so it is never made in a directory that everybody can write to.",
        )
    },
    key("socket_mode", Group::Listening, Field::Mode(at!(socket_mode)), "Permission bits of the unix socket."),
    Key {
        default: Some("`realtime` for `/run/realtime/realtime.sock` where that group exists, else the process's"),
        ..key(
            "socket_group",
            Group::Listening,
            Field::Name(at!(socket_group)),
            "Group that owns the unix socket; the web server's user must be in it.",
        )
    },
    key(
        "echo",
        Group::Listening,
        Field::Switch(at!(echo)),
        "For conformance tests: a WebSocket at `/__echo` gets back what it sends. It refuses to listen beyond loopback.",
    ),
    Key {
        default: Some("one per core"),
        ..key(
            "shards",
            Group::Listening,
            Field::Count(at!(shards), 1..=crate::hub::MAX_SHARDS),
            "Threads that own connections.",
        )
    },
    Key {
        default: Some("none: nobody publishes over TCP"),
        has_flag: false,
        reloads: true,
        ..key(
            "publisher_key",
            Group::Publishers,
            Field::Key,
            "The key that publishers over TCP present, as `realtime-server key` makes it. PHP gets the same one as \
             `realtime.key`. There is no flag, since flags show in process lists.",
        )
    },
    Key {
        default: Some("none"),
        reloads: true,
        ..key(
            "publisher_key_file",
            Group::Publishers,
            Field::KeyFile,
            "File that holds the publisher key and nothing else. Use it instead of `publisher_key`, not beside it.",
        )
    },
    key(
        "max_publication",
        Group::Publishers,
        Field::Size(at!(max_publication), 128..=4 * MIB),
        "Longest single publication of a publisher. A longer one is refused with `too_large`; the connection stays.",
    ),
    key(
        "dev",
        Group::Publishers,
        Field::Switch(at!(dev)),
        "For development on this machine: publishers from loopback need no key, and `insecure_identity` is on. What \
         connects without an `Origin`, as scripts do, counts as a publisher and may subscribe to everything. It \
         refuses to listen beyond loopback, and must not stand behind a proxy.",
    ),
    Key {
        reloads: true,
        ..key(
            "allowed_origins",
            Group::Browsers,
            Field::Origins(at!(allowed_origins)),
            "Pages that may connect, besides those on localhost and on the server's own IP address. Entries are exact, \
             `\"https://app.example.com\"`, or stand for all subdomains, `\"https://*.example.com\"`; `\"null\"` admits \
             local files. A page of another origin is refused, and the log says which line to add.",
        )
    },
    Key {
        reloads: true,
        ..key(
            "require_origin",
            Group::Browsers,
            Field::Switch(at!(require_origin)),
            "Whether what sends no `Origin`, and so is no browser, is refused as a client. A program can claim any origin, \
             so this keeps out only what does not try to get in. Who presents a publisher key needs none.",
        )
    },
    key(
        "insecure_identity",
        Group::Browsers,
        Field::Switch(at!(insecure_identity)),
        "Believe the `userId` that a browser claims in `register`. Anybody can then receive anybody's messages, so it \
         is for development and closed networks.",
    ),
    key(
        "ping_interval",
        Group::Browsers,
        Field::Duration(at!(ping_interval), SECOND..=HOUR),
        "Silence after which a browser is pinged. Publishers are watched by TCP instead.",
    ),
    key(
        "pong_timeout",
        Group::Browsers,
        Field::Duration(at!(pong_timeout), SECOND..=HOUR),
        "Silence after that ping which ends the connection.",
    ),
    key(
        "drain_time",
        Group::Browsers,
        Field::Duration(at!(drain_time), Duration::ZERO..=HOUR),
        "Time over which browsers come back after a stop, or when the key of their tokens is taken away. Each is told how \
         long to wait, so that the next server, and PHP, are not stormed.",
    ),
    Key {
        default: Some("none"),
        has_flag: false,
        reloads: true,
        ..key(
            "tokens.secret",
            Group::Tokens,
            Field::Secret(at!(tokens.secret)),
            "The secret that tokens (JWT, HS256) are signed with, at least 32 bytes, as `realtime-server token \
             --new-secret` makes it. PHP gets the same one as `realtime.token_secret`. Several, or public keys: \
             `tokens.keys`. A reload with another one closes who was let in by the old one. There is no flag, since flags \
             show in process lists.",
        )
    },
    Key {
        reloads: true,
        ..key(
            "tokens.algorithm",
            Group::Tokens,
            Field::Choice {
                words: &["HS256", "RS256", "ES256", "EdDSA"],
                read: |config| config.tokens.algorithm as usize,
                write: |config, chosen| config.tokens.algorithm = Algorithm::ALL[chosen],
            },
            "How tokens are signed. Whatever a token says of itself, one that is signed otherwise is refused.",
        )
    },
    Key {
        default: Some("none"),
        reloads: true,
        ..key(
            "tokens.jwks_url",
            Group::Tokens,
            Field::Jwks(at!(tokens.jwks_url)),
            "Where the issuer of tokens publishes its keys (JWK set, RFC 7517), with https. They are fetched at the start, \
             every ten minutes, on a reload, and, within ten seconds, when a token names an unknown one. Until the first \
             fetch succeeds, tokens are answered with `unavailable`; later, what was fetched stays when the issuer fails.",
        )
    },
    Key {
        default: Some("none: `aud` is not looked at"),
        reloads: true,
        ..key(
            "tokens.audience",
            Group::Tokens,
            Field::Name(at!(tokens.audience)),
            "What tokens must have as `aud`, for issuers whose tokens are for others, too.",
        )
    },
    Key {
        reloads: true,
        ..key(
            "tokens.required",
            Group::Tokens,
            Field::Switch(at!(tokens.required)),
            "Whether every browser needs a token. One that shows none within `handshake_timeout` is closed with 4001.",
        )
    },
    Key {
        reloads: true,
        ..key(
            "tokens.max_ttl",
            Group::Tokens,
            Field::Duration(at!(tokens.max_ttl), SECOND..=Duration::from_secs(366 * 24 * 3600)),
            "Longest time from `iat` to `exp` of a token; a longer one is refused. Revocations are remembered as long.",
        )
    },
    Key {
        default: Some("none: nothing is kept on disk, and a restart forgets what is in memory"),
        ..key(
            "data_dir",
            Group::History,
            Field::File(at!(data_dir)),
            "Directory for histories on disk (`history.store = \"disk\"` in a rule), and for what a clean stop leaves of \
             histories in memory, so that the next start goes on with them. It belongs to one server alone.",
        )
    },
    key(
        "history.sync",
        Group::History,
        Field::Choice {
            words: &["always", "interval"],
            read: |config| config.history.sync as usize,
            write: |config, chosen| config.history.sync = [SyncMode::Always, SyncMode::Interval][chosen],
        },
        "When histories on disk are synced. `\"always\"`: before a publication is acknowledged and shown, so that nothing \
         acknowledged is lost, even by a power failure. `\"interval\"`: every `history.sync_interval`, which is faster; \
         a crash of the server loses nothing, but a power failure loses what was acknowledged since the last sync, and \
         subscribers then learn that they cannot go on from where they were.",
    ),
    key(
        "history.sync_interval",
        Group::History,
        Field::Duration(at!(history.sync_interval), Duration::from_millis(10)..=HOUR),
        "How often histories on disk are synced under `history.sync = \"interval\"`.",
    ),
    key(
        "history.memory_max",
        Group::History,
        Field::Size(at!(history.memory_max), MIB..=1024 * 1024 * MIB),
        "Bytes that all histories in memory may occupy together. A publication for which there is no room is refused \
         with `store_full`.",
    ),
    key(
        "idempotency.ttl",
        Group::History,
        Field::Duration(at!(idempotency.ttl), SECOND..=DAY),
        "How long an idempotency key is remembered: a publication that is sent again within that time has its effect \
         once.",
    ),
    key(
        "idempotency.max_keys",
        Group::History,
        Field::Count(at!(idempotency.max_keys), 1..=100_000_000),
        "Idempotency keys of applications that are remembered at a time. Beyond it publications with a new key are \
         refused with `unavailable`. Those that the PHP extension makes by itself do not count.",
    ),
    key(
        "write_timeout",
        Group::Limits,
        Field::Duration(at!(write_timeout), SECOND..=HOUR),
        "Time without taking a byte of what waits for it after which a connection is ended.",
    ),
    key(
        "handshake_timeout",
        Group::Limits,
        Field::Duration(at!(handshake_timeout), Duration::from_millis(100)..=HOUR),
        "Time that a TLS handshake and a request's head may take together, and time for a body, for a header of the \
             PROXY protocol, and until a token is shown where one is required.",
    ),
    key(
        "max_handshakes",
        Group::Limits,
        Field::Count(at!(max_handshakes), 1..=1_000_000),
        "Handshakes in flight, a quarter of them for one address at most. Beyond it browsers get 503, while publishers \
         and health checks are still let in.",
    ),
    key(
        "max_connections",
        Group::Limits,
        Field::Count(at!(max_connections), 1..=100_000_000),
        "Browsers connected at a time. One more is told 4009 and closed. The limit on open files counts too: the last 64 \
         of them are kept for publishers and health checks.",
    ),
    key(
        "max_connections_per_address",
        Group::Limits,
        Field::Count(at!(max_connections_per_address), 1..=100_000_000),
        "Browsers connected at a time from one IP address, or one IPv6 network of 64 bits. Loopback and \
         `trusted_proxies` are not counted.",
    ),
    key(
        "max_publishers",
        Group::Limits,
        Field::Count(at!(max_publishers), 1..=100_000_000),
        "Publishers connected at a time, apart from browsers: one for each PHP process.",
    ),
    key(
        "trusted_proxies",
        Group::Limits,
        Field::Networks(at!(trusted_proxies)),
        "Proxies in front of the server, as IP addresses or networks (`\"10.0.0.0/8\"`). For what they pass on, the \
         address in their `X-Forwarded-For` counts, and the host in their `X-Forwarded-Host`, where they send one.",
    ),
    key(
        "proxy_protocol",
        Group::Limits,
        Field::Switch(at!(proxy_protocol)),
        "Whether connections over TCP, with TLS or without, begin with a header of the PROXY protocol, version 1 or 2 \
         (haproxy: `send-proxy-v2`), which names the address that counts. Only `trusted_proxies` may then connect; \
         others are refused.",
    ),
    key(
        "commands_per_second",
        Group::Limits,
        Field::Count(at!(commands_per_second), 1..=1_000_000),
        "Commands that one browser may send in a second, over time. More are refused with `rate_limited`.",
    ),
    key(
        "command_burst",
        Group::Limits,
        Field::Count(at!(command_burst), 1..=1_000_000),
        "Commands that one browser may send at once. As many refusals close the connection with 4010.",
    ),
    key(
        "subscriptions_per_second",
        Group::Limits,
        Field::Count(at!(subscriptions_per_second), 0..=1_000_000),
        "Subscriptions that one browser may ask for in a second, over time; each channel of a `register` is one. 0: no \
         limit.",
    ),
    key(
        "subscription_burst",
        Group::Limits,
        Field::Count(at!(subscription_burst), 1..=1_000_000),
        "Subscriptions that one browser may ask for at once.",
    ),
    key(
        "publications_per_second",
        Group::Limits,
        Field::Count(at!(publications_per_second), 0..=1_000_000),
        "Publications that one browser may send in a second, over time, where a rule lets it publish. 0: no limit.",
    ),
    key(
        "publication_burst",
        Group::Limits,
        Field::Count(at!(publication_burst), 1..=1_000_000),
        "Publications that one browser may send at once.",
    ),
    key(
        "per_user.commands_per_second",
        Group::Limits,
        Field::Count(at!(per_user.commands_per_second), 0..=1_000_000),
        "Commands a second of one user, on all connections together; 10 seconds' worth may come at once. 0: no limit.",
    ),
    key(
        "per_user.subscriptions_per_second",
        Group::Limits,
        Field::Count(at!(per_user.subscriptions_per_second), 0..=1_000_000),
        "The same for subscriptions.",
    ),
    key(
        "per_user.publications_per_second",
        Group::Limits,
        Field::Count(at!(per_user.publications_per_second), 0..=1_000_000),
        "The same for publications.",
    ),
    key(
        "per_address.commands_per_second",
        Group::Limits,
        Field::Count(at!(per_address.commands_per_second), 0..=1_000_000),
        "Commands a second of all browsers at one IP address, or one IPv6 network of 64 bits; 10 seconds' worth may come \
         at once. 0: no limit. Loopback and `trusted_proxies` are not limited, but who is behind such a proxy is.",
    ),
    key(
        "per_address.subscriptions_per_second",
        Group::Limits,
        Field::Count(at!(per_address.subscriptions_per_second), 0..=1_000_000),
        "The same for subscriptions.",
    ),
    key(
        "per_address.publications_per_second",
        Group::Limits,
        Field::Count(at!(per_address.publications_per_second), 0..=1_000_000),
        "The same for publications.",
    ),
    key(
        "limits_dry_run",
        Group::Limits,
        Field::Switch(at!(limits_dry_run)),
        "Only count what is over one of these rates, to find out whom they would hit. Nothing is refused. With or without \
         it the log says once a minute how much there was.",
    ),
    key(
        "memory_max",
        Group::Limits,
        Field::Size(at!(memory_max), MIB..=1024 * 1024 * MIB),
        "Bytes that may wait for all browsers together, and in their unfinished messages. Beyond it those who hold most \
         are closed with 4008.",
    ),
    key(
        "send_buffer",
        Group::Limits,
        Field::Size(at!(send_buffer), 4 * KIB..=64 * MIB),
        "Bytes that the kernel may hold for one browser, before the outbox fills. By itself the kernel would take \
         megabytes for a reader that does not read.",
    ),
    key(
        "max_message",
        Group::Limits,
        Field::Size(at!(max_message), 128..=16 * MIB),
        "Longest message of a browser. A longer one closes the connection with 1009.",
    ),
    key(
        "max_channels",
        Group::Limits,
        Field::Count(at!(max_channels), 1..=1_000_000),
        "Channels that one connection may subscribe to.",
    ),
    key(
        "outbox_max",
        Group::Limits,
        Field::Size(at!(outbox_max), 4 * KIB..=1024 * MIB),
        "Memory that what waits for one connection may occupy. What happens to a reader so slow that it would be more is \
         said by the channel's `overflow`.",
    ),
    key(
        "compression.enabled",
        Group::Compression,
        Field::Switch(at!(compression.enabled)),
        "Whether publications are compressed for browsers that offer permessage-deflate (RFC 7692). A publication is \
         compressed once for all of them.",
    ),
    key(
        "compression.min_size",
        Group::Compression,
        Field::Size(at!(compression.min_size), 64..=1024 * MIB),
        "Shortest publication that is compressed.",
    ),
    key(
        "compression.level",
        Group::Compression,
        Field::Count(at!(compression.level), 1..=3),
        "How hard the compressor tries, from 1 (fast) to 3.",
    ),
    key(
        "log_level",
        Group::Log,
        Field::Choice {
            words: &["error", "warn", "info", "debug"],
            read: |config| config.log_level as usize,
            write: |config, chosen| {
                config.log_level = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug][chosen];
            },
        },
        "Least important level that is logged: `\"error\"`, `\"warn\"`, `\"info\"` or `\"debug\"`. Only `\"debug\"` has \
         a line per connection.",
    ),
    key(
        "log_format",
        Group::Log,
        Field::Choice {
            words: &["text", "json"],
            read: |config| config.log_format as usize,
            write: |config, chosen| config.log_format = [LogFormat::Text, LogFormat::Json][chosen],
        },
        "How log lines look: `\"text\"`, or `\"json\"` with one object a line.",
    ),
    Key {
        default: Some("stderr"),
        ..key(
            "log_file",
            Group::Log,
            Field::File(at!(log_file)),
            "File that log lines are appended to. SIGHUP opens it anew, for logrotate.",
        )
    },
];

/// A key of a rule under `[[channels]]`.
pub(super) struct RuleKey {
    pub(super) name: &'static str,
    pub(super) default: Option<&'static str>,
    pub(super) doc: &'static str,
}

/// Every key of a rule.
pub(super) static RULE_KEYS: &[RuleKey] = &[
    RuleKey {
        name: "pattern",
        default: None,
        doc: "Which channels. `*` at the end matches the rest of the name; `{user}`, at most once, stands for the id of \
              the connection's user.",
    },
    RuleKey {
        name: "subscribe",
        default: Some("\"token\" where [tokens] are configured, else \"anyone\""),
        doc: "Who may subscribe: `\"anyone\"`, `\"user\"` (connections with a user), `\"token\"` (those with a token that \
              names the channel) or `\"nobody\"`.",
    },
    RuleKey {
        name: "publish",
        default: Some("\"nobody\""),
        doc: "Which clients may publish, in the same words. PHP may always. What a client publishes carries its `user`.",
    },
    RuleKey {
        name: "history.size",
        default: Some("0"),
        doc: "How many publications are kept, so that who was away gets what it missed. 0: none.",
    },
    RuleKey {
        name: "history.ttl",
        default: Some("\"1h\""),
        doc: "How long they are kept. A channel that nobody uses and whose history has run out leaves nothing behind.",
    },
    RuleKey {
        name: "history.store",
        default: Some("\"memory\""),
        doc: "Where they are kept: `\"memory\"`, or `\"disk\"`, which survives crashes and needs `data_dir`.",
    },
    RuleKey {
        name: "presence.enabled",
        default: Some("false"),
        doc: "Whether subscribers learn who is in the channel. Connections without a user are not counted as members.",
    },
    RuleKey {
        name: "presence.grace",
        default: Some("\"3s\""),
        doc: "How long a member whose last connection is gone still counts as there, so that a reload of the page is \
              neither a leave nor a join.",
    },
    RuleKey {
        name: "presence.visible_to",
        default: Some("\"anyone\""),
        doc: "Which of those who may subscribe see who is there, in the words of `subscribe`; others get neither members \
              nor `join` and `leave`.",
    },
    RuleKey {
        name: "presence.events",
        default: Some("true"),
        doc: "Whether `join` and `leave` are sent. Large rooms ask for the list instead.",
    },
    RuleKey {
        name: "overflow",
        default: Some("\"catch_up\" with a history, else \"disconnect\""),
        doc: "What happens when the outbox of a slow reader is full: `\"catch_up\"` drops what waits in this channel and \
              sends it from the history once the reader takes it; `\"disconnect\"` closes it with 4008; \
              `\"drop_oldest\"` drops what waited longest in this channel and says `missed`; `\"latest\"` keeps only the \
              channel's newest publication waiting, for channels that carry a whole state each time.",
    },
];

/// Every key of one of `[[publishers]]`.
pub(super) static PUBLISHER_KEYS: &[RuleKey] = &[
    RuleKey {
        name: "name",
        default: None,
        doc: "Names it in the log and in messages: letters, digits, dots, `-` and `_`. Its idempotency keys are apart \
              from those of others.",
    },
    RuleKey {
        name: "key_file",
        default: None,
        doc: "File that holds its key and nothing else; or `key`, the key itself, for a configuration file that nobody \
              else can read.",
    },
    RuleKey { name: "key", default: Some("none"), doc: "The key itself, instead of `key_file`." },
    RuleKey {
        name: "channels",
        default: Some("all"),
        doc: "Patterns of the channels that it may publish in and ask about (history, presence, position, subscribers), \
              and on `/` subscribe to whatever the rules say. `*` at the end matches the rest of the name.",
    },
    RuleKey {
        name: "users",
        default: Some("false with `channels`, else true"),
        doc: "Whether it may send to users and connections, whichever they are.",
    },
    RuleKey {
        name: "publications_per_second",
        default: Some("no limit"),
        doc: "How often it may publish, on all its connections together, and at once; a publication to several channels \
              counts for each of them. More are refused with `rate_limited`.",
    },
];

/// The keys of a rule that `[users]` has, too.
pub(super) static USERS_KEYS: &[&str] = &["history.size", "history.ttl", "history.store", "overflow"];
