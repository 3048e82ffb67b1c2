//! Reading the configuration: the file, then variables, then flags; later ones win.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::field::Raw;
use super::keys::{KEYS, Key};
use super::mistake::{Mistake, Mistakes, Source, did_you_mean};
use super::{Config, check, file, publisher};
use crate::rules::ChannelRule;
use crate::token::{Algorithm, KeyError, Secret, TokenKey};

/// The file that is read when none is named, if it exists.
pub const DEFAULT_FILE: &str = "/etc/realtime/realtime.toml";
const FILE_VARIABLE: &str = "REALTIME_CONFIG";
const VARIABLES: &str = "REALTIME_";

/// What the configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
    /// The name of each key that a flag sets, and its value.
    pub flags: Vec<(&'static str, String)>,
}

/// A configuration that was read, and what is worth saying about it.
#[derive(Debug)]
pub struct Loaded {
    /// The effective configuration.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
    /// Who set each key; absent: the default.
    pub(super) set_by: BTreeMap<&'static str, Source>,
}

/// The configuration while it is read.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) config: Config,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<String>,
    pub(super) set_by: BTreeMap<&'static str, Source>,
    /// Where each rule of `config.channels` is.
    pub(super) rules_at: Vec<Source>,
    /// The same for `config.publishers`.
    pub(super) publishers_at: Vec<Source>,
    /// The keys of tokens.
    pub(super) token_keys: Vec<TokenKeyDraft>,
    /// Files with secrets of tokens in them.
    secret_files: Vec<PathBuf>,
}

/// A key of tokens before it is known for which algorithm.
pub(super) struct TokenKeyDraft {
    pub(super) kid: Option<String>,
    /// Either this or the file.
    pub(super) secret: Option<Secret>,
    pub(super) file: Option<PathBuf>,
    pub(super) place: Source,
}

impl TokenKeyDraft {
    fn make(&self, algorithm: Algorithm) -> Result<TokenKey, KeyError> {
        match (&self.secret, &self.file) {
            (Some(_), _) if algorithm != Algorithm::Hs256 => Err(KeyError::Kind(algorithm)),
            (Some(secret), _) => TokenKey::from_secret(self.kid.clone(), secret.as_bytes()),
            (None, Some(file)) => TokenKey::from_file(self.kid.clone(), algorithm, file),
            (None, None) => Err(KeyError::Kind(algorithm)),
        }
    }
}

impl Layer {
    pub(super) fn set(&mut self, key: &'static Key, raw: &Raw<'_>, place: Source) {
        match key.field.set(&mut self.config, raw) {
            Ok(()) => drop(self.set_by.insert(key.name, place)),
            Err(message) => {
                let message = format!("{}: {message}", key.name);
                self.mistakes.push(Mistake { place: Some(place), message });
            }
        }
    }

    pub(super) fn set_rules(&mut self, rules: Vec<(ChannelRule, Source)>) {
        (self.config.channels, self.rules_at) = rules.into_iter().unzip();
    }

    /// Makes the keys of tokens, now that all is known about them.
    fn make_token_keys(&mut self) {
        let algorithm = self.config.tokens.algorithm;
        let mut drafts = std::mem::take(&mut self.token_keys);
        if let (Some(secret), Some(place)) = (self.config.tokens.secret.take(), self.set_by.get("tokens.secret")) {
            drafts.push(TokenKeyDraft { kid: None, secret: Some(secret), file: None, place: place.clone() });
        }
        for draft in &drafts {
            match draft.make(algorithm) {
                Ok(key) => self.config.tokens.keys.push(key),
                Err(error) => {
                    let message = format!("a key of tokens: {error}");
                    self.mistakes.push(Mistake { place: Some(draft.place.clone()), message });
                }
            }
        }
        for draft in drafts {
            match (draft.file, draft.place) {
                (Some(file), _) if algorithm == Algorithm::Hs256 => self.secret_files.push(file),
                (None, Source::File(file, _)) => self.secret_files.push(file),
                _ => {}
            }
        }
    }

    /// The key and the file with the key exclude each other, but a later source may replace one by the other.
    fn end(&mut self, mut from_here: impl FnMut(&Source) -> bool) {
        const KEY: &str = "publisher_key";
        const FILE: &str = "publisher_key_file";
        let here: Vec<Source> =
            [KEY, FILE].iter().filter_map(|name| self.set_by.get(name)).filter(|p| from_here(p)).cloned().collect();
        match &here[..] {
            [_, place] => {
                let message = "set publisher_key or publisher_key_file, not both".to_owned();
                self.mistakes.push(Mistake { place: Some(place.clone()), message });
            }
            [_] => {
                let replaced = if self.config.publisher_key_file.is_some() { KEY } else { FILE };
                self.set_by.remove(replaced);
            }
            _ => {}
        }
    }
}

/// Reads the configuration.
pub fn load(sources: &Sources) -> Result<Loaded, Mistakes> {
    let mut layer = Layer::default();
    let file = chosen_file(sources);
    if let Some(path) = &file {
        match fs::read_to_string(path) {
            Ok(text) => file::read(path, &text, &mut layer),
            Err(error) => {
                let message = format!("cannot read the configuration file {}: {error}", path.display());
                layer.mistakes.push(Mistake { place: None, message });
            }
        }
    }
    layer.end(|place| matches!(place, Source::File(..)));
    variables(&sources.variables, &mut layer);
    layer.end(|place| matches!(place, Source::Variable(_)));
    for (name, text) in &sources.flags {
        if let Some(key) = Key::find(name) {
            layer.set(key, &Raw::Text(text), Source::Flag(key.flag().unwrap_or_default()));
        }
    }
    layer.end(|place| matches!(place, Source::Flag(_)));
    finish(layer, file)
}

/// Reads the text of a file alone.
#[cfg(feature = "fuzzing")]
pub(crate) fn load_text(text: &str) -> Result<Loaded, Mistakes> {
    let mut layer = Layer::default();
    file::read(std::path::Path::new(""), text, &mut layer);
    layer.end(|_| true);
    finish(layer, None)
}

/// Checks what was read as a whole.
fn finish(mut layer: Layer, file: Option<PathBuf>) -> Result<Loaded, Mistakes> {
    if layer.config.dev {
        layer.config.insecure_identity = true;
    }
    layer.make_token_keys();
    check::all(&mut layer);
    warn_of_readable_secrets(&mut layer);
    let Layer { config, mistakes, warnings, set_by, .. } = layer;
    if mistakes.is_empty() {
        return Ok(Loaded { config, file, warnings, set_by });
    }
    Err(Mistakes::new(mistakes))
}

fn chosen_file(sources: &Sources) -> Option<PathBuf> {
    let by_variable = || {
        let set = sources.variables.iter().find(|(name, value)| name == FILE_VARIABLE && !value.is_empty());
        set.map(|(_, value)| PathBuf::from(value))
    };
    let by_default = || Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists());
    sources.file.clone().or_else(by_variable).or_else(by_default)
}

fn variables(environment: &[(OsString, OsString)], layer: &mut Layer) {
    let mut ours: Vec<_> = environment
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?, value)))
        .filter(|(name, _)| name.starts_with(VARIABLES) && *name != FILE_VARIABLE)
        .collect();
    ours.sort();
    for (name, value) in ours {
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            layer.warnings.push(unknown_variable(name));
            continue;
        };
        let place = Source::Variable(name.to_owned());
        match value.to_str() {
            // Whoever passes variables on, as compose files do, passes unset ones on as empty.
            Some("") if !key.field.is_list() => {}
            Some(text) => layer.set(key, &Raw::Text(text), place),
            None => {
                let message = format!("{}: the value is not UTF-8", key.name);
                layer.mistakes.push(Mistake { place: Some(place), message });
            }
        }
    }
}

fn unknown_variable(name: &str) -> String {
    let is_table = |table: &str| name.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with("__"));
    if is_table("REALTIME_CHANNELS") {
        return format!("the variable {name} is ignored: rules for channels can be set only in the file");
    }
    if is_table("REALTIME_PUBLISHERS") {
        return format!("the variable {name} is ignored: publishers with names can be set only in the file");
    }
    if name == "REALTIME_TOKENS__KEYS" {
        return format!(
            "the variable {name} is ignored: keys can be set only in the file; for one secret there is \
             REALTIME_TOKENS__SECRET"
        );
    }
    let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let hint = did_you_mean(name, known.iter().map(String::as_str).chain([FILE_VARIABLE]));
    format!("the variable {name:?} is ignored: there is no such key{hint}")
}

/// Secrets that every user of the machine can read are worth a word, though they work.
fn warn_of_readable_secrets(layer: &mut Layer) {
    let places = layer.set_by.get("publisher_key").into_iter().chain(publisher::inline_keys(layer));
    let files_with_key = places.filter_map(|place| match place {
        Source::File(path, _) => Some(path),
        _ => None,
    });
    let paths: BTreeSet<&PathBuf> = layer.config.key_files().chain(files_with_key).collect();
    let readable = |path: &&PathBuf| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0);
    let warnings = paths.into_iter().filter(readable).map(|path| {
        let path = path.display();
        format!("every user of this machine can read the publisher key in {path}; mend it with: chmod o-r {path}")
    });
    let warnings: Vec<_> = warnings.collect();
    layer.warnings.extend(warnings);
    let mut files = std::mem::take(&mut layer.secret_files);
    files.sort();
    files.dedup();
    layer.warnings.extend(files.iter().filter(readable).map(|path| {
        let path = path.display();
        format!("every user of this machine can read the secret of tokens in {path}; mend it with: chmod o-r {path}")
    }));
}
