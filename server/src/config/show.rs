//! The effective configuration as a TOML file, and what changed between two.

use super::keys::{KEYS, Key};
use super::load::Loaded;
use super::{Config, field::quoted, show_duration};
use crate::rules::{HistoryRule, PresenceRule, StreamRule};

impl Loaded {
    /// Every key with its value and where that comes from, as a file that sets the same again. Secrets are not in it.
    pub fn effective(&self) -> String {
        let mut text = String::new();
        // Keys of no table come first, since a table's header holds for all that follows.
        let mut keys: Vec<&Key> = KEYS.iter().collect();
        keys.sort_by_key(|key| table(key).0.is_some());
        let mut open = None;
        for key in keys {
            let (table, name) = table(key);
            if table != open {
                text.push_str(&format!("\n[{}]\n", table.unwrap_or_default()));
                open = table;
            }
            text.push_str(&self.line(key, name));
        }
        if self.config.users != StreamRule::NONE {
            text.push_str(&format!("\n[users]\n{}", stream(&self.config.users)));
        }
        for publisher in &self.config.publishers {
            text.push_str(&format!("\n{}", publisher.show()));
        }
        for rule in &self.config.channels {
            text.push_str(&format!("\n[[channels]]\npattern = {}\n", quoted(rule.pattern.as_str())));
            if let Some(subscribe) = rule.subscribe {
                text.push_str(&format!("subscribe = {}\n", quoted(subscribe.as_str())));
            }
            text.push_str(&format!("publish = {}\n", quoted(rule.publish.as_str())));
            text.push_str(&stream(&rule.stream));
            if rule.stream.presence.is_some() {
                text.push_str(&format!("presence.visible_to = {}\n", quoted(rule.visible_to.as_str())));
            }
        }
        text
    }

    fn line(&self, key: &Key, name: &str) -> String {
        let source = self.set_by.get(key.name).map_or_else(|| "default".to_owned(), ToString::to_string);
        if key.name == "publisher_key" && self.config.publisher_key.is_some() {
            let source = self.set_by.get(key.name).or(self.set_by.get("publisher_key_file"));
            return format!(
                "# {name} is set and not shown ({})\n",
                source.map(ToString::to_string).unwrap_or_default()
            );
        }
        if key.name == "tokens.secret" && !self.config.tokens.keys.is_empty() {
            let names: Vec<_> =
                self.config.tokens.keys.iter().map(|key| key.kid().unwrap_or("without a name")).collect();
            return format!("# the keys of tokens are set and not shown ({})\n", names.join(", "));
        }
        match key.field.show(&self.config) {
            // `dev` switches it on, which a file with `dev = true` does again.
            Some(value) if key.name == "insecure_identity" && self.config.dev => {
                format!("{name} = {value}  # because of dev\n")
            }
            Some(value) => format!("{name} = {value}  # {source}\n"),
            None => format!("# {name} is not set: {}\n", key.default.unwrap_or("none").replace('`', "")),
        }
    }
}

/// What a rule says of streams, as lines of TOML.
fn stream(rule: &StreamRule) -> String {
    let mut text = format!("overflow = {}\n", quoted(rule.overflow.as_str()));
    if let Some(HistoryRule { size, ttl, store }) = rule.history {
        let (ttl, store) = (quoted(&show_duration(ttl)), quoted(store.as_str()));
        text.push_str(&format!("history.size = {size}\nhistory.ttl = {ttl}\nhistory.store = {store}\n"));
    }
    if let Some(PresenceRule { grace, events }) = rule.presence {
        let grace = quoted(&show_duration(grace));
        text.push_str(&format!("presence.enabled = true\npresence.grace = {grace}\npresence.events = {events}\n"));
    }
    text
}

/// A key's table and its name in there.
fn table(key: &Key) -> (Option<&'static str>, &'static str) {
    key.name.split_once('.').map_or((None, key.name), |(table, name)| (Some(table), name))
}

impl Config {
    /// Takes over from `new` what may change while the server runs.
    pub fn take_over(&mut self, new: Self) {
        self.publisher_key = new.publisher_key;
        self.publisher_key_file = new.publisher_key_file;
        self.publishers = new.publishers;
        self.tls_cert = new.tls_cert;
        self.tls_key = new.tls_key;
        self.allowed_origins = new.allowed_origins;
        self.tokens = new.tokens;
        self.require_origin = new.require_origin;
        self.channels = new.channels;
        self.users = new.users;
    }

    /// Whether a rule asks for the disk.
    pub fn needs_disk(&self) -> bool {
        self.users.is_on_disk() || self.channels.iter().any(|rule| rule.stream.is_on_disk())
    }

    /// The keys whose values differ from `running`'s and count only from the next start on.
    pub fn waiting_for_a_restart(&self, running: &Self) -> Vec<&'static str> {
        let differs = |key: &&Key| !key.reloads && key.field.show(self) != key.field.show(running);
        KEYS.iter().filter(differs).map(|key| key.name).collect()
    }
}
