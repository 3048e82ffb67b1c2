//! Reading the configuration: each test is a file, variables and flags, and what comes of them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{fs, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::rules::Pattern;

mod access;

/// A directory with a configuration file.
struct Given {
    dir: TempDir,
    sources: Sources,
}

fn given(file: &str) -> Given {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("realtime.toml");
    fs::write(&path, file).unwrap();
    Given { dir, sources: Sources { file: Some(path), ..Sources::default() } }
}

impl Given {
    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.variables.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, name: &'static str, value: &str) -> Self {
        self.sources.flags.push((name, value.into()));
        self
    }

    fn config(&self) -> Config {
        load(&self.sources).unwrap().config
    }

    fn warnings(&self) -> Vec<String> {
        load(&self.sources).unwrap().warnings
    }

    /// The mistakes, without the directory.
    fn mistakes(&self) -> Vec<String> {
        let dir = format!("{}/", self.dir.path().display());
        load(&self.sources).unwrap_err().iter().map(|mistake| mistake.to_string().replace(&dir, "")).collect()
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    }
}

fn key() -> PublisherKey {
    format!("rtk_{}", "k".repeat(43)).parse().unwrap()
}

#[test]
fn without_any_source_the_defaults_hold() {
    let (read, default) = (given("").config(), Config::default());
    assert_eq!(format!("{read:?}"), format!("{default:?}"));
    assert_eq!(default.listen.to_string(), "127.0.0.1:8080");
    assert!(default.shards >= 1);
}

#[test]
fn variables_win_over_the_file_and_flags_over_variables() {
    let file = "listen = \"127.0.0.1:1\"\nmax_channels = 1\nmax_message = \"1KiB\"";
    let given = given(file).variable("REALTIME_LISTEN", "127.0.0.1:2").variable("REALTIME_MAX_CHANNELS", "2");
    let config = given.flag("listen", "localhost:3").config();
    assert_eq!(config.listen.to_string(), "127.0.0.1:3");
    assert_eq!((config.max_channels, config.max_message), (2, 1024));
}

#[test]
fn every_kind_of_value_is_read_from_the_file() {
    let config = given(
        r#"
        listen = "[::1]:9000"
        unix_socket = "/srv/rt.sock"
        socket_mode = "0600"
        socket_group = "www-data"
        shards = 3
        insecure_identity = true
        allowed_origins = ["https://app.example.com", "null"]
        ping_interval = "1m"
        handshake_timeout = "500ms"
        outbox_max = "2MiB"
        log_level = "debug"
        log_format = "json"
        log_file = "/var/log/realtime.log"
        "#,
    )
    .config();
    assert_eq!(config.listen.to_string(), "[::1]:9000");
    assert_eq!(config.unix_socket, UnixSocket::Path("/srv/rt.sock".into()));
    assert_eq!((config.socket_mode, config.socket_group.as_deref()), (0o600, Some("www-data")));
    assert_eq!((config.shards, config.insecure_identity), (3, true));
    assert_eq!(
        config.allowed_origins.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["https://app.example.com", "null"]
    );
    assert_eq!((config.ping_interval, config.handshake_timeout), (Duration::from_secs(60), Duration::from_millis(500)));
    assert_eq!(config.outbox_max, 2 << 20);
    assert_eq!((config.log_level, config.log_format), (LogLevel::Debug, LogFormat::Json));
    assert_eq!(config.log_file.as_deref(), Some(Path::new("/var/log/realtime.log")));
}

#[test]
fn lists_in_variables_are_separated_by_commas_and_may_be_empty() {
    let file = "allowed_origins = [\"https://a.com\"]";
    let read = |value| given(file).variable("REALTIME_ALLOWED_ORIGINS", value).config().allowed_origins.len();
    assert_eq!(read("https://b.com, https://c.com"), 2);
    assert_eq!(read(""), 0);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let config = given("listen = \"127.0.0.1:1\"").variable("REALTIME_LISTEN", "").config();
    assert_eq!(config.listen.port(), 1);
}

#[test]
fn every_mistake_is_reported_with_its_line() {
    let file = "\
listen = \"example.com:80\"
max_chanels = 5
ping_interval = 25
max_message = \"64KB\"
shards = \"two\"
insecure_identity = \"yes\"
socket_mode = 660
allowed_origins = [
  \"https://fine.com\",
  \"wss://a.com\",
  7,
]
log_level = \"trace\"
max_channels = -1
outbox_max = \"1GiB\"
handshake_timeout = \"0s\"
listen_tls = true
[webhooks]
url = \"x\"
";
    assert_eq!(
        given(file).mistakes(),
        [
            "realtime.toml:1: listen: \"example.com:80\" is not IP:PORT, as in \"127.0.0.1:8080\" or \"[::]:8080\"",
            "realtime.toml:2: unknown key \"max_chanels\"; did you mean max_channels?",
            "realtime.toml:3: ping_interval: this must be a duration with its unit, as in \"25s\", not the number 25",
            "realtime.toml:4: max_message: \"64KB\" is not a size; write a number with B, KiB, MiB or GiB, as in \"64KiB\"",
            "realtime.toml:5: shards: this must be a number without quotes, not \"two\"",
            "realtime.toml:6: insecure_identity: this must be true or false without quotes, not \"yes\"",
            "realtime.toml:7: socket_mode: this must be permission bits in quotes, as in \"0660\", not the number 660",
            "realtime.toml:10: allowed_origins: \"wss://a.com\": an origin is the page's address, not the WebSocket's; \
         perhaps \"https://a.com\"",
            "realtime.toml:11: allowed_origins: this must be an origin in quotes, as in \"https://app.example.com\", not \
         the number 7",
            "realtime.toml:13: log_level: \"trace\" is none of \"error\", \"warn\", \"info\", \"debug\"",
            "realtime.toml:14: max_channels: the number -1 is no count",
            "realtime.toml:16: handshake_timeout: 0ms is out of range; it may be 100ms to 1h",
            "realtime.toml:17: unknown key \"listen_tls\"; did you mean listen?",
            "realtime.toml:18: unknown key \"webhooks\"",
        ]
    );
}

#[test]
fn a_key_of_the_server_below_a_table_is_sent_above_it() {
    let file = "[tokens]\nrequired = false\nlisten = \"127.0.0.1:1\"\n[[tokens.keys]]\ndev = true\n[[channels]]\npattern = \"a\"\nshards = 1\n\
                [[publishers]]\nname = \"shop\"\nlog_level = \"info\"\n";
    let hint = |name: &str| {
        format!(
            "{name} is a key of the whole server: write {name} = … above the first [table], since what follows one belongs to it"
        )
    };
    assert_eq!(
        given(file).mistakes(),
        [
            format!("realtime.toml:3: unknown key \"tokens.listen\"; {}", hint("listen")),
            format!("realtime.toml:5: unknown key \"dev\" in tokens.keys; {}", hint("dev")),
            format!("realtime.toml:8: unknown key \"shards\" in a rule of [[channels]]; {}", hint("shards")),
            format!("realtime.toml:11: unknown key \"log_level\" in one of [[publishers]]; {}", hint("log_level")),
        ]
    );
}

#[test]
fn a_file_that_is_not_toml_reports_its_lines_and_the_mistakes_elsewhere() {
    let mistakes = given("listen = \nshards = 2\nlog_level = trace\nmax_chanels = 1\n").mistakes();
    assert_eq!(mistakes.len(), 3, "{mistakes:#?}");
    assert!(mistakes[0].starts_with("realtime.toml:1: not valid TOML: "), "{mistakes:#?}");
    assert!(mistakes[1].starts_with("realtime.toml:3: not valid TOML: "), "{mistakes:#?}");
    assert!(mistakes[2].starts_with("realtime.toml:4: unknown key"), "{mistakes:#?}");
    assert_eq!(given("shards = 1\nshards = 2").mistakes().len(), 1);
}

#[test]
fn mistakes_of_variables_and_flags_name_them() {
    let both = given("").variable("REALTIME_SHARDS", "two").flag("listen", "8080");
    assert_eq!(
        both.mistakes(),
        [
            "REALTIME_SHARDS: shards: \"two\" is not a number",
            "--listen: listen: \"8080\" is not IP:PORT, as in \"127.0.0.1:8080\" or \"[::]:8080\"",
        ]
    );
    let mut foreign = given("");
    foreign.sources.variables.push(("REALTIME_LOG_FILE".into(), OsString::from_vec(vec![0xff])));
    assert_eq!(load(&foreign.sources).unwrap_err().to_string(), "REALTIME_LOG_FILE: log_file: the value is not UTF-8");
}

#[test]
fn unknown_variables_of_ours_warn_and_foreign_ones_are_nobodys_business() {
    let given = given("").variable("REALTIME_LISTN", "x").variable("REALTIME_CHANNELS", "x").variable("PATH", "/bin");
    assert_eq!(
        given.warnings(),
        [
            "the variable REALTIME_CHANNELS is ignored: rules for channels can be set only in the file",
            "the variable \"REALTIME_LISTN\" is ignored: there is no such key; did you mean REALTIME_LISTEN?",
        ]
    );
}

#[test]
fn the_file_may_be_named_by_a_variable_and_must_then_exist() {
    let mut given = given("shards = 7");
    let path = given.sources.file.take().unwrap();
    given = given.variable("REALTIME_CONFIG", path.to_str().unwrap());
    assert_eq!(given.config().shards, 7);
    fs::remove_file(path).unwrap();
    let mistake = given.mistakes().remove(0);
    assert!(mistake.starts_with("cannot read the configuration file realtime.toml: No such file"), "{mistake}");
}

#[test]
fn dev_switches_insecure_identity_on_and_stays_on_this_machine() {
    assert!(given("dev = true").config().insecure_identity);
    let mistakes = given("listen = \"0.0.0.0:8080\"").flag("dev", "true").mistakes();
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].starts_with("realtime.toml:1: dev admits publishers without a key"), "{mistakes:?}");
}

#[test]
fn the_proxy_protocol_needs_proxies_and_is_not_for_development() {
    let mistakes = given("proxy_protocol = true").mistakes();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].starts_with("realtime.toml:1: proxy_protocol admits trusted_proxies only"), "{mistakes:?}");
    let trusted = "proxy_protocol = true\ntrusted_proxies = [\"10.0.0.1\"]";
    assert!(given(trusted).config().proxy_protocol);
    let mistakes = given(trusted).flag("dev", "true").mistakes();
    assert_eq!(mistakes, ["realtime.toml:1: dev must not stand behind a proxy, so it does not go with proxy_protocol"]);
}

#[test]
fn the_echo_stays_on_this_machine() {
    assert!(!given("").config().echo);
    assert!(given("listen = \"[::1]:0\"").flag("echo", "true").config().echo);
    let mistakes = given("listen = \"0.0.0.0:8080\"").flag("echo", "true").mistakes();
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].starts_with("realtime.toml:1: echo is for tests on this machine"), "{mistakes:?}");
    let mistakes = given("tls_listen = \"0.0.0.0:8443\"").flag("echo", "true").mistakes();
    let start = "realtime.toml:1: echo is for tests on this machine and does not go with tls_listen = \"0.0.0.0:8443\"";
    assert!(mistakes.iter().any(|mistake| mistake.starts_with(start)), "{mistakes:?}");
}

#[test]
fn an_outbox_holds_at_least_one_publication() {
    let mistakes = given("outbox_max = \"64KiB\"").mistakes();
    assert_eq!(
        mistakes,
        ["realtime.toml:1: outbox_max is 64KiB, too little for one publication of max_publication, 64KiB; make it at \
         least 65KiB"]
    );
}

#[test]
fn the_effective_configuration_sets_the_same_again() {
    let file = r#"
        listen = "[::1]:9000"
        unix_socket = "off"
        socket_group = "a\"b\\c"
        allowed_origins = ["https://*.example.com:8443", "null"]
        ping_interval = "90s"
        log_file = "/var/log/\u007f\n"
        dev = true
        [[channels]]
        pattern = "user:{user}:*"
        subscribe = "user"
    "#;
    let first = load(&given(file).variable("REALTIME_SHARDS", "5").sources).unwrap();
    let second = load(&given(&first.effective()).sources).unwrap();
    assert_eq!(format!("{:?}", first.config), format!("{:?}", second.config), "{}", first.effective());
}

#[test]
fn the_effective_configuration_says_where_each_value_comes_from() {
    let loaded = load(&given("shards = 2").variable("REALTIME_MAX_CHANNELS", "3").flag("log_level", "debug").sources);
    let text = loaded.unwrap().effective();
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("shards").ends_with("realtime.toml:1"), "{text}");
    assert_eq!(line("max_channels"), "max_channels = 3  # REALTIME_MAX_CHANNELS");
    assert_eq!(line("log_level"), "log_level = \"debug\"  # --log-level");
    assert_eq!(line("max_message"), "max_message = \"64KiB\"  # default");
    assert_eq!(line("log_file"), "# log_file is not set: stderr");
}

#[test]
fn what_a_reload_cannot_change_is_named() {
    let running = given("").config();
    let new = given("shards = 64\nallowed_origins = [\"null\"]\nlog_level = \"debug\"").config();
    assert_eq!(new.waiting_for_a_restart(&running), ["shards", "log_level"]);
}

#[test]
fn a_reload_changes_all_that_it_can_and_nothing_else() {
    let mut running = given("listen = \"0.0.0.0:1\"").config();
    let key = key();
    let file = format!(
        "dev = true\npublisher_key = {:?}\nrequire_origin = true\nallowed_origins = [\"null\"]\n[[channels]]\npattern = \"*\"",
        key.secret()
    );
    let new = given(&file).config();
    assert_eq!(new.waiting_for_a_restart(&running), ["listen", "dev", "insecure_identity"]);
    running.take_over(new.clone());
    assert_eq!(running.publisher_key, Some(key));
    assert_eq!((&running.allowed_origins, &running.channels), (&new.allowed_origins, &new.channels));
    assert!(running.require_origin);
    assert!(!running.dev && !running.insecure_identity, "dev admits publishers, and never beyond loopback");
    let reloading: Vec<_> = KEYS.iter().filter(|key| key.reloads).map(|key| key.name).collect();
    let (of_tokens, others): (Vec<&str>, Vec<_>) = reloading.into_iter().partition(|name| name.starts_with("tokens."));
    assert_eq!(
        (of_tokens.len(), others),
        (6, vec!["tls_cert", "tls_key", "publisher_key", "publisher_key_file", "allowed_origins", "require_origin"])
    );
}

#[test]
fn the_packaged_example_is_valid_as_it_is_and_with_every_line_uncommented() {
    let example = include_str!("../../../packaging/realtime.toml");
    let loaded = load(&given(example).sources).unwrap();
    assert_eq!((loaded.set_by.keys().copied().collect::<Vec<_>>(), loaded.warnings), (vec!["data_dir"], Vec::new()));
    let keys = given("");
    let key_file = keys.write("publisher.key", key().secret(), 0o600);
    let token_file = keys.write("token.secret", &"s".repeat(32), 0o600);
    // Examples begin right after the sign, prose after a blank.
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => {
            rest.replace("/etc/realtime/publisher.key", &key_file).replace("/etc/realtime/token.secret", &token_file)
        }
        _ => line.to_owned(),
    };
    let text = example.lines().map(uncommented).collect::<Vec<_>>().join("\n");
    let loaded = load(&given(&text).sources).unwrap();
    assert_eq!((loaded.set_by.len(), loaded.config.channels.len(), loaded.warnings), (14, 3, Vec::new()));
}

#[test]
fn the_configuration_for_production_is_valid() {
    let manual = include_str!("../../../docs/production.md");
    let example = manual.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let config = given(example).config();
    assert_eq!((config.allowed_origins.len(), config.trusted_proxies.len(), config.channels.len()), (1, 1, 3));
}
