//! What each path answers.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ETAG, FORWARDED, HOST,
    HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, ORIGIN, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use realtime_protocol::{CloseCode, ErrorCode, PUBLISHER_KEY_PREFIX, push};
use tracing::{debug, warn};

use super::assets::{ASSETS, Asset};
use super::token;
use super::upgrade::{self, Farewell, Slot, Upgrade};
use crate::Shared;
use crate::gate::{Admission, Welcome};
use crate::grant::Grant;
use crate::policy::{Credentials, Policy};
use crate::publisher::{self, Replies, Reply};
use crate::session::{Identity, Now};
use crate::token::Claims;

/// Where a WebSocket gets back what it sends, under the configuration's `echo`.
const ECHO: &str = "/__echo";

/// A response's body.
pub(super) type Body = Full<Bytes>;

/// An answer that is no success: a status and the JSON that says why.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, &'static str)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn upgrade_required(message: &str) -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, "bad_request", message).with(UPGRADE, "websocket")
    }

    fn method_not_allowed(message: &str, allowed: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "bad_request", message).with(ALLOW, allowed)
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = json(self.status, push::http_error(self.code, &self.message));
        for (name, value) in self.headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

fn json(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A header's value, when it is text.
pub(super) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// One socket's side of the front.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) shared: Arc<Shared>,
    /// The other end; `None` on the unix socket.
    address: Option<IpAddr>,
    /// Who may still be let in.
    welcome: Welcome,
    /// The socket's place in the limits, until an upgrade takes it along.
    admission: Arc<Mutex<Option<Admission>>>,
    /// Whether it has authenticated as a publisher.
    has_published: Arc<AtomicBool>,
    /// Where an upgrade is left.
    pub(super) pending: Slot,
}

impl Front {
    pub(super) fn new(shared: Arc<Shared>, address: Option<IpAddr>, admission: Admission, welcome: Welcome) -> Self {
        let admission = Arc::new(Mutex::new(Some(admission)));
        Self { shared, address, welcome, admission, has_published: Arc::default(), pending: Slot::default() }
    }

    /// Whether a publisher is at the other end, who may keep its connection.
    pub(super) fn has_published(&self) -> bool {
        self.has_published.load(Ordering::Relaxed)
    }

    /// A socket is upgraded once, so its admission is there when it is.
    fn take_admission(&self) -> Result<Admission, Refusal> {
        self.admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "bad_request", "this connection was upgraded already"))
    }

    pub(super) async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let answer = self.route(request).await;
        Ok(answer.unwrap_or_else(|refusal| {
            debug!(status = refusal.status.as_u16(), reason = %refusal.message, "refused a request");
            refusal.into_response()
        }))
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let wants_upgrade = upgrade::is_upgrade(request.headers());
        let is_post = *request.method() == Method::POST;
        let asset = ASSETS.iter().find(|asset| asset.path == request.uri().path());
        match (request.uri().path(), self.address.is_some()) {
            ("/" | "/ws", true) if wants_upgrade => self.client(request),
            (ECHO, true) if wants_upgrade && self.shared.config.echo => self.client(request),
            ("/publisher", _) if wants_upgrade => self.publisher(request),
            ("/publisher", _) => Err(Refusal::upgrade_required(
                "this is a WebSocket address for publishers; over HTTP there is POST /broadcast",
            )),
            ("/broadcast", _) | ("/", true) if is_post => self.broadcast(request).await,
            ("/broadcast", _) => Err(Refusal::method_not_allowed("publish with POST /broadcast", "POST")),
            ("/" | "/ws", true) => Err(Refusal::upgrade_required(
                "this is a WebSocket address: connect with new WebSocket(…), or publish with POST /broadcast",
            )),
            ("/health/live", _) => Ok(json(StatusCode::OK, "{\"status\":\"ok\"}".into())),
            ("/health" | "/health/ready", _) => self.ready(),
            (_, true) if let Some(asset) = asset => serve(asset, &request),
            _ => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "not_found",
                "there is nothing here; there are /, /ws, /publisher, /broadcast, /realtime.js and /health/ready",
            )),
        }
    }

    fn ready(&self) -> Result<Response<Body>, Refusal> {
        self.refuse_while_stopping()?;
        Ok(json(StatusCode::OK, "{\"status\":\"ready\"}".into()))
    }

    fn credentials<'a>(&self, headers: &'a HeaderMap) -> Credentials<'a> {
        let is_relayed = headers.contains_key(ORIGIN)
            || headers.contains_key(FORWARDED)
            || headers.keys().any(|name| name.as_str().starts_with("x-forwarded-"));
        let bearer = header(headers, AUTHORIZATION).and_then(|value| {
            let (scheme, rest) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
        });
        Credentials { bearer, is_relayed, address: self.address }
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Grant>, Refusal> {
        self.shared.policy.load().publisher(self.credentials(headers)).map_err(|denied| {
            self.shared
                .refusals
                .log(Instant::now(), || warn!(address = ?self.address, "refused a publisher: {denied}"));
            match denied.http_status() {
                403 => Refusal::new(StatusCode::FORBIDDEN, "forbidden", denied.to_string()),
                _ => Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", denied.to_string())
                    .with(WWW_AUTHENTICATE, "Bearer"),
            }
        })
    }

    fn refuse_while_stopping(&self) -> Result<(), Refusal> {
        if self.shared.is_stopping() {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the server is stopping"));
        }
        Ok(())
    }

    /// Whether the page that asks, if it is one, may connect.
    fn check_page(&self, policy: &Policy, headers: &HeaderMap, is_publisher: bool) -> Result<(), Refusal> {
        // A header that is there and is no text, or is there twice, is no browser's; it must not pass for none.
        let mut origins = headers.get_all(ORIGIN).iter().map(|value| value.to_str().unwrap_or("?"));
        let origin = origins.next().map(|first| if origins.next().is_none() { first } else { "?" });
        if origin.is_none() && is_publisher {
            return Ok(());
        }
        policy.origins.check(origin, self.host(headers)).map_err(|refused| {
            self.shared.refusals.log(Instant::now(), || warn!(address = ?self.address, "refused a page: {refused}"));
            Refusal::new(StatusCode::FORBIDDEN, "forbidden", refused.to_string())
        })
    }

    /// The host that the client asked for, as the nearest trusted proxy tells it; a stranger's word does not count.
    fn host<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let is_proxied = self.address.is_some_and(|peer| self.shared.gate.is_proxy(peer));
        match headers.get_all("x-forwarded-host").iter().next_back().filter(|_| is_proxied) {
            Some(forwarded) => forwarded.to_str().ok().and_then(|list| list.rsplit(',').next()).map(str::trim),
            None => header(headers, HOST),
        }
    }

    /// A WebSocket of a browser, or of what speaks like one.
    fn client(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        self.refuse_while_stopping()?;
        let headers = request.headers();
        if self.welcome != Welcome::Anybody {
            let message = "too many connections are being opened; try again";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message).with(RETRY_AFTER, "1"));
        }
        let policy = self.shared.policy.load();
        let credentials = self.credentials(headers);
        let token = token::of_request(&request, credentials.bearer);
        let publisher = match credentials.bearer {
            Some(bearer) if bearer.starts_with(PUBLISHER_KEY_PREFIX) => Some(self.authenticate(headers)?),
            Some(_) => None,
            None => policy.publisher(credentials).ok(),
        };
        self.check_page(&policy, headers, publisher.is_some())?;
        let sender = self.address.map(|peer| {
            let forwarded = headers.get_all("x-forwarded-for");
            self.shared.gate.sender(peer, forwarded.iter().filter_map(|value| value.to_str().ok()))
        });
        let upgrade = Upgrade::check(&request, self.shared.config.compression.enabled)?;
        let is_echo = request.uri().path() == ECHO;
        let outcome = self.take_admission()?.become_browser(sender).map_err(|full| {
            self.shared.refusals.log(Instant::now(), || warn!(address = ?sender, "refused a browser: {full}"));
            Farewell { code: CloseCode::TooManyConnections, error: None }
        });
        // Signatures are verified only for those for whom there is room.
        let outcome = outcome.and_then(|admission| {
            let token = token.map(|token| self.verify(&token, &policy)).transpose()?;
            let identity = if is_echo { Identity::Echo } else { Identity::Client { publisher, token } };
            Ok((identity, admission))
        });
        Ok(upgrade.accept(request, &self.pending, outcome))
    }

    /// A browser cannot see a status, and would try for ever; so it is told once it is connected.
    fn verify(&self, token: &str, policy: &Policy) -> Result<Box<Claims>, Farewell> {
        policy.verify(token, Now::read().unix).map(Box::new).map_err(|refused| {
            if refused.code() == ErrorCode::TokenInvalid {
                self.shared
                    .refusals
                    .log(Instant::now(), || warn!(address = ?self.address, "refused a token: {refused}"));
            }
            let (error, code) = refused.into_error_and_code();
            Farewell { code, error: Some(error) }
        })
    }

    /// A WebSocket of a publisher.
    fn publisher(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        self.refuse_while_stopping()?;
        let headers = request.headers();
        if headers.contains_key(ORIGIN) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "/publisher is not for browsers; a page connects to / and publishes through PHP",
            ));
        }
        let grant = self.authenticate(headers)?;
        let upgrade = Upgrade::check(&request, false)?;
        let admission = self.take_admission()?.become_publisher().map_err(|full| {
            self.shared.refusals.log(Instant::now(), || warn!(address = ?self.address, "refused a publisher: {full}"));
            // The socket is counted no more, so it must not stay.
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", full.to_string())
                .with(RETRY_AFTER, "1")
                .with(CONNECTION, "close")
        })?;
        let mut response = upgrade.accept(request, &self.pending, Ok((Identity::Publisher { grant }, admission)));
        // So that a publisher never repeats a command after its key is forgotten.
        let ttl = HeaderValue::from(self.shared.config.idempotency.ttl.as_secs());
        response.headers_mut().insert(HeaderName::from_static("realtime-key-ttl"), ttl);
        Ok(response)
    }

    async fn broadcast(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let grant = self.authenticate(request.headers())?;
        self.has_published.store(true, Ordering::Relaxed);
        let body = self.body(request).await?;
        self.shared.admission().await;
        answer_body(&self.shared, &grant, &body).await
    }

    async fn body(&self, request: Request<Incoming>) -> Result<Bytes, Refusal> {
        let too_large = || {
            let message = format!("a body may have {} bytes; send several, or less data", publisher::MAX_FRAME);
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
        };
        if request.body().size_hint().lower() > publisher::MAX_FRAME as u64 {
            return Err(too_large());
        }
        let body = Limited::new(request.into_body(), publisher::MAX_FRAME).collect();
        match tokio::time::timeout(self.shared.config.handshake_timeout, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(error)) => {
                Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_request", format!("a broken body: {error}")))
            }
            Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "bad_request", "the body came too slowly")),
        }
    }
}

/// Carries out what a body holds.
pub(super) async fn answer_body(shared: &Arc<Shared>, grant: &Grant, body: &[u8]) -> Result<Response<Body>, Refusal> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "bad_request", "the body is not UTF-8"))?;
    match publisher::execute_body(shared, grant, text).await {
        Replies::One(Reply::Done(text)) => Ok(json(StatusCode::OK, text)),
        Replies::One(Reply::Refused(error)) => {
            let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
            Err(Refusal::new(status, error.code.as_str(), error.message))
        }
        Replies::Many(replies) => {
            let texts: Vec<_> = replies.into_iter().map(Reply::into_text).collect();
            Ok(json(StatusCode::OK, push::list(&texts)))
        }
    }
}

/// The browser client: any origin may load it; a copy is checked by its validator at each use.
fn serve(asset: &'static Asset, request: &Request<Incoming>) -> Result<Response<Body>, Refusal> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Refusal::method_not_allowed("this is a file", "GET, HEAD"));
    }
    let etag = asset.etag();
    let is_known = header(request.headers(), IF_NONE_MATCH).is_some_and(|known| known.contains(&etag));
    let mut response = Response::new(if is_known { Body::default() } else { Body::from(asset.text) });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (CACHE_CONTROL, "public, max-age=0, must-revalidate"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    Ok(response)
}
