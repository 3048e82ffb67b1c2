//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

use realtime_protocol::PUBLISHER_KEY_PREFIX;

use super::keys::Key;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// In the file, on this line (from 1).
    File(PathBuf, usize),
    /// By a variable.
    Variable(String),
    /// By a flag; its name without dashes.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One mistake. Its text names the place, the key and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it is; `None` when the file as a whole cannot be read, or no value was set at all.
    pub place: Option<Source>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Every mistake of a configuration, in the order of the file, then variables, then flags. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// In the order of their places. A publisher key is a secret in whatever value it was put by mistake.
    pub(super) fn new(mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by(|a, b| a.place.cmp(&b.place));
        for mistake in &mut mistakes {
            mistake.message = without_keys(&mistake.message);
        }
        Self(mistakes)
    }

    /// Each mistake.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

/// One line each.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The same text, but for what is or may be most of a publisher key.
fn without_keys(text: &str) -> String {
    const SHORTEST: usize = 16;
    let mut parts = text.split(PUBLISHER_KEY_PREFIX);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str(PUBLISHER_KEY_PREFIX);
        let secret = part.bytes().take_while(u8::is_ascii_alphanumeric).count();
        if secret < SHORTEST {
            shown.push_str(part);
        } else {
            shown.push('…');
            shown.push_str(&part[secret..]);
        }
    }
    shown
}

/// That nothing is called `name` where `shown` was written, `place` (as in " in tokens.keys"), and what was probably meant.
pub(super) fn unknown<'a>(name: &str, shown: &str, place: &str, known: impl Iterator<Item = &'a str>) -> String {
    let hint = if Key::find(name).is_some() {
        format!(
            "; {name} is a key of the whole server: write {name} = … above the first [table], since what follows one \
             belongs to it"
        )
    } else {
        did_you_mean(shown, known)
    };
    format!("unknown key {shown:?}{place}{hint}")
}

/// What somebody who wrote `given` probably meant, as the end of a message.
pub(super) fn did_you_mean<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> String {
    let closeness = |name: &str| strsim::jaro_winkler(given, name);
    let best = known.max_by(|a, b| closeness(a).total_cmp(&closeness(b)));
    best.filter(|name| closeness(name) > 0.8).map_or_else(String::new, |name| format!("; did you mean {name}?"))
}
