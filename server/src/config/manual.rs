//! `docs/configuration.md`, written from the table of keys.

use std::fmt::Write as _;

use super::keys::{Group, KEYS, Key, PUBLISHER_KEYS, RULE_KEYS, RuleKey};
use super::{Config, DEFAULT_FILE};

/// The manual's page about the configuration, as Markdown.
pub fn manual() -> String {
    let mut page = INTRODUCTION.replace("DEFAULT_FILE", DEFAULT_FILE);
    for group in Group::ALL {
        heading(&mut page, group.title());
        for key in KEYS.iter().filter(|key| key.group == *group) {
            entry(&mut page, key);
        }
    }
    page.push_str(PUBLISHERS);
    for key in PUBLISHER_KEYS {
        table_entry(&mut page, key, |default| format!("default: {default}"));
    }
    page.push_str(AFTER_PUBLISHERS);
    page.push_str(TOKEN_KEYS);
    page.push_str(RULES);
    for key in RULE_KEYS {
        table_entry(&mut page, key, |default| format!("default `{default}`"));
    }
    page.push_str(AFTER_RULES);
    page
}

fn table_entry(page: &mut String, key: &RuleKey, default: fn(&str) -> String) {
    let default = key.default.map_or("required".to_owned(), default);
    wrap(page, "* ", &format!("`{}` ({default}): {}", key.name, key.doc));
}

fn heading(page: &mut String, title: &str) {
    let _ = write!(page, "\n## {title}\n");
}

fn entry(page: &mut String, key: &Key) {
    let default = match key.default {
        Some(words) => words.to_owned(),
        None => format!("`{}`", key.field.show(&Config::default()).unwrap_or_default()),
    };
    // Writing to a string cannot fail.
    let _ = write!(page, "\n### `{}`\n\n", key.name);
    wrap(page, "", key.doc);
    page.push('\n');
    wrap(page, "* ", &format!("Default: {default}"));
    let flag = key.flag().map_or_else(String::new, |flag| {
        let value = if key.is_switch() { String::new() } else { format!(" {}", key.placeholder()) };
        format!("; flag: `--{flag}{value}`")
    });
    wrap(page, "* ", &format!("Variable: `{}`{flag}", key.variable()));
    if key.reloads {
        wrap(page, "* ", "SIGHUP takes a new value over");
    }
}

/// Adds a paragraph in lines of the manual's width. `mark` begins the first line; the others line up with its text.
fn wrap(page: &mut String, mark: &str, text: &str) {
    const WIDTH: usize = 120;
    let mut column = mark.len();
    page.push_str(mark);
    for (index, word) in text.split(' ').enumerate() {
        let width = word.chars().count();
        if index > 0 && column + 1 + width > WIDTH {
            page.push('\n');
            page.extend(std::iter::repeat_n(' ', mark.len()));
            column = mark.len();
        } else if index > 0 {
            page.push(' ');
            column += 1;
        }
        page.push_str(word);
        column += width;
    }
    page.push('\n');
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Written by the server's own table of keys: `UPDATE_DOCS=1 cargo test -p realtime-server manual`. -->

The server runs without any configuration. What there is to set comes from, later ones winning:

1. the file that `--config FILE` or `REALTIME_CONFIG` names, else `DEFAULT_FILE` if it exists;
2. variables: `REALTIME_` and the key in capitals, with `__` between table and key; lists separated by commas. An empty
   variable counts as not set (for a list: as an empty list);
3. flags: the key with `-` for `_`.

Durations and sizes have units: `\"500ms\"`, `\"25s\"`, `\"5m\"`, `\"1h\"`; `\"512B\"`, `\"64KiB\"`, `\"1MiB\"`.

Unknown keys in the file and values that do not fit refuse the start; unknown `REALTIME_` variables are warned of.
`realtime-server check-config` prints every mistake with its line, or the effective configuration and where each value
comes from. With `--channel NAME`, and `--user ID` or `--token`, it says who may do what in a channel, by which rule,
and what is kept of it.

`SIGHUP` reads everything again and takes over what can change while running: the publisher keys, the allowed
origins, the keys of tokens and the rules. When anything is wrong, all stays as it was, and the log says why. Other keys
need a restart.
";

const TOKEN_KEYS: &str = "
## Keys of tokens

`tokens.keys` is a list in the file, for more than one secret, or for public keys. A token that names a key in its
header (`kid`) is verified with that one, else with each. So a new key is added, then used, and the old one is taken out
once the last token that was made with it has run out: [rotation](authentication.md#another-secret). Whoever was let in
by a key that a reload does not find any more is closed.

```toml
[tokens]
algorithm = \"HS256\"
keys = [
    { kid = \"2026\", file = \"/etc/realtime/token-2026.secret\" },
    { kid = \"2025\", secret = \"…\" },
]
```

With `\"RS256\"`, `\"ES256\"` or `\"EdDSA\"` each `file` holds a public key in PEM.
";

const PUBLISHERS: &str = "
## Publishers with names

Who has `publisher_key`, or may open the unix socket, may publish everything. Others get a key of their own, for some
channels only, each in a `[[publishers]]` table of the file:

```toml
[[publishers]]
name = \"shop\"
key_file = \"/etc/realtime/shop.key\"
channels = [\"orders.*\", \"stock\"]
publications_per_second = 200
```

";

const AFTER_PUBLISHERS: &str = "
What a key is not for is refused with `forbidden`; in an array of commands, or in one for several channels, the others
are carried out. A key with `channels` lists channels only by a prefix within them, and makes no backup.

To change a key without a gap, let the old one stay for a while under another name (the one of `publisher_key` without
`channels`), give the new one to those who publish, and remove the old one. On SIGHUP connections of a key that is gone
are closed with 4001 at once; the others stay, with the rights that their key has now.
";

const RULES: &str = "
## Channel rules

Each `[[channels]]` table in the file is a rule; the first whose pattern matches counts. Where none matches, anyone may
subscribe, or, once [tokens](#tokens) are configured, those whose token names the channel. Channels whose names begin
with `private-` or `presence-` need such a token whatever the rules say. Rules cannot be set by variables or flags.

```toml
[[channels]]
pattern = \"user:{user}:*\"
subscribe = \"user\"

[[channels]]
pattern = \"orders.*\"
history.size = 100
history.ttl = \"24h\"

[[channels]]
pattern = \"internal.*\"
subscribe = \"nobody\"
```

";

const AFTER_RULES: &str = "
What is sent to users (`sendToUser()`) has one rule of its own, with the same keys for history and `overflow`:

```toml
[users]
history.size = 100
history.ttl = \"7d\"
history.store = \"disk\"
```

What a rule says about history, presence and overflow counts for a channel from when it is next unused; who may
subscribe, for subscriptions from then on: those that stand are not ended.

In `user:{user}:*` the id reaches up to the next `:`, so a user whose id contains a `:` matches no channel at all. A
channel that has the pattern's shape and another user's id is refused by that rule; it does not go on to the next one.
So put exceptions first.

Rules cap what tokens say: a token that names `user:u8:orders` does not open it to `u7`, and none opens what is for
`\"nobody\"`. A connection has a user by its token, or by a claimed id under `insecure_identity`.
";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_manual_says_what_the_table_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, manual()).unwrap();
        }
        let page = fs::read_to_string(&path).unwrap();
        assert!(
            page == manual(),
            "docs/configuration.md is out of date: UPDATE_DOCS=1 cargo test -p realtime-server manual"
        );
    }

    #[test]
    fn no_line_of_the_manual_is_too_wide_to_read() {
        let wide: Vec<_> = manual().lines().filter(|line| line.chars().count() > 120).map(str::to_owned).collect();
        assert_eq!(wide, Vec::<String>::new());
    }

    #[test]
    fn every_key_is_documented_in_a_sentence() {
        for key in KEYS {
            assert!(key.doc.ends_with('.'), "{}", key.name);
            assert!(key.default.is_some() || key.field.show(&Config::default()).is_some(), "{}", key.name);
        }
    }
}
