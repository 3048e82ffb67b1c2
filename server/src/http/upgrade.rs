//! The WebSocket handshake (RFC 6455 §4.2) up to the moment when a shard takes the socket.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use realtime_protocol::{CloseCode, CommandError, PUBLISHER_SUBPROTOCOL, push};
use tracing::debug;

use super::Accepted;
use super::routes::{Body, Refusal, header};
use crate::Shared;
use crate::gate::Admission;
use crate::session::Identity;
use crate::shard::Arrival;
use crate::ws;

/// How long who is closed for want of room shall wait, ms.
const COME_BACK: u64 = 5000;

/// Where a connection's service leaves its upgrade for the task that drives the connection, which sees it through:
/// an upgrade needs no task of its own.
pub(super) type Slot = Arc<Mutex<Option<Pending>>>;

/// An upgrade that was answered with 101.
pub(super) struct Pending {
    upgrade: OnUpgrade,
    deflate: bool,
    /// Who it is; or what to say and how to close, which a browser sees, as it would not see a status.
    outcome: Result<(Identity, Admission), Farewell>,
}

/// What is said to who cannot stay.
pub(super) struct Farewell {
    /// The code to close with.
    pub(super) code: CloseCode,
    /// What was wrong, where the code does not say it.
    pub(super) error: Option<CommandError>,
}

impl Pending {
    /// What the service left.
    pub(super) fn take(slot: &Slot) -> Option<Self> {
        slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Gives the socket to the next shard.
    pub(super) async fn hand_over<S: Accepted>(self, shared: &Shared) {
        let upgraded = match self.upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return debug!(%error, "an upgrade failed"),
        };
        let Ok(parts) = upgraded.downcast::<TokioIo<S>>() else {
            return tracing::error!("an upgraded socket is of another type than it was accepted with");
        };
        let (mut socket, unread) = match parts.io.into_inner().into_socket() {
            Ok(socket) => socket,
            Err(error) => return debug!(%error, "a socket could not be handed over"),
        };
        match self.outcome {
            Ok((identity, admission)) => {
                // Copied, since the buffer that hyper gives back would pin its whole 8 KiB.
                let read = [&parts.read_buf[..], &unread].concat();
                shared.adopt(Arrival { socket, read, identity, deflate: self.deflate, admission });
            }
            Err(Farewell { code, error }) => {
                let after = code.reconnect().then_some(COME_BACK);
                let error = error.map(|error| ws::text_frame(&push::error(&error))).unwrap_or_default();
                let disconnect = ws::text_frame(&push::disconnect(code, None, after));
                let words = [error, disconnect, ws::close_frame(Some(code))];
                // A fresh socket has room for these few bytes; if not, the peer sees just the end.
                let _ = socket.write_early(&words.concat());
                socket.say_goodbye();
            }
        }
    }
}

/// Whether a request asks for an upgrade to WebSocket at all.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, UPGRADE, "websocket")
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value.to_str().is_ok_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    })
}

/// Checks what RFC 6455 §4.2.1 asks of the request.
fn check<B: hyper::body::Body>(request: &Request<B>) -> Result<&str, Refusal> {
    let bad = |what: &str| Refusal::new(StatusCode::BAD_REQUEST, "bad_request", what);
    if *request.method() != Method::GET || request.version() < Version::HTTP_11 {
        return Err(bad("a WebSocket is opened by a GET request of HTTP/1.1; publish with POST, without an upgrade"));
    }
    if !request.body().is_end_stream() {
        return Err(bad("a request for an upgrade has no body; send messages once the WebSocket is open"));
    }
    let headers = request.headers();
    if !has_token(headers, CONNECTION, "upgrade") {
        return Err(bad(
            "the header Connection: Upgrade is missing; a proxy in front must pass Upgrade and Connection on",
        ));
    }
    if header(headers, SEC_WEBSOCKET_VERSION) != Some("13") {
        let what = "the header Sec-WebSocket-Version must be 13 (RFC 6455)";
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, "bad_request", what).with(SEC_WEBSOCKET_VERSION, "13"));
    }
    let key = header(headers, SEC_WEBSOCKET_KEY).ok_or_else(|| bad("the header Sec-WebSocket-Key is missing"))?;
    // 16 bytes in base64 are 22 characters and two signs of padding.
    let is_key = key.strip_suffix("==").is_some_and(|digits| {
        digits.len() == 22 && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    });
    if is_key { Ok(key) } else { Err(bad("the header Sec-WebSocket-Key must be 16 bytes in base64")) }
}

/// An upgrade that can be accepted.
pub(super) struct Upgrade {
    response: Response<Body>,
    deflate: bool,
}

impl Upgrade {
    /// Checks the request and makes the answer.
    pub(super) fn check<B: hyper::body::Body>(request: &Request<B>, may_deflate: bool) -> Result<Self, Refusal> {
        let accept = tungstenite::handshake::derive_accept_key(check(request)?.as_bytes());
        let headers = request.headers();
        let mut response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "Upgrade")
            .header(SEC_WEBSOCKET_ACCEPT, accept);
        if has_token(headers, SEC_WEBSOCKET_PROTOCOL, PUBLISHER_SUBPROTOCOL) {
            response = response.header(SEC_WEBSOCKET_PROTOCOL, PUBLISHER_SUBPROTOCOL);
        }
        let offers = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|value| value.to_str().ok());
        let extension = may_deflate.then(|| ws::negotiate(offers)).flatten();
        let deflate = extension.is_some();
        if let Some(extension) = extension {
            response = response.header(SEC_WEBSOCKET_EXTENSIONS, extension);
        }
        let response = response.body(Body::default()).map_err(|_| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "unavailable", "the answer could not be made")
        })?;
        Ok(Self { response, deflate })
    }

    /// Answers 101 and leaves the rest to the connection's task.
    pub(super) fn accept<B>(
        self,
        mut request: Request<B>,
        slot: &Slot,
        outcome: Result<(Identity, Admission), Farewell>,
    ) -> Response<Body> {
        let upgrade = hyper::upgrade::on(&mut request);
        let pending = Pending { upgrade, deflate: self.deflate, outcome };
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(pending);
        self.response
    }
}
