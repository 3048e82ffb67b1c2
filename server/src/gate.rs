//! Who is let in, counted: sockets, handshakes, browsers, publishers, and each of them by address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Config;

/// File descriptors kept back for publishers and health checks.
const RESERVED_DESCRIPTORS: usize = 64;
/// Handshakes beyond `max_handshakes` that are still taken on, for publishers and health checks.
const RESERVED_HANDSHAKES: usize = 64;

/// An address as it is counted: IPv4 as it is, IPv6 by its network of 64 bits, which one household or server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// Who `address` counts as; `None`: loopback, which is not counted.
    pub fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            address if address.is_loopback() => None,
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Some(Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()))
            }
            v4 @ IpAddr::V4(_) => Some(Self(v4)),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct PerAddress {
    handshakes: u32,
    browsers: u32,
}

/// All counts of the node.
pub struct Gate {
    config: Arc<Config>,
    /// Descriptors that sockets may use; fewer than the process has, by what else it holds.
    descriptors: usize,
    sockets: AtomicUsize,
    handshakes: AtomicUsize,
    browsers: AtomicUsize,
    publishers: AtomicUsize,
    addresses: Mutex<HashMap<Origin, PerAddress>>,
}

/// What a socket counts as now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Handshake,
    Browser,
    Publisher,
}

/// A socket that is counted, until it is dropped.
pub struct Admission {
    gate: Arc<Gate>,
    counted: Counted,
    origin: Option<Origin>,
}

/// Who a new socket may still be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Welcome {
    /// Anybody.
    Anybody,
    /// A publisher or a health check: what is left is kept for them.
    Reserved,
    /// Nobody.
    Nobody,
}

/// Why a browser is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The node has `max_connections` browsers.
    Node,
    /// The address has `max_connections_per_address`.
    Address,
    /// The node has `max_publishers`.
    Publishers,
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Node => "the server has as many connections as max_connections allows",
            Self::Address => "this address has as many connections as max_connections_per_address allows",
            Self::Publishers => "the server has as many publishers as max_publishers allows",
        })
    }
}

impl Gate {
    /// A gate for a process that may have `descriptor_limit` files open and has `used` of them for other things.
    pub fn new(config: Arc<Config>, descriptor_limit: usize, used: usize) -> Self {
        Self {
            config,
            descriptors: descriptor_limit.saturating_sub(used),
            sockets: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
            browsers: AtomicUsize::new(0),
            publishers: AtomicUsize::new(0),
            addresses: Mutex::default(),
        }
    }

    /// Whether one more handshake may begin at all; else accepting waits for one to end.
    pub fn has_room(&self) -> bool {
        self.handshakes.load(Ordering::Relaxed) < self.config.max_handshakes + RESERVED_HANDSHAKES
    }

    /// Browsers that are connected.
    pub fn browsers(&self) -> usize {
        self.browsers.load(Ordering::Relaxed)
    }

    /// Browsers and publishers that are connected.
    pub fn connections(&self) -> usize {
        self.browsers() + self.publishers.load(Ordering::Relaxed)
    }

    /// Counts a socket that was just accepted from `peer` (`None`: the unix socket).
    pub fn enter(self: &Arc<Self>, peer: Option<IpAddr>) -> (Admission, Welcome) {
        let sockets = self.sockets.fetch_add(1, Ordering::Relaxed) + 1;
        let handshakes = self.handshakes.fetch_add(1, Ordering::Relaxed) + 1;
        let origin = peer.filter(|peer| !self.is_proxy(*peer)).and_then(Origin::of);
        let mut welcome = Welcome::Anybody;
        if handshakes > self.config.max_handshakes || sockets + RESERVED_DESCRIPTORS > self.descriptors {
            welcome = Welcome::Reserved;
        }
        if origin.is_some_and(|origin| self.is_crowded_by(origin)) {
            welcome = Welcome::Nobody;
        }
        (Admission { gate: self.clone(), counted: Counted::Handshake, origin }, welcome)
    }

    /// Counts a handshake; whether the address has too many, since nobody alone takes all in flight from the others.
    fn is_crowded_by(&self, origin: Origin) -> bool {
        let mut addresses = self.addresses();
        let per_address = addresses.entry(origin).or_default();
        per_address.handshakes += 1;
        per_address.handshakes as usize > self.config.max_handshakes.div_ceil(4)
    }

    /// Whether what `peer` says of the addresses behind it counts.
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.config.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// The address of who sent a request: the last in `forwarded` (the values of X-Forwarded-For in their order) that is
    /// no trusted proxy, when `peer` is one.
    pub fn sender<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        if !self.is_proxy(peer) {
            return peer;
        }
        let mut sender = peer;
        for part in forwarded.flat_map(|value| value.split(',')).collect::<Vec<_>>().into_iter().rev() {
            let Some(address) = forwarded_address(part.trim()) else { break };
            sender = address;
            if !self.is_proxy(address) {
                break;
            }
        }
        sender
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<Origin, PerAddress>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave_address(&self, origin: Origin, counted: Counted) {
        let mut addresses = self.addresses();
        if let Entry::Occupied(mut found) = addresses.entry(origin) {
            let per_address = found.get_mut();
            match counted {
                Counted::Handshake => per_address.handshakes -= 1,
                Counted::Browser => per_address.browsers -= 1,
                Counted::Publisher => {}
            }
            if per_address.handshakes == 0 && per_address.browsers == 0 {
                found.remove();
            }
        }
        if addresses.len() < addresses.capacity() / 4 {
            let keep = addresses.len() * 2;
            addresses.shrink_to(keep);
        }
    }
}

impl Admission {
    /// Whose place it is; `None` when that is not limited.
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// Counts a handshake, which came from a proxy, for `source`, on whose behalf it did.
    pub fn count_for(&mut self, source: IpAddr) -> Welcome {
        self.origin = Some(source).filter(|source| !self.gate.is_proxy(*source)).and_then(Origin::of);
        match self.origin {
            Some(origin) if self.gate.is_crowded_by(origin) => Welcome::Nobody,
            _ => Welcome::Anybody,
        }
    }

    /// Counts it as a browser's, which connects from `sender`.
    pub fn become_browser(mut self, sender: Option<IpAddr>) -> Result<Self, Full> {
        let gate = self.gate.clone();
        self.end_handshake();
        self.counted = Counted::Browser;
        self.origin = sender.filter(|sender| !gate.is_proxy(*sender)).and_then(Origin::of);
        let browsers = gate.browsers.fetch_add(1, Ordering::Relaxed) + 1;
        let at_address = self.origin.map_or(0, |origin| {
            let mut addresses = gate.addresses();
            let per_address = addresses.entry(origin).or_default();
            per_address.browsers += 1;
            per_address.browsers as usize
        });
        // Refusing drops the admission, which takes it off the counts again.
        if browsers > gate.config.max_connections {
            Err(Full::Node)
        } else if at_address > gate.config.max_connections_per_address {
            Err(Full::Address)
        } else {
            Ok(self)
        }
    }

    /// Counts it as a publisher's.
    pub fn become_publisher(mut self) -> Result<Self, Full> {
        self.end_handshake();
        self.counted = Counted::Publisher;
        self.origin = None;
        let publishers = self.gate.publishers.fetch_add(1, Ordering::Relaxed) + 1;
        if publishers > self.gate.config.max_publishers { Err(Full::Publishers) } else { Ok(self) }
    }

    fn end_handshake(&mut self) {
        self.gate.handshakes.fetch_sub(1, Ordering::Relaxed);
        if let Some(origin) = self.origin.take() {
            self.gate.leave_address(origin, Counted::Handshake);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.gate.sockets.fetch_sub(1, Ordering::Relaxed);
        let count = match self.counted {
            Counted::Handshake => &self.gate.handshakes,
            Counted::Browser => &self.gate.browsers,
            Counted::Publisher => &self.gate.publishers,
        };
        count.fetch_sub(1, Ordering::Relaxed);
        if let Some(origin) = self.origin {
            self.gate.leave_address(origin, self.counted);
        }
    }
}

/// An address as proxies write it: some add the port.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    text.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(config: Config) -> Arc<Gate> {
        Arc::new(Gate::new(Arc::new(config), 1000, 10))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_browsers_and_gets_room_back() {
        let gate = gate(Config { max_connections_per_address: 2, ..Config::default() });
        let browser = |address| {
            let (admission, welcome) = gate.enter(Some(ip(address)));
            assert_eq!(welcome, Welcome::Anybody);
            admission.become_browser(Some(ip(address)))
        };
        let first = browser("192.0.2.1").ok().unwrap();
        let _second = browser("192.0.2.1").ok().unwrap();
        assert_eq!(browser("192.0.2.1").err(), Some(Full::Address));
        assert!(browser("192.0.2.2").is_ok());
        drop(first);
        assert!(browser("192.0.2.1").is_ok());
        assert_eq!(gate.browsers(), 1);
        assert_eq!(gate.sockets.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_v6_network_counts_as_one_and_loopback_not_at_all() {
        assert_eq!(Origin::of(ip("2001:db8::1")), Origin::of(ip("2001:db8::ffff:0:0:2")));
        assert_ne!(Origin::of(ip("2001:db8::1")), Origin::of(ip("2001:db8:0:1::1")));
        assert_eq!(Origin::of(ip("::ffff:192.0.2.1")), Origin::of(ip("192.0.2.1")));
        for loopback in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(Origin::of(ip(loopback)), None);
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_who_is_behind_it() {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let gate = gate(Config { trusted_proxies, ..Config::default() });
        let sender = |peer, forwarded: &[&str]| gate.sender(ip(peer), forwarded.iter().copied()).to_string();
        assert_eq!(sender("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(sender("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(sender("10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(sender("10.0.0.1", &["203.0.113.9", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(sender("10.0.0.1", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(sender("10.0.0.1", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(sender("10.0.0.1", &["garbage"]), "10.0.0.1");
        assert_eq!(sender("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_a_proxy_sends_of_its_own_is_not_counted_as_one_address() {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let gate = gate(Config { trusted_proxies, max_connections_per_address: 1, ..Config::default() });
        let browser = |forwarded: &[&str]| {
            let sender = gate.sender(ip("10.0.0.1"), forwarded.iter().copied());
            gate.enter(Some(ip("10.0.0.1"))).0.become_browser(Some(sender))
        };
        let held = [browser(&[]), browser(&[])];
        assert!(held.iter().all(Result::is_ok));
        let held = [browser(&["192.0.2.1"]), browser(&["192.0.2.1"])];
        assert!(held[0].is_ok() && matches!(held[1], Err(Full::Address)));
    }

    #[test]
    fn what_is_left_is_kept_for_publishers() {
        let config = Config { max_handshakes: 2, ..Config::default() };
        let gate = gate(config);
        let held: Vec<_> = (0..3).map(|_| gate.enter(None)).collect();
        assert_eq!(held.iter().map(|(_, w)| *w).collect::<Vec<_>>()[1..], [Welcome::Anybody, Welcome::Reserved]);
        let small = Arc::new(Gate::new(Arc::new(Config::default()), 100, 30));
        let held: Vec<_> = (0..7).map(|_| small.enter(None)).collect();
        assert_eq!((held[5].1, held[6].1), (Welcome::Anybody, Welcome::Reserved));
    }

    #[test]
    fn behind_a_proxy_too_one_address_cannot_have_all_handshakes() {
        let trusted_proxies = vec!["10.0.0.1/32".parse().unwrap()];
        let gate = gate(Config { max_handshakes: 8, trusted_proxies, ..Config::default() });
        let mut held: Vec<_> = (0..6).map(|_| gate.enter(Some(ip("10.0.0.1"))).0).collect();
        let mut welcome = |n: usize, source| held[n].count_for(ip(source));
        assert_eq!([0, 1, 2].map(|n| welcome(n, "192.0.2.1")), [Welcome::Anybody, Welcome::Anybody, Welcome::Nobody]);
        assert_eq!([3, 4, 5].map(|n| welcome(n, "10.0.0.1")), [Welcome::Anybody; 3]);
        drop(held);
        assert!(gate.addresses().is_empty());
    }

    #[test]
    fn one_address_cannot_have_all_handshakes() {
        let gate = gate(Config { max_handshakes: 8, ..Config::default() });
        let held: Vec<_> = (0..3).map(|_| gate.enter(Some(ip("192.0.2.1")))).collect();
        assert_eq!((held[1].1, held[2].1), (Welcome::Anybody, Welcome::Nobody));
        assert_eq!(gate.enter(Some(ip("192.0.2.2"))).1, Welcome::Anybody);
    }
}
