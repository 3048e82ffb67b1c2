//! May a page connect?

use realtime_server::config::Config;
use realtime_server::origin::OriginPolicy;

use super::Finding;
use crate::cli::Failure;
use crate::cli::client::{Address, reachable, status};

pub(super) fn check(config: &Config, page: &str, host: Option<&str>) -> Result<Finding, Failure> {
    let origin = origin_of(page)?;
    let own_host = reachable(config.listen).to_string();
    let host = host.unwrap_or(&own_host);
    if !host.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failure::Usage(format!("--host: {host:?} is not a host")));
    }
    let here = OriginPolicy::new(config.allowed_origins.clone()).check(Some(&origin), Some(host));
    let there = status(
        &Address::listening(config),
        "/",
        &[
            ("Host", host),
            ("Origin", &origin),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            // The key of RFC 6455 §1.3; any 16 bytes do.
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
    );
    const RELOAD: &str = "let the server read its configuration again: systemctl reload realtime-server";
    Ok(match (here, there) {
        (Ok(()), Ok(101)) => Finding::Good(format!("pages of {origin} may connect to {host}")),
        (Ok(()), Err(_)) => Finding::Good(format!("pages of {origin} may connect to {host}, by the configuration")),
        (Ok(()), Ok(status)) => {
            let what =
                format!("the configuration admits pages of {origin}, the running server does not (status {status})");
            Finding::bad(what, RELOAD)
        }
        (Err(refused), Ok(101)) => Finding::bad(
            format!("the running server still admits a page that the configuration refuses: {refused}"),
            RELOAD,
        ),
        (Err(refused), _) => {
            let text = refused.to_string();
            match text.split_once("; ") {
                Some((what, mend)) => Finding::bad(what, format!("{mend}, and then {RELOAD}")),
                None => Finding::bad(text, "give --page as in https://app.example.com"),
            }
        }
    })
}

/// The origin of a page's URL, as a browser would send it.
fn origin_of(page: &str) -> Result<String, Failure> {
    let wrong = || Failure::Usage(format!("--page: {page:?} is not a page's URL, as in https://app.example.com/start"));
    if page == "null" || page.starts_with("file:") {
        return Ok("null".to_owned());
    }
    let (scheme, rest) = page.split_once("://").ok_or_else(wrong)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let origin = format!("{scheme}://{authority}").to_ascii_lowercase();
    let valid = !authority.is_empty() && origin.bytes().all(|b| b.is_ascii_graphic());
    if valid { Ok(origin) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pages_url_is_reduced_to_its_origin() {
        for (page, origin) in [
            ("https://App.example.com/start?x#y", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("file:///tmp/page.html", "null"),
            ("null", "null"),
        ] {
            assert_eq!(origin_of(page).unwrap(), origin);
        }
        for page in ["app.example.com", "https://", "https:///x", "https://a\nb"] {
            assert!(origin_of(page).is_err(), "{page:?}");
        }
    }
}
