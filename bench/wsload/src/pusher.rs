//! Publishing as Pusher's server libraries do: a signed `POST /apps/{id}/events`.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};

/// The request; `app` is `id:key:secret`.
pub(crate) fn request(app: &str, channel: &str, data: &str, host: SocketAddr) -> Vec<u8> {
    let mut parts = app.splitn(3, ':');
    let (id, key, secret) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let body = format!("{{\"name\":\"e\",\"channels\":[\"{channel}\"],\"data\":\"{data}\"}}");
    let path = format!("/apps/{id}/events");
    let digest = hex::encode(Md5::digest(&body));
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let query = format!("auth_key={key}&auth_timestamp={seconds}&auth_version=1.0&body_md5={digest}");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("POST\n{path}\n{query}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    format!(
        "POST {path}?{query}&auth_signature={signature} HTTP/1.1\r\nHost: {host}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
