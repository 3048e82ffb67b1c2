//! The configuration file: TOML, every mistake with its line.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::field::{Raw, choice, described, string};
use super::keys::{KEYS, Key, RULE_KEYS};
use super::load::Layer;
use super::mistake::{Mistake, Source, did_you_mean};
use crate::rules::{ChannelRule, Overflow, Pattern, Subscribe};

/// A file being read into a layer.
struct Reader<'a, 'l> {
    path: &'a Path,
    text: &'a str,
    layer: &'l mut Layer,
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

    fn place(&self, span: &Range<usize>) -> Source {
        Source::File(self.path.to_owned(), self.line(span))
    }

    fn mistake(&mut self, span: &Range<usize>, message: String) {
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
            } else if let Some(key) = Key::find(&full) {
                self.value(key, value);
            } else if let (DeValue::Table(table), true) =
                (value.get_ref(), KEYS.iter().any(|key| key.name.starts_with(&inner)))
            {
                self.table(&inner, table);
            } else {
                let known = KEYS.iter().map(|key| key.name).chain(["channels"]);
                self.mistake(&name.span(), format!("unknown key {full:?}{}", did_you_mean(&full, known)));
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

    /// One rule, and where it is.
    fn rule(&mut self, span: &Range<usize>, table: &DeTable<'_>) -> Option<(ChannelRule, Source)> {
        let (mut pattern, mut subscribe, mut overflow) = (None, Some(Subscribe::Anyone), Overflow::default());
        let mut complete = true;
        for (name, value) in table {
            let raw = Raw::Toml(value.get_ref());
            let read = match &**name.get_ref() {
                "pattern" => read_pattern(&raw).map(|read| pattern = Some(read)),
                "subscribe" => choice(&raw, Subscribe::ALL, Subscribe::as_str).map(|read| subscribe = Some(read)),
                "overflow" => choice(&raw, Overflow::ALL, Overflow::as_str).map(|read| overflow = read),
                other => {
                    let hint = did_you_mean(other, RULE_KEYS.iter().map(|key| key.name));
                    self.mistake(&name.span(), format!("unknown key {other:?} in a rule of [[channels]]{hint}"));
                    continue;
                }
            };
            if let Err(message) = read {
                complete = false;
                self.mistake(&value.span(), format!("{}: {message}", name.get_ref()));
            }
        }
        let (Some(pattern), Some(subscribe)) = (pattern, subscribe) else {
            if complete {
                let message = "a rule of [[channels]] needs a pattern, as in pattern = \"orders.*\"".to_owned();
                self.mistake(span, message);
            }
            return None;
        };
        if pattern.has_user() && subscribe == Subscribe::Anyone {
            let message =
                "a rule with {user} in its pattern needs subscribe = \"user\", \"token\" or \"nobody\"".to_owned();
            self.mistake(span, message);
        }
        Some((ChannelRule { pattern, subscribe, overflow }, self.place(span)))
    }
}

fn read_pattern(raw: &Raw<'_>) -> Result<Pattern, String> {
    let text = string(raw, "a pattern in quotes, as in \"orders.*\"")?;
    Pattern::parse(text).map_err(|error| format!("{text:?}: {error}"))
}
