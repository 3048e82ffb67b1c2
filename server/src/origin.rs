//! Which pages may connect. Browsers send cookies and reach private networks for any page, so the page's origin is
//! checked before each upgrade. What sends no origin is no browser, and is stopped only where one is required.

mod address;

use std::fmt;
use std::str::FromStr;

use address::{Host, PageOrigin};

/// Longest part of a peer's header that is repeated in a message.
const SHOWN: usize = 200;

/// One entry of `allowed_origins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin(Entry);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// This origin.
    Exact(PageOrigin),
    /// Every subdomain of its host, at any depth; not the host itself.
    Subdomains(PageOrigin),
    /// Pages without an origin of their own: files, sandboxed frames.
    Null,
}

/// Why an entry of `allowed_origins` is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOriginError {
    /// `*`.
    Everything,
    /// A `*` that is not the first label of the host.
    Star,
    /// A WebSocket address; a page has another.
    WebSocket(String),
    /// Valid up to a path; without it, it reads so.
    Path(String),
    /// A name that browsers send in its ASCII form.
    NotAscii,
    /// Anything else.
    Malformed,
}

impl fmt::Display for AllowedOriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str(
                "\"*\" would let every page on the web in; list the pages, as in \"https://app.example.com\" or \
                 \"https://*.example.com\"",
            ),
            Self::Star => f.write_str("* stands only for all subdomains, as in \"https://*.example.com\""),
            Self::WebSocket(page) => {
                write!(f, "an origin is the page's address, not the WebSocket's; perhaps {page:?}")
            }
            Self::Path(origin) => write!(f, "an origin has no path; write {origin:?}"),
            Self::NotAscii => f.write_str("browsers send such names in their ASCII form; write it so (xn--…)"),
            Self::Malformed => f.write_str(
                "not an origin; it is scheme://host or scheme://host:port, as in \"https://app.example.com\", or \"null\"",
            ),
        }
    }
}

impl std::error::Error for AllowedOriginError {}

impl FromStr for AllowedOrigin {
    type Err = AllowedOriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "null" {
            return Ok(Self(Entry::Null));
        }
        if text == "*" {
            return Err(AllowedOriginError::Everything);
        }
        if !text.is_ascii() {
            return Err(AllowedOriginError::NotAscii);
        }
        let (entry, plain): (fn(PageOrigin) -> Entry, _) = match text.split_once("://*.") {
            Some((scheme, domain)) => (Entry::Subdomains, format!("{scheme}://{domain}")),
            None => (Entry::Exact, text.to_owned()),
        };
        if plain.contains('*') {
            return Err(AllowedOriginError::Star);
        }
        let Some(origin) = PageOrigin::parse(&plain) else {
            return Err(match text.match_indices('/').nth(2).map(|(at, _)| text[..at].parse::<Self>()) {
                Some(Ok(without_path)) => AllowedOriginError::Path(without_path.to_string()),
                Some(Err(error @ AllowedOriginError::WebSocket(_))) => error,
                _ => AllowedOriginError::Malformed,
            });
        };
        if let "ws" | "wss" = &*origin.scheme {
            return Err(AllowedOriginError::WebSocket(text.to_ascii_lowercase().replacen("ws", "http", 1)));
        }
        match entry(origin) {
            Entry::Subdomains(PageOrigin { host: Host::Ip(_), .. }) => Err(AllowedOriginError::Star),
            entry => Ok(Self(entry)),
        }
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Entry::Exact(origin) => origin.fmt(f),
            Entry::Subdomains(origin) => f.write_str(&origin.to_string().replacen("://", "://*.", 1)),
            Entry::Null => f.write_str("null"),
        }
    }
}

impl Entry {
    fn admits(&self, page: &PageOrigin) -> bool {
        match self {
            Self::Exact(origin) => origin == page,
            Self::Subdomains(PageOrigin { scheme, host: Host::Name(domain), port }) => match &page.host {
                Host::Name(name) => {
                    let label = name.strip_suffix(&**domain).and_then(|rest| rest.strip_suffix('.'));
                    label.is_some_and(|label| !label.is_empty()) && page.scheme == *scheme && page.port == *port
                }
                Host::Ip(_) => false,
            },
            Self::Subdomains(_) | Self::Null => false,
        }
    }
}

/// Decides which pages may connect.
#[derive(Clone, Debug, Default)]
pub struct OriginPolicy {
    allowed: Vec<AllowedOrigin>,
    is_required: bool,
}

/// A page that may not connect. Its text is the line for the log, with what to add to the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    origin: String,
    host: Option<String>,
    reason: Reason,
    list_is_empty: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    Missing,
    Malformed,
    /// `origin` as the list would have it.
    NotListed {
        entry: String,
    },
}

impl OriginPolicy {
    /// Admits what is listed, besides pages on this machine or an IP address that connect to where they are.
    pub fn new(allowed: Vec<AllowedOrigin>) -> Self {
        Self { allowed, is_required: false }
    }

    /// The same, where (`is_required`) what sends no origin may not connect either.
    #[must_use]
    pub fn requiring_one(self, is_required: bool) -> Self {
        Self { is_required, ..self }
    }

    /// Whether a request with these `Origin` and `Host` headers may go on.
    ///
    /// A DNS name that equals the Host proves nothing: whoever owns a name can point it at this server (rebinding).
    /// An IP address or localhost in the Origin cannot be had that way.
    pub fn check(&self, origin: Option<&str>, host: Option<&str>) -> Result<(), Refused> {
        let refused = |reason| Refused {
            origin: shortened(origin.unwrap_or_default()),
            host: host.map(shortened),
            reason,
            list_is_empty: self.allowed.is_empty(),
        };
        let Some(origin) = origin else {
            return if self.is_required { Err(refused(Reason::Missing)) } else { Ok(()) };
        };
        if origin == "null" {
            let listed = self.allowed.iter().any(|entry| entry.0 == Entry::Null);
            return if listed { Ok(()) } else { Err(refused(Reason::NotListed { entry: "null".into() })) };
        }
        let page = PageOrigin::parse(origin).ok_or_else(|| refused(Reason::Malformed))?;
        if self.allowed.iter().any(|entry| entry.0.admits(&page)) || is_at_home(&page, host) {
            return Ok(());
        }
        Err(refused(Reason::NotListed { entry: page.to_string() }))
    }
}

/// Whether the page is on the very machine that it connects to, by an address that cannot be forged.
fn is_at_home(page: &PageOrigin, host: Option<&str>) -> bool {
    let Some((host, _)) = host.and_then(Host::parse_with_port) else { return false };
    if !page.is_web() {
        return false;
    }
    match (&page.host, &host) {
        (a, b) if a.is_loopback() && b.is_loopback() => true,
        (Host::Ip(a), Host::Ip(b)) => a == b,
        _ => false,
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Missing => f.write_str("what sends no Origin, and so is no browser, may not connect to host ")?,
            _ => write!(f, "a page of origin {:?} may not connect to host ", self.origin)?,
        }
        match &self.host {
            Some(host) => write!(f, "{host:?}")?,
            None => f.write_str("(none named)")?,
        }
        match &self.reason {
            Reason::Missing => f.write_str("; require_origin = false admits it"),
            Reason::Malformed => f.write_str(": this is not an origin that a browser sends"),
            Reason::NotListed { entry } if self.list_is_empty => {
                write!(f, "; if the page is yours, add to the configuration: allowed_origins = [{entry:?}]")
            }
            Reason::NotListed { entry } => write!(f, "; if the page is yours, add {entry:?} to allowed_origins"),
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests;
