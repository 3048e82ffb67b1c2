//! Patterns of channel names: literal text, `{user}` at most once, `*` for the rest at most once and at the end.

use std::fmt;

use realtime_protocol::MAX_NAME;

const USER: &str = "{user}";

/// A pattern of channel names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    prefix: Box<str>,
    /// What follows `{user}`, when there is one; up to its first character the id reaches.
    after_user: Option<Box<str>>,
    /// Whether anything may follow.
    rest: bool,
}

/// What a name has where the pattern has its placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<'n> {
    /// Whose channel it is, when the pattern has `{user}`.
    pub user: Option<&'n str>,
}

/// Why a pattern is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// No bytes at all.
    Empty,
    /// Longer than any channel name.
    TooLong,
    /// Control characters, which no channel name holds.
    Control,
    /// `*` before the end.
    StarInside,
    /// Two `{user}`.
    TwoUsers,
    /// `{user}*`, which would match the users whose ids merely begin alike.
    UserThenStar,
    /// A brace that is no `{user}`.
    Brace,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a pattern must not be empty; \"*\" matches every channel"),
            Self::TooLong => write!(f, "a pattern must not be longer than a channel name, {MAX_NAME} bytes"),
            Self::Control => f.write_str("a pattern must not contain control characters, as no channel name does"),
            Self::StarInside => f.write_str("* matches the rest of the name, so it must come last"),
            Self::TwoUsers => f.write_str("{user} may come only once"),
            Self::UserThenStar => {
                f.write_str("{user}* would open u12's channels to u1; put a character between, as in user:{user}:*")
            }
            Self::Brace => f.write_str("the only placeholder is {user}; other braces are not allowed"),
        }
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// Reads a pattern as the configuration has it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > MAX_NAME + USER.len() {
            return Err(PatternError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(PatternError::Control);
        }
        let (literal, rest) = match text.strip_suffix('*') {
            Some(literal) => (literal, true),
            None => (text, false),
        };
        if literal.contains('*') {
            return Err(PatternError::StarInside);
        }
        let (prefix, after_user) = match literal.split_once(USER) {
            Some((_, after)) if after.contains(USER) => return Err(PatternError::TwoUsers),
            Some((_, "")) if rest => return Err(PatternError::UserThenStar),
            Some((prefix, after)) => (prefix, Some(after)),
            None => (literal, None),
        };
        if [prefix, after_user.unwrap_or_default()].iter().any(|part| part.contains(['{', '}'])) {
            return Err(PatternError::Brace);
        }
        Ok(Self { text: text.into(), prefix: prefix.into(), after_user: after_user.map(Into::into), rest })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it names the user.
    pub fn has_user(&self) -> bool {
        self.after_user.is_some()
    }

    /// Whether it matches only names that ask for protection by themselves.
    pub fn is_protected(&self) -> bool {
        ["private-", "presence-"].iter().any(|start| self.prefix.starts_with(start))
    }

    /// Whether every name that `other` matches is surely matched by this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.covers_all_from(&other.prefix) || self == other
    }

    /// Whether it matches every name that begins with `prefix`.
    pub fn covers_all_from(&self, prefix: &str) -> bool {
        self.rest && self.after_user.is_none() && prefix.starts_with(&*self.prefix)
    }

    /// Whether `name` has this shape, and whose it then is.
    pub fn matches<'n>(&self, name: &'n str) -> Option<Match<'n>> {
        let tail = name.strip_prefix(&*self.prefix)?;
        let Some(after) = &self.after_user else {
            return (self.rest || tail.is_empty()).then_some(Match { user: None });
        };
        let end = match after.chars().next() {
            Some(stop) => tail.find(stop)?,
            None => tail.len(),
        };
        let (user, tail) = tail.split_at(end);
        let tail = tail.strip_prefix(&**after)?;
        (self.rest || tail.is_empty()).then_some(Match { user: Some(user) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user<'n>(pattern: &str, name: &'n str) -> Option<Option<&'n str>> {
        Pattern::parse(pattern).unwrap().matches(name).map(|found| found.user)
    }

    #[test]
    fn a_star_matches_the_rest_and_literals_match_themselves() {
        assert_eq!(user("orders.*", "orders.42.items"), Some(None));
        assert_eq!(user("orders.*", "orders."), Some(None));
        assert_eq!(user("orders.*", "orders"), None);
        assert_eq!(user("orders.*", "my-orders.1"), None);
        assert_eq!(user("*", "anything"), Some(None));
        assert_eq!(user("orders", "orders"), Some(None));
        assert_eq!(user("orders", "orders.1"), None);
        assert_eq!(user("a.c", "abc"), None);
    }

    #[test]
    fn the_user_reaches_up_to_the_character_that_follows() {
        assert_eq!(user("user:{user}:*", "user:u7:a:b"), Some(Some("u7")));
        assert_eq!(user("user:{user}", "user:u7:a"), Some(Some("u7:a")));
        assert_eq!(user("{user}.inbox", "u7.inbox"), Some(Some("u7")));
        assert_eq!(user("{user}.inbox", "u7.x.inbox"), None);
        assert_eq!(user("{user}é*", "ué"), Some(Some("u")));
        assert_eq!(user("user:{user}:*", "user:u7"), None);
    }

    #[test]
    fn a_pattern_covers_what_is_below_it() {
        let covers = |a: &str, b: &str| Pattern::parse(a).unwrap().covers(&Pattern::parse(b).unwrap());
        assert!(covers("*", "user:{user}:*"));
        assert!(covers("orders.*", "orders.42"));
        assert!(covers("orders", "orders"));
        assert!(!covers("orders.42", "orders.*"));
        assert!(!covers("user:{user}:*", "user:u7:x"));
        assert!(!covers("orders", "orders.42"));
    }

    #[test]
    fn patterns_that_cannot_mean_what_they_say_are_refused() {
        for (text, error) in [
            ("", PatternError::Empty),
            ("a*b", PatternError::StarInside),
            ("**", PatternError::StarInside),
            ("{user}:{user}", PatternError::TwoUsers),
            ("user_{user}*", PatternError::UserThenStar),
            ("user:{id}", PatternError::Brace),
            ("a}", PatternError::Brace),
            ("a\tb", PatternError::Control),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(Pattern::parse(&"a".repeat(207)), Err(PatternError::TooLong));
    }
}
