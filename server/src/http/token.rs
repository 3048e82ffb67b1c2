//! Where a request carries a token.

use std::borrow::Cow;

use hyper::Request;
use hyper::header::{COOKIE, HeaderMap};
use realtime_protocol::PUBLISHER_KEY_PREFIX;

/// The cookie's name.
const NAME: &str = "realtime_token";

/// The token of a request: in `Authorization: Bearer`, else in the query, else in the cookie. JavaScript cannot set the
/// header, and what is in an address ends up in logs of proxies, so pages had better send `connect`.
pub(super) fn of_request<B>(request: &Request<B>, bearer: Option<&str>) -> Option<String> {
    let bearer = bearer.filter(|bearer| !bearer.starts_with(PUBLISHER_KEY_PREFIX)).map(str::to_owned);
    let in_query = || parameter(request.uri().query()?).map(Cow::into_owned);
    bearer.or_else(in_query).or_else(|| cookie(request.headers()).map(str::to_owned))
}

/// `token` in a query. A token has no character that needs an escape, but some clients escape its points.
fn parameter(query: &str) -> Option<Cow<'_, str>> {
    let text = query.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    if !text.contains("%2E") && !text.contains("%2e") {
        return Some(text.into());
    }
    Some(text.replace("%2E", ".").replace("%2e", ".").into())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == NAME).map(|(_, token)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(uri: &str, cookies: &[&str], bearer: Option<&str>) -> Option<String> {
        let request = cookies.iter().fold(Request::builder().uri(uri), |request, value| request.header(COOKIE, *value));
        of_request(&request.body(()).unwrap(), bearer)
    }

    #[test]
    fn a_token_is_found_wherever_it_may_be() {
        assert_eq!(token("/", &[], None), None);
        assert_eq!(token("/", &[], Some("a.b.c")).as_deref(), Some("a.b.c"));
        assert_eq!(token("/", &[], Some("rtk_key")), None);
        assert_eq!(token("/ws?x=1&token=a.b.c", &[], None).as_deref(), Some("a.b.c"));
        assert_eq!(token("/?token=a%2Eb%2ec", &[], None).as_deref(), Some("a.b.c"));
        assert_eq!(token("/?mytoken=a.b.c", &[], None), None);
        assert_eq!(token("/", &["a=1; realtime_token=a.b.c", "b=2"], None).as_deref(), Some("a.b.c"));
        assert_eq!(token("/", &["xrealtime_token=a.b.c"], None), None);
        assert_eq!(token("/?token=q", &["realtime_token=c"], Some("h")).as_deref(), Some("h"));
    }
}
