//! The configuration file: TOML, every mistake with its line.

mod token_keys;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::field::{Raw, choice, count, described, duration, string, switch, within};
use super::keys::{KEYS, Key, RULE_KEYS, USERS_KEYS};
use super::load::Layer;
use super::mistake::{Mistake, Source, unknown};
use crate::rules::{Access, ChannelRule, HistoryRule, Overflow, Pattern, PresenceRule, StoreKind, StreamRule};

/// A file being read into a layer.
pub(super) struct Reader<'a, 'l> {
    path: &'a Path,
    text: &'a str,
    pub(super) layer: &'l mut Layer,
}

/// Reads `text`, the contents of `path`, into `layer`.
pub(super) fn read(path: &Path, text: &str, layer: &mut Layer) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { path, text, layer };
    let mut broken = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or_default();
        broken.push(reader.line(&span));
        reader.mistake(&span, format!("not valid TOML: {}", error.message().replace('\n', "; ")));
    }
    // What follows from a broken line is no mistake of its own.
    let before = reader.layer.mistakes.len();
    reader.table("", document.get_ref());
    let on_broken_line = |m: &Mistake| matches!(&m.place, Some(Source::File(_, line)) if broken.contains(line));
    let mut index = 0;
    reader.layer.mistakes.retain(|mistake| {
        index += 1;
        index <= before || !on_broken_line(mistake)
    });
}

impl Reader<'_, '_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let end = span.start.min(self.text.len());
        1 + self.text.as_bytes()[..end].iter().filter(|&&byte| byte == b'\n').count()
    }

    pub(super) fn place(&self, span: &Range<usize>) -> Source {
        Source::File(self.path.to_owned(), self.line(span))
    }

    pub(super) fn mistake(&mut self, span: &Range<usize>, message: String) {
        let place = Some(self.place(span));
        self.layer.mistakes.push(Mistake { place, message });
    }

    /// `prefix` is empty or ends with a dot.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let full = format!("{prefix}{}", name.get_ref());
            let inner = format!("{full}.");
            if full == "channels" {
                self.rules(value);
            } else if full == "users" {
                self.users(value);
            } else if full == "tokens.keys" {
                self.token_keys(value);
            } else if full == "publishers" {
                self.publishers(&value.span(), value.get_ref());
            } else if let Some(key) = Key::find(&full) {
                self.value(key, value);
            } else if let (DeValue::Table(table), true) =
                (value.get_ref(), KEYS.iter().any(|key| key.name.starts_with(&inner)))
            {
                self.table(&inner, table);
            } else {
                let known = KEYS.iter().map(|key| key.name).chain(["channels", "users", "publishers", "tokens.keys"]);
                self.mistake(&name.span(), unknown(name.get_ref(), &full, "", known));
            }
        }
    }

    fn value(&mut self, key: &'static Key, value: &Spanned<DeValue<'_>>) {
        if let (DeValue::Array(items), true) = (value.get_ref(), key.field.is_list()) {
            let found = self.layer.mistakes.len();
            for item in items {
                if let Err(message) = key.field.check_item(&Raw::Toml(item.get_ref())) {
                    self.mistake(&item.span(), format!("{}: {message}", key.name));
                }
            }
            if self.layer.mistakes.len() > found {
                return;
            }
        }
        let place = self.place(&value.span());
        self.layer.set(key, &Raw::Toml(value.get_ref()), place);
    }

    fn rules(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Array(items) = value.get_ref() else {
            let message = "channels: write each rule as a table of its own under [[channels]]".to_owned();
            return self.mistake(&value.span(), message);
        };
        let mut rules = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::Table(table) => rules.extend(self.rule(&item.span(), table)),
                other => {
                    let message = format!("channels: a rule must be a table, not {}", described(other));
                    self.mistake(&item.span(), message);
                }
            }
        }
        self.layer.set_rules(rules);
    }

    /// What holds for what is sent to users.
    fn users(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.mistake(&value.span(), "users: write it as a table, [users]".to_owned());
        };
        let mut draft = Draft::default();
        let found = self.layer.mistakes.len();
        self.draft("", " in [users]", &|name| USERS_KEYS.contains(&name), table, &mut draft);
        if let (Ok(rule), true) = (draft.stream(), self.layer.mistakes.len() == found) {
            self.layer.config.users = rule;
        } else if let Err(message) = draft.stream() {
            self.mistake(&value.span(), message);
        }
    }

    /// One rule, and where it is.
    fn rule(&mut self, span: &Range<usize>, table: &DeTable<'_>) -> Option<(ChannelRule, Source)> {
        let mut draft = Draft::default();
        let found = self.layer.mistakes.len();
        let known = |name: &str| RULE_KEYS.iter().any(|key| key.name == name);
        self.draft("", " in a rule of [[channels]]", &known, table, &mut draft);
        if draft.pattern.is_none() && self.layer.mistakes.len() == found {
            let message = "a rule of [[channels]] needs a pattern, as in pattern = \"orders.*\"".to_owned();
            self.mistake(span, message);
        }
        let stream = draft.stream().map_err(|message| self.mistake(span, message)).ok();
        let (pattern, stream) = (draft.pattern?, stream?);
        let rule = ChannelRule {
            subscribe: draft.subscribe,
            publish: draft.publish.unwrap_or(Access::Nobody),
            visible_to: draft.visible_to.unwrap_or(Access::Anyone),
            stream,
            ..ChannelRule::of(pattern)
        };
        Some((rule, self.place(span)))
    }

    /// Reads the keys of a rule that are `known`; `prefix` is empty or ends with a dot; `place` is for messages, as in
    /// `" in [users]"`.
    fn draft(
        &mut self,
        prefix: &str,
        place: &str,
        known: &dyn Fn(&str) -> bool,
        table: &DeTable<'_>,
        draft: &mut Draft,
    ) {
        for (name, value) in table {
            let full = format!("{prefix}{}", name.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) if matches!(&*full, "history" | "presence") => {
                    self.draft(&format!("{full}."), place, known, inner, draft);
                }
                _ if !known(&full) => {
                    let names = RULE_KEYS.iter().map(|key| key.name).filter(|name| known(name));
                    self.mistake(&name.span(), unknown(&full, &full, place, names));
                }
                value_here => {
                    if let Err(message) = draft.set(&full, &Raw::Toml(value_here)) {
                        self.mistake(&value.span(), format!("{full}: {message}"));
                    }
                }
            }
        }
    }
}

/// A rule while it is read.
#[derive(Default)]
struct Draft {
    pattern: Option<Pattern>,
    subscribe: Option<Access>,
    publish: Option<Access>,
    visible_to: Option<Access>,
    overflow: Option<Overflow>,
    size: Option<usize>,
    ttl: Option<Duration>,
    store: Option<StoreKind>,
    present: Option<bool>,
    grace: Option<Duration>,
    events: Option<bool>,
}

impl Draft {
    fn set(&mut self, key: &str, raw: &Raw<'_>) -> Result<(), String> {
        const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
        match key {
            "pattern" => self.pattern = Some(read_pattern(raw)?),
            "subscribe" => self.subscribe = Some(choice(raw, Access::ALL, Access::as_str)?),
            "publish" => self.publish = Some(choice(raw, Access::ALL, Access::as_str)?),
            "presence.visible_to" => self.visible_to = Some(choice(raw, Access::ALL, Access::as_str)?),
            "overflow" => self.overflow = Some(choice(raw, Overflow::ALL, Overflow::as_str)?),
            "history.size" => self.size = Some(within(count(raw)?, &(0..=1_000_000), usize::to_string)?),
            "history.ttl" => self.ttl = Some(duration(raw, &(Duration::from_secs(1)..=YEAR))?),
            "history.store" => self.store = Some(choice(raw, StoreKind::ALL, StoreKind::as_str)?),
            "presence.enabled" => self.present = Some(switch(raw)?),
            "presence.grace" => self.grace = Some(duration(raw, &(Duration::ZERO..=Duration::from_secs(600)))?),
            "presence.events" => self.events = Some(switch(raw)?),
            _ => {}
        }
        Ok(())
    }

    fn stream(&self) -> Result<StreamRule, String> {
        let history = match self.size {
            Some(size) if size > 0 => Some(HistoryRule {
                size,
                ttl: self.ttl.unwrap_or(HistoryRule::DEFAULT_TTL),
                store: self.store.unwrap_or(StoreKind::Memory),
            }),
            None if self.ttl.is_some() || self.store.is_some() => {
                return Err("history.ttl and history.store say how a history is kept; history.size, as in \
                            history.size = 100, says that there is one"
                    .to_owned());
            }
            _ => None,
        };
        if history.is_none() && self.overflow == Some(Overflow::CatchUp) {
            return Err("overflow = \"catch_up\" needs a history, as in history.size = 100".to_owned());
        }
        let default = PresenceRule::default();
        let presence = self.present.unwrap_or(false).then(|| PresenceRule {
            grace: self.grace.unwrap_or(default.grace),
            events: self.events.unwrap_or(default.events),
        });
        if presence.is_none() && (self.grace.is_some() || self.events.is_some() || self.visible_to.is_some()) {
            let message = "presence.grace, presence.events and presence.visible_to need presence.enabled = true";
            return Err(message.to_owned());
        }
        Ok(StreamRule::new(self.overflow, history, presence))
    }
}

fn read_pattern(raw: &Raw<'_>) -> Result<Pattern, String> {
    let text = string(raw, "a pattern in quotes, as in \"orders.*\"")?;
    Pattern::parse(text).map_err(|error| format!("{text:?}: {error}"))
}
