use realtime_server::config::PublisherKey;

use crate::program::Setup;

#[test]
fn the_effective_configuration_is_printed_with_its_sources() {
    let setup = Setup::new("max_channels = 5\n").variable("REALTIME_MAX_MESSAGE", "1KiB");
    let outcome = setup.run(&["check-config", "--log-level", "debug"]);
    assert_eq!((outcome.code, &*outcome.err), (Some(0), ""));
    let file = setup.arg("realtime.toml");
    for line in [
        format!("# The effective configuration, read from {file}, REALTIME_ variables and flags."),
        format!("max_channels = 5  # {file}:1"),
        "max_message = \"1KiB\"  # REALTIME_MAX_MESSAGE".to_owned(),
        "log_level = \"debug\"  # --log-level".to_owned(),
        "listen = \"127.0.0.1:8080\"  # default".to_owned(),
    ] {
        assert!(outcome.out.lines().any(|found| found == line), "{line}\n{}", outcome.out);
    }
}

#[test]
fn every_mistake_is_printed_with_its_line_and_the_exit_code_is_2() {
    let setup = Setup::new("max_chanels = 5\nlisten = 80\n").variable("REALTIME_SHARDS", "many");
    for command in ["check-config", "start", "doctor"] {
        let outcome = setup.run(&[command]);
        assert_eq!((outcome.code, &*outcome.out), (Some(2), ""), "{command}");
        let file = setup.arg("realtime.toml");
        assert_eq!(
            outcome.err.lines().collect::<Vec<_>>(),
            [
                format!("realtime-server: {file}:1: unknown key \"max_chanels\"; did you mean max_channels?"),
                format!(
                    "realtime-server: {file}:2: listen: this must be an address in quotes, as in \"127.0.0.1:8080\", not the \
                 number 80"
                ),
                "realtime-server: REALTIME_SHARDS: shards: \"many\" is not a number".to_owned(),
            ]
        );
    }
}

#[test]
fn an_unknown_variable_warns_only() {
    let outcome = Setup::new("").variable("REALTIME_LISTN", "x").run(&["check-config", "--quiet"]);
    assert_eq!((outcome.code, &*outcome.out), (Some(0), ""));
    assert_eq!(
        outcome.err,
        "warning: the variable \"REALTIME_LISTN\" is ignored: there is no such key; did you mean REALTIME_LISTEN?\n"
    );
}

#[test]
fn a_channel_is_explained_for_a_user() {
    let setup =
        Setup::new("insecure_identity = true\n[[channels]]\npattern = \"user:{user}:*\"\nsubscribe = \"user\"\n");
    let ask = |args: &[&str]| setup.run(&[&["check-config", "--channel"], args].concat()).out;
    assert_eq!(
        ask(&["user:u7:orders", "--user", "u7"]),
        "\"user:u7:orders\" for user \"u7\":\n\
         subscribe: allowed (rule 1: pattern \"user:{user}:*\", subscribe \"user\")\n\
         publish: refused: clients may not publish in this channel; publish through PHP, or let them by publish = \
         \"user\" in the channel's rule (rule 1: pattern \"user:{user}:*\", publish \"nobody\")\n\
         presence.visible_to: allowed (rule 1: pattern \"user:{user}:*\", presence.visible_to \"user\")\n\
         history: none; presence: none; overflow: disconnect\n"
    );
    assert!(
        ask(&["user:u7:orders", "--user", "u8"]).contains("subscribe: refused: this channel belongs to another user")
    );
    let nobody = ask(&["user:u7:orders"]);
    assert!(
        nobody.contains("a connection without a user:\nsubscribe: refused: this channel is for known users"),
        "{nobody}"
    );
    assert!(ask(&["news"]).contains("subscribe: allowed (no rule matches; the default is \"anyone\")"));
    assert!(ask(&["private-x"]).contains("subscribe: refused: channels that begin with private-"));
    assert!(ask(&["private-x", "--token"]).contains("with a token that names it:\nsubscribe: allowed"));
    let outcome = setup.run(&["check-config", "--channel", ""]);
    assert_eq!((outcome.code, &*outcome.err), (Some(2), "realtime-server: channel names must not be empty\n"));
}

#[test]
fn a_file_that_is_named_must_exist() {
    let outcome = Setup::new("").run(&["check-config", "--config", "/nonexistent.toml"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.err.contains("cannot read the configuration file /nonexistent.toml"), "{}", outcome.err);
}

#[test]
fn wrong_usage_exits_with_2_and_there_is_no_flag_for_the_key() {
    let setup = Setup::new("");
    for args in [&["nonsense"][..], &["start", "--publisher-key", "rtk_x"], &["publish", "a"], &[]] {
        assert_eq!(setup.run(args).code, Some(2), "{args:?}");
    }
    assert_eq!(setup.run(&["--help"]).code, Some(0));
}

#[test]
fn key_prints_a_new_key_each_time() {
    let setup = Setup::new("");
    let key = || setup.run(&["key"]).out.trim_end().parse::<PublisherKey>().unwrap();
    assert_ne!(key(), key());
}

#[test]
fn version_is_the_crates() {
    let outcome = Setup::new("").run(&["version"]);
    assert_eq!(outcome.out, format!("realtime-server {}\n", env!("CARGO_PKG_VERSION")));
}
