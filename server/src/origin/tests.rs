use super::*;

fn policy(list: &[&str]) -> OriginPolicy {
    OriginPolicy::new(list.iter().map(|entry| entry.parse().unwrap()).collect())
}

fn passes(list: &[&str], origin: &str, host: &str) -> bool {
    policy(list).check(Some(origin), Some(host)).is_ok()
}

#[test]
fn no_origin_is_no_browser_and_passes() {
    assert_eq!(policy(&[]).check(None, Some("rt.example.com")), Ok(()));
    assert_eq!(policy(&[]).check(None, None), Ok(()));
}

#[test]
fn where_an_origin_is_required_none_does_not_pass() {
    let strict = policy(&["https://app.example.com"]).requiring_one(true);
    let refusal = strict.check(None, Some("rt.example.com")).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "what sends no Origin, and so is no browser, may not connect to host \"rt.example.com\"; require_origin = false \
         admits it"
    );
    assert_eq!(strict.check(Some("https://app.example.com"), Some("rt.example.com")), Ok(()));
    assert!(strict.check(Some(""), Some("rt.example.com")).is_err());
}

#[test]
fn pages_on_this_machine_reach_it_on_any_port_by_any_name() {
    for page in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5173", "http://LOCALHOST"] {
        for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "localhost", "Localhost:1"] {
            assert!(passes(&[], page, host), "{page} → {host}");
        }
    }
    assert!(!passes(&[], "http://localhost:3000", "rt.example.com"));
    assert!(!passes(&[], "http://localhost:3000", "192.168.1.5:8080"));
    assert!(!passes(&[], "http://localhost.evil.com", "localhost:8080"));
    assert!(!passes(&[], "http://notlocalhost", "localhost:8080"));
    assert!(!passes(&[], "capacitor://localhost", "localhost:8080"));
}

#[test]
fn pages_on_an_ip_address_reach_the_same_address_on_any_port() {
    assert!(passes(&[], "http://192.168.1.5:3000", "192.168.1.5:8080"));
    assert!(passes(&[], "https://192.168.1.5", "192.168.1.5"));
    assert!(passes(&[], "http://[2001:DB8::5]", "[2001:db8:0::5]:8080"));
    assert!(passes(&[], "http://[::ffff:10.0.0.1]", "10.0.0.1:8080"));
    assert!(!passes(&[], "http://192.168.1.5:3000", "192.168.1.6:8080"));
    assert!(!passes(&[], "http://192.168.1.5.evil.com", "192.168.1.5:8080"));
    assert!(!passes(&[], "http://192.168.1.5", "localhost:8080"));
}

#[test]
fn a_dns_name_that_equals_the_host_proves_nothing() {
    assert!(!passes(&[], "https://app.example.com", "app.example.com"));
    assert!(passes(&["https://app.example.com"], "https://app.example.com", "app.example.com"));
    assert!(passes(&["https://app.example.com"], "https://app.example.com", "10.0.0.1:8080"));
    assert_eq!(policy(&["https://app.example.com"]).check(Some("https://app.example.com"), None), Ok(()));
}

#[test]
fn a_listed_origin_is_equal_in_scheme_host_and_port() {
    let list = &["https://app.example.com", "http://intra.example.com:8000", "HTTPS://Shop.Example.com:443"];
    for page in [
        "https://app.example.com",
        "https://APP.example.com",
        "https://app.example.com:443",
        "http://intra.example.com:8000",
        "https://shop.example.com",
    ] {
        assert!(passes(list, page, "rt.example.com"), "{page}");
    }
    for page in [
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.com",
        "https://evilapp.example.com",
        "https://app.example.comevil.com",
        "https://app.example.com.",
        "https://.app.example.com",
        "https://app.example.com:80",
        "https://app.example.com:",
        "https://xapp.example.com",
        "https://app-example.com",
        "https://app.example.com%00.evil.com",
        "https://app.example.com\0.evil.com",
        "https://app.example.com\u{ff0e}evil.com",
        "https:/app.example.com",
        "//app.example.com",
        "app.example.com",
        "file://app.example.com",
        "https://app.example.com@evil.com",
        "https://evil.com/https://app.example.com",
        "https://app.example.com/",
        "https://app.example.com https://evil.com",
        "http://intra.example.com",
        "https://example.com",
        "",
    ] {
        assert!(!passes(list, page, "rt.example.com"), "{page}");
    }
}

#[test]
fn a_star_admits_subdomains_at_any_depth_and_nothing_else() {
    let list = &["https://*.example.com"];
    for page in ["https://a.example.com", "https://a.b.example.com", "https://A.EXAMPLE.com:443"] {
        assert!(passes(list, page, "rt.example.com"), "{page}");
    }
    for page in [
        "https://example.com",
        "https://.example.com",
        "https://evilexample.com",
        "http://a.example.com",
        "https://a.example.com:8443",
        "https://a.example.com.evil.com",
        "https://a.example.org",
    ] {
        assert!(!passes(list, page, "rt.example.com"), "{page}");
    }
    assert!(passes(&["https://*.example.com:8443"], "https://a.example.com:8443", "rt"));
}

#[test]
fn null_is_refused_unless_listed() {
    assert!(!passes(&[], "null", "localhost:8080"));
    assert!(!passes(&["https://app.example.com"], "null", "localhost:8080"));
    assert!(passes(&["null"], "null", "localhost:8080"));
    assert!(!passes(&["null"], "https://evil.com", "rt.example.com"));
    assert!(!passes(&["null"], "NULL", "rt.example.com"));
}

#[test]
fn a_refusal_names_both_hosts_and_the_line_to_add() {
    let refusal = |list: &[&str], origin, host| policy(list).check(Some(origin), host).unwrap_err().to_string();
    assert_eq!(
        refusal(&[], "https://App.example.com", Some("rt.example.com:8080")),
        "a page of origin \"https://App.example.com\" may not connect to host \"rt.example.com:8080\"; if the page is \
         yours, add to the configuration: allowed_origins = [\"https://app.example.com\"]"
    );
    assert!(
        refusal(&["null"], "https://a.com", None)
            .ends_with("; if the page is yours, add \"https://a.com\" to allowed_origins")
    );
    assert!(refusal(&[], "null", Some("localhost")).ends_with("allowed_origins = [\"null\"]"));
    assert!(refusal(&[], "x", Some("localhost")).ends_with(": this is not an origin that a browser sends"));
}

#[test]
fn a_refusal_repeats_headers_escaped_and_bounded() {
    let long = format!("https://{}\n\u{1b}[2J", "é".repeat(10_000));
    let text = policy(&[]).check(Some(&long), Some("a\nINFO forged")).unwrap_err().to_string();
    assert!(text.len() < 1_000, "{}", text.len());
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

#[test]
fn entries_that_are_no_origins_say_what_to_write() {
    let error = |text: &str| text.parse::<AllowedOrigin>().unwrap_err();
    assert_eq!(error("*"), AllowedOriginError::Everything);
    assert_eq!(error("https://*"), AllowedOriginError::Star);
    assert_eq!(error("https://a.*.com"), AllowedOriginError::Star);
    assert_eq!(error("https://*.10.0.0.1"), AllowedOriginError::Star);
    assert_eq!(error("https://*.*.com"), AllowedOriginError::Star);
    assert_eq!(error("https://a.com/"), AllowedOriginError::Path("https://a.com".into()));
    assert_eq!(error("https://*.a.com/x"), AllowedOriginError::Path("https://*.a.com".into()));
    assert_eq!(error("wss://a.com"), AllowedOriginError::WebSocket("https://a.com".into()));
    assert_eq!(error("ws://a.com/ws"), AllowedOriginError::WebSocket("http://a.com".into()));
    assert_eq!(error("https://münchen.de"), AllowedOriginError::NotAscii);
    for text in ["", "app.example.com", "https://", "https://a b", "https://u@a.com", "a/b/c/d"] {
        assert_eq!(error(text), AllowedOriginError::Malformed, "{text:?}");
    }
}
