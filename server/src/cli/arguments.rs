//! Commands and their arguments.

use std::path::PathBuf;

use clap::builder::{ArgAction, PossibleValuesParser, ValueParser};
use clap::{Arg, ArgGroup, ArgMatches, Command, value_parser};
use realtime_server::config::KEYS;

/// What `version` prints.
pub(super) const VERSION: &str = concat!("realtime-server ", env!("CARGO_PKG_VERSION"));

/// The whole command line.
pub(super) fn command() -> Command {
    Command::new("realtime-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Delivers what PHP broadcasts to every browser that subscribed")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(configurable("start", "Start the server", false))
        .subcommand(
            configurable("check-config", "Print the effective configuration, or every mistake with its line", false)
                .arg(value("channel", "NAME").help("Say who may do what in this channel, and by which rule"))
                .arg(value("user", "ID").requires("channel").help("Ask for a connection of this user"))
                .arg(
                    Arg::new("token")
                        .long("token")
                        .requires("channel")
                        .action(ArgAction::SetTrue)
                        .help("Ask for a connection with a token that names the channel"),
                )
                .arg(
                    Arg::new("quiet")
                        .long("quiet")
                        .action(ArgAction::SetTrue)
                        .help("Print nothing but mistakes and warnings"),
                ),
        )
        .subcommand(Command::new("key").about("Make a publisher key"))
        .subcommand(token())
        .subcommand(Command::new("version").about("Print the version"))
        .subcommand(
            endpoint(configurable("publish", "Publish one message", true))
                .arg(Arg::new("channel").value_name("CHANNEL").required(true).help("The channel"))
                .arg(
                    Arg::new("data")
                        .value_name("JSON")
                        .required(true)
                        .help("Any JSON value; - reads it from standard input"),
                )
                .arg(value("event", "NAME").help("The event's name")),
        )
        .subcommand(
            endpoint(configurable("tail", "Print what is published in channels, as it comes", true))
                .arg(Arg::new("channels").value_name("CHANNEL").required(true).num_args(1..).help("The channels"))
                .arg(
                    value("count", "NUMBER")
                        .value_parser(value_parser!(u64).range(1..))
                        .help("Stop after so many publications"),
                ),
        )
        .subcommand(
            endpoint(configurable("backup", "Copy the histories on disk while the server runs", true)).arg(
                Arg::new("file")
                    .value_name("FILE")
                    .required(true)
                    .value_parser(value_parser!(PathBuf))
                    .help("The file to make; to restore it, stop the server and put it into data_dir as store.redb"),
            ),
        )
        .subcommand(
            configurable("doctor", "Check what goes wrong in practice, and say how to mend it", true)
                .arg(value("page", "URL").help("Check that this page may connect, as in https://app.example.com"))
                .arg(
                    value("host", "HOST[:PORT]")
                        .requires("page")
                        .help("The host in the WebSocket URL that the page uses, when it is not the listen address"),
                )
                .arg(value("web-user", "NAME").help("The web server's user [default: www-data, or what there is]")),
        )
}

fn token() -> Command {
    configurable("token", "Make a token, or say why one is refused", true)
        .arg(value("for", "USER").help("Make one for this user"))
        .arg(value("for-channel", "NAME").requires("for").help("Make one for this channel only"))
        .arg(
            value("for-channels", "NAME,…")
                .requires("for")
                .conflicts_with("for-channel")
                .help("Names and patterns that may be subscribed to without more"),
        )
        .arg(value("ttl", "DURATION").default_value("1h").help("How long it is valid"))
        .arg(value("info", "JSON").requires("for").conflicts_with("for-channel").help("What others see of the user"))
        .arg(value("kid", "NAME").requires("for").help("The key to sign with [default: the first]"))
        .arg(
            Arg::new("check")
                .long("check")
                .action(ArgAction::SetTrue)
                .help("Read a token from standard input, and say what it says or why it is refused"),
        )
        .arg(
            Arg::new("new-secret")
                .long("new-secret")
                .action(ArgAction::SetTrue)
                .help("Make a secret for tokens.secret and PHP's realtime.token_secret"),
        )
        .group(ArgGroup::new("what").args(["for", "check", "new-secret"]).required(true))
}

fn value(name: &'static str, placeholder: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(placeholder)
}

fn endpoint(command: Command) -> Command {
    command
        .arg(
            value("url", "URL")
                .help("The server: ws://host:port, wss://host or unix:///path [default: from the configuration]"),
        )
        .arg(
            value("tls-ca", "FILE")
                .requires("url")
                .value_parser(value_parser!(PathBuf))
                .help("File with the authorities (PEM) that alone count for wss:// [default: the machine's]"),
        )
        .arg(value("key-file", "FILE").value_parser(value_parser!(PathBuf)).help("File that holds the publisher key"))
}

/// A command that reads the configuration. `quiet` leaves its flags out of the help.
fn configurable(name: &'static str, about: &'static str, quiet: bool) -> Command {
    let file = value("config", "FILE")
        .value_parser(value_parser!(PathBuf))
        .help("The configuration file [default: /etc/realtime/realtime.toml if it exists]");
    let flags = KEYS.iter().filter_map(|key| {
        let arg = Arg::new(key.name).long(key.flag()?).value_name(key.placeholder()).help(key.summary()).hide(quiet);
        Some(if key.is_switch() {
            arg.num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(PossibleValuesParser::new(["true", "false"]))
        } else {
            arg.action(ArgAction::Set).value_parser(ValueParser::string())
        })
    });
    Command::new(name).about(about).arg(file).args(flags)
}

/// The keys that flags set.
pub(super) fn flags(matches: &ArgMatches) -> Vec<(&'static str, String)> {
    let given = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
    KEYS.iter().filter(|key| key.flag().is_some()).filter_map(|key| Some((key.name, given(key.name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_key_but_secrets_has_its_flag() {
        let matches = command()
            .try_get_matches_from([
                "realtime-server",
                "start",
                "--dev",
                "--max-channels",
                "5",
                "--insecure-identity=false",
            ])
            .unwrap();
        let (_, start) = matches.subcommand().unwrap();
        let set = flags(start);
        assert_eq!(set.len(), 3, "{set:?}");
        for expected in [("dev", "true"), ("insecure_identity", "false"), ("max_channels", "5")] {
            assert!(set.iter().any(|(name, value)| (*name, &**value) == expected), "{expected:?} in {set:?}");
        }
        assert!(command().try_get_matches_from(["realtime-server", "start", "--publisher-key", "x"]).is_err());
    }
}
