//! Is the server there, and does it know our key?

use std::io;

use realtime_server::config::Config;
use tungstenite::Message;

use super::Finding;
use crate::cli::Failure;
use crate::cli::client::{Address, Endpoint, status};

pub(super) fn reachable(config: &Config) -> Finding {
    let address = Address::listening(config);
    let mend_start = "start it: systemctl start realtime-server, or realtime-server start";
    match status(&address, "/health/ready", &[]) {
        Ok(200) => Finding::Good(format!("the server answers on {address}")),
        Ok(503) => Finding::bad(format!("the server on {address} is stopping"), mend_start),
        Ok(other) => Finding::bad(
            format!("something else than this server answers on {address} (status {other})"),
            "stop it, or set listen to another address here and in the clients' URLs",
        ),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Finding::bad(format!("no server listens on {address}"), mend_start)
        }
        Err(error) => Finding::bad(
            format!("the server on {address} does not answer: {error}"),
            "see its log (journalctl -u realtime-server), and restart it",
        ),
    }
}

/// Whether a publisher with our key gets in over TCP.
pub(super) fn key(config: &Config, is_reachable: bool, has_socket: bool) -> Finding {
    const MAKE_ONE: &str = "make one with `realtime-server key`, and set it as publisher_key here and as realtime.key in PHP; if the server \
         runs with --dev, say so here, too: `realtime-server doctor --dev`";
    if !config.has_publisher_key() && !config.dev {
        let what = "there is no publisher key, so that nobody can publish over TCP";
        return if has_socket {
            Finding::Note(format!("{what}; publishers on this machine use the unix socket"))
        } else {
            Finding::bad(what, MAKE_ONE)
        };
    }
    if !is_reachable {
        return Finding::Note("the publisher key cannot be tried while no server answers".to_owned());
    }
    let endpoint = Endpoint { address: Address::listening(config), key: config.a_publisher_key().cloned() };
    match ping(&endpoint) {
        Ok(()) if endpoint.key.is_none() => {
            Finding::Good("publishers on this machine get in without a key (dev)".to_owned())
        }
        Ok(()) => Finding::Good("the server accepts the publisher key".to_owned()),
        Err(Failure::Run(what)) => Finding::bad(
            what,
            "let the server read the key again: systemctl reload realtime-server; and set the same key as realtime.key in PHP",
        ),
        Err(_) => Finding::bad("the publisher key cannot be tried", MAKE_ONE),
    }
}

fn ping(endpoint: &Endpoint) -> Result<(), Failure> {
    let mut socket = endpoint.connect("/publisher", None)?;
    let lost = |error| Failure::Run(format!("{} does not answer a publisher: {error}", endpoint.address));
    socket.send(Message::text(r#"{"type":"ping","id":1}"#)).map_err(lost)?;
    while !socket.read().map_err(lost)?.is_text() {}
    // It has answered; how it takes our leave changes nothing.
    let _ = socket.close(None);
    Ok(())
}
