//! The kinds of values that a key can have: how each is read from a variable or flag (text) and from the file (TOML),
//! and how it is shown, always as TOML.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

use super::{Config, PublisherKey, UnixSocket, units};
use crate::origin::AllowedOrigin;
use crate::token::{JwksUrl, JwksUrlError, Secret};

/// Where a value lives in the configuration.
pub(super) struct Place<T: 'static> {
    pub(super) read: fn(&Config) -> &T,
    pub(super) write: fn(&mut Config) -> &mut T,
}

/// A value's kind and where it lives.
pub(super) enum Field {
    Switch(Place<bool>),
    Count(Place<usize>, RangeInclusive<usize>),
    Duration(Place<Duration>, RangeInclusive<Duration>),
    Size(Place<usize>, RangeInclusive<usize>),
    Address(Place<SocketAddr>),
    MaybeAddress(Place<Option<SocketAddr>>),
    Socket(Place<UnixSocket>),
    Mode(Place<u32>),
    Name(Place<Option<String>>),
    File(Place<Option<PathBuf>>),
    /// One of a few words, by its position among them.
    Choice {
        words: &'static [&'static str],
        read: fn(&Config) -> usize,
        write: fn(&mut Config, usize),
    },
    Origins(Place<Vec<AllowedOrigin>>),
    Networks(Place<Vec<IpNet>>),
    /// Where keys of tokens are.
    Jwks(Place<Option<JwksUrl>>),
    /// A secret of tokens.
    Secret(Place<Option<Secret>>),
    /// The publisher key itself.
    Key,
    /// A file that holds the publisher key; reading it is part of reading the configuration.
    KeyFile,
}

/// A value as it comes, before its kind is known to fit.
pub(super) enum Raw<'a> {
    /// From a variable or flag.
    Text(&'a str),
    /// From the file.
    Toml(&'a DeValue<'a>),
}

impl Field {
    /// Sets the value; the error says what is wrong and what to write, without the key's name.
    pub(super) fn set(&self, config: &mut Config, raw: &Raw<'_>) -> Result<(), String> {
        match self {
            Self::Switch(place) => *(place.write)(config) = switch(raw)?,
            Self::Count(place, range) => *(place.write)(config) = within(count(raw)?, range, usize::to_string)?,
            Self::Duration(place, range) => *(place.write)(config) = duration(raw, range)?,
            Self::Size(place, range) => {
                let text = string(raw, "a size with its unit, as in \"64KiB\"")?;
                let value = units::size(text).ok_or_else(|| {
                    format!("{text:?} is not a size; write a number with B, KiB, MiB or GiB, as in \"64KiB\"")
                })?;
                *(place.write)(config) = within(value, range, |bytes| units::show_size(*bytes))?;
            }
            Self::Address(place) => *(place.write)(config) = address(string(raw, ADDRESS)?)?,
            Self::MaybeAddress(place) => *(place.write)(config) = Some(address(string(raw, ADDRESS)?)?),
            Self::Socket(place) => *(place.write)(config) = socket(string(raw, "a path or \"off\", in quotes")?)?,
            Self::Mode(place) => *(place.write)(config) = mode(raw)?,
            Self::Name(place) => *(place.write)(config) = Some(filled(string(raw, "a name in quotes")?)?.to_owned()),
            Self::File(place) => *(place.write)(config) = Some(filled(string(raw, "a path in quotes")?)?.into()),
            Self::Choice { words, write, .. } => {
                let text = string(raw, &listed(words))?;
                let chosen = words.iter().position(|word| *word == text);
                write(config, chosen.ok_or_else(|| format!("{text:?} is none of {}", listed(words)))?);
            }
            Self::Origins(place) => *(place.write)(config) = list(raw, "\"https://app.example.com\"", origin)?,
            Self::Networks(place) => *(place.write)(config) = list(raw, "\"10.0.0.0/8\"", network)?,
            Self::Jwks(place) => {
                let text = string(raw, "a URL in quotes")?;
                let url = text.parse().map_err(|error: JwksUrlError| format!("{text:?}: {error}"))?;
                *(place.write)(config) = Some(url);
            }
            Self::Secret(place) => {
                // Without the value, which is a secret of another kind perhaps.
                let text = string(raw, "").map_err(|_| "this must be a text in quotes".to_owned())?;
                *(place.write)(config) = Some(Secret::new(filled(text)?));
            }
            Self::Key => {
                let key: PublisherKey =
                    string(raw, "a key in quotes")?.parse().map_err(|error| format!("not a publisher key: {error}"))?;
                (config.publisher_key, config.publisher_key_file) = (Some(key), None);
            }
            Self::KeyFile => {
                let path = PathBuf::from(filled(string(raw, "a path in quotes")?)?);
                config.publisher_key = Some(PublisherKey::from_file(&path)?);
                config.publisher_key_file = Some(path);
            }
        }
        Ok(())
    }

    /// Whether one item of a list is valid; the error is as that of [`Self::set`].
    pub(super) fn check_item(&self, raw: &Raw<'_>) -> Result<(), String> {
        match self {
            Self::Origins(_) => origin(raw).map(drop),
            Self::Networks(_) => network(raw).map(drop),
            _ => Ok(()),
        }
    }

    /// The value as TOML; `None` when there is none, or none to be shown.
    pub(super) fn show(&self, config: &Config) -> Option<String> {
        Some(match self {
            Self::Switch(place) => (place.read)(config).to_string(),
            Self::Count(place, _) => (place.read)(config).to_string(),
            Self::Duration(place, _) => quoted(&units::show_duration(*(place.read)(config))),
            Self::Size(place, _) => quoted(&units::show_size(*(place.read)(config))),
            Self::Address(place) => quoted(&(place.read)(config).to_string()),
            Self::MaybeAddress(place) => quoted(&(place.read)(config).as_ref()?.to_string()),
            Self::Socket(place) => match (place.read)(config) {
                UnixSocket::Default => return None,
                UnixSocket::Path(path) => quoted(&path.to_string_lossy()),
                UnixSocket::Off => quoted(OFF),
            },
            Self::Mode(place) => quoted(&format!("{:04o}", (place.read)(config))),
            Self::Name(place) => quoted((place.read)(config).as_ref()?),
            Self::File(place) => quoted(&(place.read)(config).as_ref()?.to_string_lossy()),
            Self::Choice { words, read, .. } => quoted(words[read(config)]),
            Self::Origins(place) => shown((place.read)(config)),
            Self::Networks(place) => shown((place.read)(config)),
            Self::Jwks(place) => quoted(&(place.read)(config).as_ref()?.to_string()),
            Self::Secret(_) | Self::Key => return None,
            Self::KeyFile => quoted(&config.publisher_key_file.as_ref()?.to_string_lossy()),
        })
    }

    /// Whether its flag needs no value.
    pub(super) fn is_switch(&self) -> bool {
        matches!(self, Self::Switch(_))
    }

    /// Whether an empty variable means something (nothing in the list) instead of "not set".
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::Origins(_) | Self::Networks(_))
    }

    /// What stands for the value in the help of a flag.
    pub(super) fn placeholder(&self) -> &'static str {
        match self {
            Self::Switch(_) => "true|false",
            Self::Count(..) => "NUMBER",
            Self::Duration(..) => "DURATION",
            Self::Size(..) => "SIZE",
            Self::Address(_) | Self::MaybeAddress(_) => "IP:PORT",
            Self::Socket(_) => "PATH|off",
            Self::Mode(_) => "OCTAL",
            Self::Name(_) => "NAME",
            Self::File(_) | Self::KeyFile => "FILE",
            Self::Choice { .. } => "WORD",
            Self::Origins(_) => "ORIGIN,…",
            Self::Networks(_) => "NETWORK,…",
            Self::Jwks(_) => "URL",
            Self::Secret(_) | Self::Key => "KEY",
        }
    }
}

const OFF: &str = "off";
const ADDRESS: &str = "an address in quotes, as in \"127.0.0.1:8080\"";

/// A list as TOML.
fn shown(items: &[impl ToString]) -> String {
    let items: Vec<_> = items.iter().map(|item| quoted(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

/// `text` as a TOML string. JSON's escapes are TOML's too, but that JSON leaves DEL as it is.
pub(super) fn quoted(text: &str) -> String {
    // A string has no reason to fail: no map keys, no custom serializer, no I/O.
    serde_json::to_string(text).unwrap_or_default().replace('\u{7f}', "\\u007f")
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ")
}

/// The text of a value that is a string in TOML. `wanted` completes "this must be …".
pub(super) fn string<'a>(raw: &Raw<'a>, wanted: &str) -> Result<&'a str, String> {
    match raw {
        Raw::Text(text) => Ok(text),
        Raw::Toml(value) => value.as_str().ok_or_else(|| format!("this must be {wanted}, not {}", described(value))),
    }
}

pub(super) fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::String(text) => quoted(text),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn filled(text: &str) -> Result<&str, String> {
    if text.is_empty() { Err("this must not be empty".to_owned()) } else { Ok(text) }
}

/// A duration within a range.
pub(super) fn duration(raw: &Raw<'_>, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let text = string(raw, "a duration with its unit, as in \"25s\"")?;
    let value = units::duration(text)
        .ok_or_else(|| format!("{text:?} is not a duration; write a number with ms, s, m, h or d, as in \"25s\""))?;
    within(value, range, |duration| units::show_duration(*duration))
}

pub(super) fn within<T: PartialOrd>(
    value: T,
    range: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<T, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("{} is out of range; it may be {} to {}", show(&value), show(range.start()), show(range.end())))
}

pub(super) fn switch(raw: &Raw<'_>) -> Result<bool, String> {
    match raw {
        Raw::Toml(DeValue::Boolean(value)) => Ok(*value),
        Raw::Toml(other) => Err(format!("this must be true or false without quotes, not {}", described(other))),
        Raw::Text("true" | "1" | "yes" | "on") => Ok(true),
        Raw::Text("false" | "0" | "no" | "off") => Ok(false),
        Raw::Text(other) => Err(format!("{other:?} is neither true nor false")),
    }
}

pub(super) fn count(raw: &Raw<'_>) -> Result<usize, String> {
    let parsed = match raw {
        Raw::Toml(DeValue::Integer(number)) => usize::from_str_radix(number.as_str(), number.radix()).ok(),
        Raw::Toml(other) => return Err(format!("this must be a number without quotes, not {}", described(other))),
        Raw::Text(text) => text.parse().ok(),
    };
    parsed.ok_or_else(|| match raw {
        Raw::Toml(value) => format!("{} is no count", described(value)),
        Raw::Text(text) => format!("{text:?} is not a number"),
    })
}

/// The name `localhost` is taken for 127.0.0.1; others would be looked up, and a start should not wait for DNS.
fn address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    local.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_or_else(
        || text.parse().map_err(|_| format!("{text:?} is not IP:PORT, as in \"127.0.0.1:8080\" or \"[::]:8080\"")),
        Ok,
    )
}

fn socket(text: &str) -> Result<UnixSocket, String> {
    match filled(text)? {
        OFF => Ok(UnixSocket::Off),
        path if path.starts_with('/') => Ok(UnixSocket::Path(path.into())),
        other => Err(format!("{other:?} is not an absolute path; write one, or \"off\"")),
    }
}

/// Permission bits. A decimal number in TOML is refused, since 660 read as decimal is another mode than it looks.
fn mode(raw: &Raw<'_>) -> Result<u32, String> {
    const WANTED: &str = "permission bits in quotes, as in \"0660\"";
    let digits = match raw {
        Raw::Toml(DeValue::Integer(number)) if number.radix() == 8 => number.as_str(),
        raw => string(raw, WANTED)?,
    };
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777);
    let mode = mode.ok_or_else(|| format!("{digits:?} is not a mode; write {WANTED}"))?;
    if mode & 0o600 == 0o600 { Ok(mode) } else { Err(format!("{digits:?} shuts out the server's own user")) }
}

fn origin(raw: &Raw<'_>) -> Result<AllowedOrigin, String> {
    let text = string(raw, "an origin in quotes, as in \"https://app.example.com\"")?;
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

fn network(raw: &Raw<'_>) -> Result<IpNet, String> {
    let text = string(raw, "an address or network in quotes, as in \"10.0.0.0/8\"")?;
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is no IP address or network; write them as in \"192.0.2.7\" or \"10.0.0.0/8\""))
}

/// A list: parts between commas in text, an array in the file.
fn list<T>(raw: &Raw<'_>, example: &str, item: fn(&Raw<'_>) -> Result<T, String>) -> Result<Vec<T>, String> {
    match raw {
        Raw::Text(text) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| item(&Raw::Text(part))).collect()
        }
        Raw::Toml(DeValue::Array(items)) => items.iter().map(|value| item(&Raw::Toml(value.get_ref()))).collect(),
        Raw::Toml(other) => Err(format!("this must be a list, as in [{example}], not {}", described(other))),
    }
}

/// One of a few words, as the value that it stands for.
pub(super) fn choice<T: Copy>(raw: &Raw<'_>, all: &[T], word: fn(T) -> &'static str) -> Result<T, String> {
    let words = || all.iter().map(|choice| format!("{:?}", word(*choice))).collect::<Vec<_>>().join(", ");
    let text = string(raw, &words())?;
    let found = all.iter().find(|choice| word(**choice) == text);
    found.copied().ok_or_else(|| format!("{text:?} is none of {}", words()))
}
