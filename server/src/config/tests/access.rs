//! Who may do what: rules, publishers, and the keys of both publishers and tokens.

use super::*;

#[test]
fn rules_are_read_in_order_and_their_mistakes_have_lines() {
    let file = "\
[[channels]]
pattern = \"user:{user}:*\"
subscribe = \"user\"
[[channels]]
pattern = \"news.*\"
";
    let rules = given(file).config().channels;
    assert_eq!(rules.iter().map(|rule| rule.subscribe).collect::<Vec<_>>(), [Some(crate::rules::Access::User), None]);
    let file = "\
[[channels]]
subscribe = \"anyone\"
[[channels]]
patern = \"a\"
pattern = \"a*b\"
[[channels]]
pattern = \"x\"
subscribe = \"all\"
";
    assert_eq!(
        given(file).mistakes(),
        [
            "realtime.toml:1: a rule of [[channels]] needs a pattern, as in pattern = \"orders.*\"",
            "realtime.toml:4: unknown key \"patern\" in a rule of [[channels]]; did you mean pattern?",
            "realtime.toml:5: pattern: \"a*b\": * matches the rest of the name, so it must come last",
            "realtime.toml:8: subscribe: \"all\" is none of \"anyone\", \"user\", \"token\", \"nobody\"",
        ]
    );
    let open = "[[channels]]\npattern = \"u:{user}\"";
    let mistake =
        "realtime.toml:1: a rule with {user} in its pattern needs subscribe = \"user\", \"token\" or \"nobody\"";
    assert_eq!(given(open).mistakes(), [mistake]);
    let with_tokens = format!("tokens.secret = \"{}\"\n{open}", "s".repeat(32));
    assert_eq!(given(&with_tokens).config().channels[0].subscribe, None, "it is for tokens then");
    for file in ["[channels]\npattern = \"a\"", "channels = [1]"] {
        assert_eq!(given(file).mistakes().len(), 1, "{file}");
    }
}

#[test]
fn rules_that_do_not_do_what_they_seem_to_are_warned_of() {
    let file = "\
[[channels]]
pattern = \"private-*\"
[[channels]]
pattern = \"vault\"
subscribe = \"token\"
[[channels]]
pattern = \"*\"
[[channels]]
pattern = \"late\"
";
    let warnings = given(file).warnings();
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    assert!(warnings[0].contains("realtime.toml:1: \"private-*\" needs a token whatever the rule says"));
    assert!(warnings[1].contains("realtime.toml:3: subscribe = \"token\" for \"vault\" admits nobody"));
    assert!(warnings[2].contains("realtime.toml:8: the rule for \"late\" never counts, since rule 3 comes first"));
}

#[test]
fn the_key_comes_from_a_file_of_its_own_too() {
    let given = given("");
    let path = given.write("key", &format!("{}\n", key().secret()), 0o600);
    let given = given.flag("publisher_key_file", &path);
    assert_eq!(given.config().publisher_key, Some(key()));
    assert_eq!(given.warnings(), Vec::<String>::new());
    given.write("key", "hunter2", 0o600);
    assert_eq!(
        given.mistakes(),
        [
            "--publisher-key-file: publisher_key_file: key holds no publisher key: a publisher key begins with rtk_; make \
         one with: realtime-server key"
        ]
    );
}

#[test]
fn the_key_and_the_file_with_the_key_exclude_each_other_in_one_source() {
    let beside = given("");
    let path = beside.write("key", key().secret(), 0o600);
    let both = given(&format!("publisher_key = {:?}\npublisher_key_file = {path:?}", key().secret()));
    assert_eq!(both.mistakes(), ["realtime.toml:2: set publisher_key or publisher_key_file, not both"]);
    let other = PublisherKey::generate().unwrap();
    let later =
        given(&format!("publisher_key_file = {path:?}")).variable("REALTIME_PUBLISHER_KEY", other.secret()).config();
    assert_eq!((later.publisher_key, later.publisher_key_file), (Some(other), None));
}

#[test]
fn secrets_that_everybody_can_read_are_warned_of() {
    let given = given("");
    let path = given.write("key", key().secret(), 0o644);
    let warnings = given.flag("publisher_key_file", &path).warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].ends_with(&format!("mend it with: chmod o-r {path}")), "{warnings:?}");
}

#[test]
fn no_mistake_and_no_output_shows_the_key() {
    let secret = "rtk_not-quite-a-key-but-a-secret-all-the-same";
    let mistakes = given(&format!("publisher_key = {secret:?}")).mistakes();
    assert!(!mistakes[0].contains("secret-all"), "{mistakes:?}");
    let given = given(&format!("publisher_key = {:?}", key().secret()));
    let loaded = load(&given.sources).unwrap();
    assert!(!loaded.effective().contains(key().secret()));
    assert!(!format!("{loaded:?}").contains(key().secret()));
}

#[test]
fn publishers_are_read_with_what_they_may_do() {
    let given = given("");
    let path = given.write("shop.key", key().secret(), 0o600);
    let other = PublisherKey::generate().unwrap();
    let file = format!(
        "[[publishers]]\nname = \"shop\"\nkey_file = {path:?}\nchannels = [\"orders.*\", \"stock\"]\n\
         publications_per_second = 5\n[[publishers]]\nname = \"cron\"\nkey = {:?}\n",
        other.secret()
    );
    given.write("realtime.toml", &file, 0o600);
    let loaded = load(&given.sources).unwrap();
    let [shop, cron] = &loaded.config.publishers[..] else { panic!("{loaded:?}") };
    assert_eq!((&*shop.name, &shop.key, shop.users, shop.publications_per_second), ("shop", &key(), false, Some(5)));
    let patterns: Vec<_> = shop.channels.iter().flatten().map(Pattern::as_str).collect();
    assert_eq!(patterns, ["orders.*", "stock"]);
    assert_eq!((&*cron.name, &cron.key, cron.users, cron.channels.is_none()), ("cron", &other, true, true));
    let text = loaded.effective();
    assert!(!text.contains(key().secret()) && !text.contains(other.secret()), "{text}");
    assert!(text.contains(&format!("[[publishers]]\nname = \"shop\"\nkey_file = {path:?}\nchannels = [\"orders.*\"")));
    assert!(text.contains("# [[publishers]]\n# name = \"cron\"\n# key is set and not shown\n"), "{text}");
    given.write("realtime.toml", &text, 0o600);
    let again = given.config().publishers;
    assert_eq!(format!("{again:?}"), format!("{:?}", &loaded.config.publishers[..1]));
}

#[test]
fn mistakes_in_publishers_have_lines_and_show_no_key() {
    let secret = key().secret().to_owned();
    let file = format!(
        "publisher_key = \"{secret}\"
[[publishers]]
key = \"{secret}\"
[[publishers]]
name = \"unix\"
[[publishers]]
name = \"a b\"
chanels = [\"x\"]
[[publishers]]
name = \"x\"
key = \"{secret}x\"
channels = [\"user:{{user}}\"]
[[publishers]]
name = \"y\"
[[publishers]]
name = \"z\"
key = \"{secret}\"
"
    );
    let mistakes = given(&file).mistakes();
    let expected = [
        "realtime.toml:2: one of [[publishers]] needs a name",
        "realtime.toml:5: name: \"unix\" is the server's own name",
        "realtime.toml:7: name: \"a b\" is no name; write 1 to 64 letters",
        "realtime.toml:8: unknown key \"chanels\" in one of [[publishers]]; did you mean channels?",
        "realtime.toml:11: key: not a publisher key: a publisher key has 43 characters",
        "realtime.toml:12: channels: \"user:{user}\": a publisher is no user; write * instead of {user}",
        "realtime.toml:13: the publisher \"y\" needs key_file, as in key_file = \"/etc/realtime/y.key\"",
        "realtime.toml:15: the publisher \"z\" has the same key as \"publisher_key\"",
    ];
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake}\n{expected}");
        assert!(!mistake.contains(&secret), "{mistake}");
    }
    for file in ["publishers = 1", "publishers = [1]", "[publishers]\nname = \"x\""] {
        assert_eq!(given(file).mistakes().len(), 1, "{file}");
    }
    let twice = |n| format!("[[publishers]]\nname = \"x\"\nkey = {n:?}\n");
    let mistakes = given(&(twice(&*secret) + &twice(PublisherKey::generate().unwrap().secret()))).mistakes();
    assert_eq!(mistakes, ["realtime.toml:4: there is a publisher \"x\" before; a name stands for one"]);
}

#[test]
fn keys_of_publishers_that_everybody_can_read_are_warned_of() {
    let given = given("");
    let path = given.write("shop.key", key().secret(), 0o644);
    given.write("realtime.toml", &format!("[[publishers]]\nname = \"shop\"\nkey_file = {path:?}"), 0o600);
    assert_eq!(given.warnings().len(), 1);
    given.write("realtime.toml", &format!("[[publishers]]\nname = \"shop\"\nkey = {:?}", key().secret()), 0o644);
    let warnings = given.warnings();
    assert!(warnings.len() == 1 && warnings[0].ends_with("realtime.toml"), "{warnings:?}");
}

#[test]
fn a_key_in_the_wrong_place_is_not_shown_either() {
    let key = key();
    let secret = key.secret();
    for file in [
        format!("publisher_key_file = {secret:?}"),
        format!("listen = {secret:?}"),
        format!("{secret} = 1"),
        format!("allowed_origins = \'\'\'\npublisher_key = {secret:?}\n\'\'\'"),
    ] {
        let told = given(&file).mistakes().join("\n");
        assert!(!told.contains(&secret[..16]) && told.contains("rtk_…"), "{told}");
    }
}

#[test]
fn keys_from_a_url_without_an_audience_are_warned_of() {
    let tokens =
        |audience: &str| format!("[tokens]\nalgorithm = \"RS256\"\njwks_url = \"https://example.com/\"\n{audience}");
    let warnings = given(&tokens("")).warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("set tokens.audience"), "{warnings:?}");
    assert_eq!(given(&tokens("audience = \"shop\"")).warnings(), Vec::<String>::new());
}

#[test]
fn keys_of_tokens_come_from_the_file_and_one_secret_from_anywhere() {
    let secret = "s".repeat(32);
    let kids = |config: Config| config.tokens.keys.iter().map(|key| key.kid().map(str::to_owned)).collect::<Vec<_>>();
    let of = given("");
    let file = of.write("token.secret", &format!("{secret}\n"), 0o600);
    let keys =
        format!("[tokens]\nkeys = [{{ kid = \"a\", secret = \"{secret}\" }}, {{ kid = \"b\", file = {file:?} }}]");
    let given_keys = given(&keys).variable("REALTIME_TOKENS__SECRET", &secret).config();
    assert_eq!(kids(given_keys), [Some("a".to_owned()), Some("b".to_owned()), None]);
    assert_eq!(kids(given("").config()), Vec::<Option<String>>::new());
    let text = load(&given(&keys).sources).unwrap().effective();
    assert!(text.contains("# the keys of tokens are set and not shown (a, b)") && !text.contains(&secret), "{text}");
}

#[test]
fn keys_of_tokens_that_are_none_are_refused_without_showing_them() {
    for (file, mistake) in [
        (
            "[tokens]\nsecret = \"hunter2\"",
            "realtime.toml:2: a key of tokens: a secret has at least 32 bytes, and this one 7",
        ),
        ("[tokens]\nsecret = 5", "realtime.toml:2: tokens.secret: this must be a text in quotes"),
        ("[tokens]\nkeys = [{ kid = \"a\" }]", "realtime.toml:2: tokens.keys: a key has either a secret or a file"),
        ("[tokens]\nkeys = [{ secrt = \"x\" }]", "unknown key \"secrt\" in tokens.keys; did you mean secret?"),
        ("[tokens]\nkeys = [{ secret = \"\" }]", "tokens.keys: secret must not be empty"),
        ("[tokens]\nkeys = [1]", "a key must be a table, not the number 1"),
        ("[tokens]\nkeys = [{ file = \"/nonexistent\" }]", "cannot read the key file /nonexistent"),
        ("[tokens]\nalgorithm = \"RS256\"\nsecret = \"x\"", "RS256 has public keys, each in a PEM file"),
        ("[tokens]\nalgorithm = \"none\"", "\"none\" is none of \"HS256\""),
        ("[tokens]\njwks_url = \"http://example.com/\"", "keys over plain http could be anybody's"),
        ("[tokens]\njwks_url = \"https://example.com/\"", "tokens.jwks_url has public keys, and HS256 has none"),
        ("[tokens]\nrequired = true", "tokens.required admits nobody"),
        (
            "[tokens]\nkeys = [\n{ kid = \"a\", secret = \"hunter2hunter2hunter2hunter2hunter2\" },\n\
             { kid = \"a\", secret = \"hunter2hunter2hunter2hunter2hunter3\" }]",
            "realtime.toml:4: tokens.keys: there is a key with the kid \"a\" before; a kid names one key",
        ),
    ] {
        let mistakes = given(file).mistakes();
        assert!(mistakes[0].contains(mistake), "{file}: {mistakes:?}");
        assert!(!mistakes.concat().contains("hunter2"), "{mistakes:?}");
    }
}
