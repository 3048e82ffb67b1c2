//! `tokens.keys`: a list of tables.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Reader;
use crate::config::field::{Raw, described, string};
use crate::config::load::TokenKeyDraft;
use crate::config::mistake::unknown;
use crate::token::Secret;

const NAMES: [&str; 3] = ["kid", "secret", "file"];

impl Reader<'_, '_> {
    /// The keys are made once the algorithm is known, which a variable or flag may still change.
    pub(super) fn token_keys(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Array(items) = value.get_ref() else {
            let message = "tokens.keys: this must be a list of tables, as in keys = [{ secret = \"…\" }]".to_owned();
            return self.mistake(&value.span(), message);
        };
        for item in items {
            match item.get_ref() {
                DeValue::Table(table) => self.token_key(item, table),
                other => {
                    let message = format!("tokens.keys: a key must be a table, not {}", described(other));
                    self.mistake(&item.span(), message);
                }
            }
        }
    }

    fn token_key(&mut self, item: &Spanned<DeValue<'_>>, table: &DeTable<'_>) {
        let mut draft = TokenKeyDraft { kid: None, secret: None, file: None, place: self.place(&item.span()) };
        let found = self.layer.mistakes.len();
        for (name, value) in table {
            let named: &str = name.get_ref();
            if !NAMES.contains(&named) {
                self.mistake(&name.span(), unknown(named, named, " in tokens.keys", NAMES.into_iter()));
                continue;
            }
            let text = match string(&Raw::Toml(value.get_ref()), "a text in quotes") {
                Ok(text) if !text.is_empty() => text,
                Ok(_) => {
                    self.mistake(&value.span(), format!("tokens.keys: {named} must not be empty"));
                    continue;
                }
                // Without the value, which may be a secret.
                Err(_) => {
                    self.mistake(&value.span(), format!("tokens.keys: {named} must be a text in quotes"));
                    continue;
                }
            };
            match named {
                "kid" => draft.kid = Some(text.to_owned()),
                "secret" => draft.secret = Some(Secret::new(text)),
                _ => draft.file = Some(PathBuf::from(text)),
            }
        }
        if self.layer.mistakes.len() > found {
            return;
        }
        if draft.secret.is_some() == draft.file.is_some() {
            let message = "tokens.keys: a key has either a secret or a file".to_owned();
            return self.mistake(&item.span(), message);
        }
        if let Some(kid) = &draft.kid
            && self.layer.token_keys.iter().any(|key| key.kid.as_ref() == Some(kid))
        {
            let message = format!("tokens.keys: there is a key with the kid {kid:?} before; a kid names one key");
            return self.mistake(&item.span(), message);
        }
        self.layer.token_keys.push(draft);
    }
}
