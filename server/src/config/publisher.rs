//! `[[publishers]]`: keys for those who may publish some things only.

use std::ops::Range;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::field::{Raw, count, described, quoted, string, switch, within};
use super::file::Reader;
use super::keys::PUBLISHER_KEYS;
use super::load::Layer;
use super::mistake::{Mistake, Source, unknown};
use super::{Config, PublisherKey};
use crate::grant::Grant;
use crate::rules::Pattern;

/// Longest name of a publisher, bytes.
const MAX_NAME: usize = 64;

/// One of `[[publishers]]`.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// For log and messages, and the owner of its idempotency keys.
    pub name: Box<str>,
    /// What it presents.
    pub key: PublisherKey,
    /// Where that was read from, when it has a file of its own.
    pub key_file: Option<PathBuf>,
    /// The channels that it may publish in and ask about; `None`: all.
    pub channels: Option<Vec<Pattern>>,
    /// Whether it may send to users and connections.
    pub users: bool,
    /// Publications a second, on all its connections together.
    pub publications_per_second: Option<u32>,
}

/// A publisher while it is read.
#[derive(Default)]
struct Draft {
    name: Option<Box<str>>,
    key: Option<PublisherKey>,
    key_file: Option<(PathBuf, PublisherKey)>,
    channels: Option<Vec<Pattern>>,
    users: Option<bool>,
    publications_per_second: Option<u32>,
}

impl Draft {
    fn set(&mut self, key: &str, raw: &Raw<'_>) -> Result<(), String> {
        match key {
            "name" => self.name = Some(name(raw)?),
            "key" => {
                let key = string(raw, "a key in quotes")?.parse();
                self.key = Some(key.map_err(|error| format!("not a publisher key: {error}"))?);
            }
            "key_file" => {
                let path = PathBuf::from(string(raw, "a path in quotes")?);
                let key = PublisherKey::from_file(&path)?;
                self.key_file = Some((path, key));
            }
            "channels" => self.channels = Some(patterns(raw)?),
            "users" => self.users = Some(switch(raw)?),
            "publications_per_second" => {
                let count = within(count(raw)?, &(1..=1_000_000), usize::to_string)?;
                self.publications_per_second = u32::try_from(count).ok();
            }
            _ => {}
        }
        Ok(())
    }

    fn publisher(self) -> Result<Publisher, String> {
        let name = self.name.ok_or("one of [[publishers]] needs a name, as in name = \"shop\"")?;
        let (key_file, key) = match (self.key, self.key_file) {
            (Some(key), None) => (None, key),
            (None, Some((path, key))) => (Some(path), key),
            (None, None) => {
                return Err(format!(
                    "the publisher {name:?} needs key_file, as in key_file = \"/etc/realtime/{name}.key\", or key; \
                     `realtime-server key` makes one"
                ));
            }
            (Some(_), Some(_)) => return Err(format!("the publisher {name:?} has key and key_file; set one of them")),
        };
        // Who is for some channels is not for everybody's private messages, unless that is said.
        let users = self.users.unwrap_or(self.channels.is_none());
        let (channels, publications_per_second) = (self.channels, self.publications_per_second);
        Ok(Publisher { name, key, key_file, channels, users, publications_per_second })
    }
}

fn name(raw: &Raw<'_>) -> Result<Box<str>, String> {
    let text = string(raw, "a name in quotes, as in \"shop\"")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(is_plain) {
        return Err(format!("{text:?} is no name; write 1 to {MAX_NAME} letters, digits, dots, - and _"));
    }
    if Grant::OWN.contains(&text) {
        return Err(format!("{text:?} is the server's own name for another publisher; choose another"));
    }
    Ok(text.into())
}

fn patterns(raw: &Raw<'_>) -> Result<Vec<Pattern>, String> {
    const WANTED: &str = "a list of patterns, as in [\"orders.*\"]";
    let items = match raw {
        Raw::Toml(DeValue::Array(items)) if !items.is_empty() => items,
        Raw::Toml(DeValue::Array(_)) => return Err(format!("this is empty; write {WANTED}")),
        Raw::Toml(other) => return Err(format!("this must be {WANTED}, not {}", described(other))),
        Raw::Text(text) => return Err(format!("this must be {WANTED}, not {text:?}")),
    };
    let pattern = |item: &DeValue<'_>| {
        let text = string(&Raw::Toml(item), "a pattern in quotes, as in \"orders.*\"")?;
        let pattern = Pattern::parse(text).map_err(|error| format!("{text:?}: {error}"))?;
        match pattern.has_user() {
            true => Err(format!("{text:?}: a publisher is no user; write * instead of {{user}}")),
            false => Ok(pattern),
        }
    };
    items.iter().map(|item| pattern(item.get_ref())).collect()
}

impl Reader<'_, '_> {
    /// All of `[[publishers]]`.
    pub(super) fn publishers(&mut self, span: &Range<usize>, value: &DeValue<'_>) {
        let DeValue::Array(items) = value else {
            let message = "publishers: write each publisher as a table of its own under [[publishers]]";
            return self.mistake(span, message.to_owned());
        };
        for item in items {
            match item.get_ref() {
                DeValue::Table(table) => self.publisher(&item.span(), table),
                other => {
                    let message = format!("publishers: a publisher must be a table, not {}", described(other));
                    self.mistake(&item.span(), message);
                }
            }
        }
    }

    fn publisher(&mut self, span: &Range<usize>, table: &DeTable<'_>) {
        let mut draft = Draft::default();
        let found = self.layer.mistakes.len();
        for (name, value) in table {
            let known = || PUBLISHER_KEYS.iter().map(|key| key.name);
            if !known().any(|key| key == name.get_ref()) {
                let name_here = name.get_ref();
                self.mistake(&name.span(), unknown(name_here, name_here, " in one of [[publishers]]", known()));
            } else if let Err(message) = draft.set(name.get_ref(), &Raw::Toml(value.get_ref())) {
                self.mistake(&value.span(), format!("{}: {message}", name.get_ref()));
            }
        }
        // What is wrong with a value is not missing besides.
        if self.layer.mistakes.len() > found {
            return;
        }
        match draft.publisher() {
            Ok(publisher) => {
                self.layer.config.publishers.push(publisher);
                let place = self.place(span);
                self.layer.publishers_at.push(place);
            }
            Err(message) => self.mistake(span, message),
        }
    }
}

/// Names and keys that are there twice: nobody could tell whose rights count.
pub(super) fn check(layer: &mut Layer) {
    let Layer { config, publishers_at, mistakes, .. } = layer;
    for (index, (publisher, place)) in config.publishers.iter().zip(publishers_at).enumerate() {
        let mut mistake = |message| mistakes.push(Mistake { place: Some(place.clone()), message });
        let before = &config.publishers[..index];
        if before.iter().any(|other| other.name == publisher.name) {
            mistake(format!("there is a publisher {:?} before; a name stands for one", publisher.name));
        }
        let others = before.iter().map(|other| (&*other.name, &other.key));
        let mut all = others.chain(config.publisher_key.iter().map(|key| ("publisher_key", key)));
        if let Some((other, _)) = all.find(|(_, key)| **key == publisher.key) {
            mistake(format!("the publisher {:?} has the same key as {other:?}; make one of its own", publisher.name));
        }
    }
}

impl Config {
    /// Whether anybody has a key.
    pub fn has_publisher_key(&self) -> bool {
        self.a_publisher_key().is_some()
    }

    /// A key by which our own clients get in: the one for everything, or else the first.
    pub fn a_publisher_key(&self) -> Option<&PublisherKey> {
        self.publisher_key.as_ref().or_else(|| self.publishers.first().map(|publisher| &publisher.key))
    }

    /// The files that hold keys, and whose these are.
    pub(super) fn key_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.publisher_key_file.iter().chain(self.publishers.iter().filter_map(|publisher| publisher.key_file.as_ref()))
    }
}

impl Publisher {
    /// As it stands in the file, but for the key: one that is not in a file of its own makes all of it a comment.
    pub(super) fn show(&self) -> String {
        let mut text = format!("[[publishers]]\nname = {}\n", quoted(&self.name));
        match &self.key_file {
            Some(path) => text.push_str(&format!("key_file = {}\n", quoted(&path.to_string_lossy()))),
            None => text.push_str("# key is set and not shown\n"),
        }
        if let Some(channels) = &self.channels {
            let channels: Vec<_> = channels.iter().map(|pattern| quoted(pattern.as_str())).collect();
            text.push_str(&format!("channels = [{}]\n", channels.join(", ")));
        }
        text.push_str(&format!("users = {}\n", self.users));
        if let Some(rate) = self.publications_per_second {
            text.push_str(&format!("publications_per_second = {rate}\n"));
        }
        let comment = |line: &str| if line.starts_with('#') { format!("{line}\n") } else { format!("# {line}\n") };
        if self.key_file.is_none() { text.lines().map(comment).collect() } else { text }
    }
}

/// Where the keys stand that are in the configuration file itself.
pub(super) fn inline_keys(layer: &Layer) -> impl Iterator<Item = &Source> {
    let pairs = layer.config.publishers.iter().zip(&layer.publishers_at);
    pairs.filter(|(publisher, _)| publisher.key_file.is_none()).map(|(_, place)| place)
}
