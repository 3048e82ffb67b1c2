//! A server without sockets and threads, for one input.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwap;
use realtime_protocol::ChannelName;
use serde::de::IgnoredAny;
use tokio::sync::Notify;

use super::{check_answer, policy, trusted};
use crate::Shared;
use crate::config::Config;
use crate::directory::{Directory, Member, Place};
use crate::gate::Gate;
use crate::grant::Grant;
use crate::hub::{Hub, Stream, Wish};
use crate::inbox::{Inbox, Item};
use crate::memory::Budget;
use crate::refusals::Refusals;
use crate::token::Revocations;

const CONFIG: &str = r#"
    max_publication = "1KiB"
    outbox_max = "1MiB"
    history.memory_max = "1MiB"
    idempotency.max_keys = 16
    channels = [
        { pattern = "kept*", history.size = 3, history.ttl = "1h" },
        { pattern = "who*", presence.enabled = true },
    ]
    [users]
    history.size = 2
    history.ttl = "1h"
"#;

/// Channels with a subscriber.
const SUBSCRIBED: &[&str] = &["c", "kept", "who"];

/// The server's parts that need no socket.
pub(super) struct Node {
    pub(super) shared: Arc<Shared>,
    /// That of who may publish everything.
    pub(super) grant: Arc<Grant>,
    inbox: Arc<Inbox>,
    /// The one connection.
    pub(super) place: Place,
}

impl Node {
    pub(super) fn new() -> Self {
        static CONFIGURED: LazyLock<Arc<Config>> = LazyLock::new(|| Arc::new(trusted(CONFIG)));
        let config = CONFIGURED.clone();
        let inbox = Arc::new(Inbox::default());
        let directory = Arc::new(Directory::new(1));
        let place = Place { shard: 0, slot: 0, tag: [7; 12] };
        directory.enter(place.shard, place.slot, Arc::new(Member::new(place.tag)));
        let policy = Arc::new(ArcSwap::from_pointee(policy(&config)));
        let rules = policy.clone();
        let rule_of = Box::new(move |name: &_| rules.load().stream(name));
        let hub = Arc::new(Hub::new(Box::new([inbox.clone()]), directory.clone(), &config, rule_of));
        for (local, name) in (0..).zip(SUBSCRIBED) {
            let channel = ChannelName::parse(name).unwrap_or_else(|error| panic!("{name}: {error}"));
            hub.subscribe(0, Stream::channel(channel), Wish::default(), |_, _, _| local, drop);
        }
        let shared = Shared {
            policy,
            hub,
            store: None,
            revocations: Arc::new(Revocations::new(config.tokens.max_ttl)),
            tls: None,
            refusals: Refusals::default(),
            directory,
            gate: Arc::new(Gate::new(config.clone(), 1024, 0)),
            budget: Budget::new(1, config.memory_max),
            config,
            shards: Box::new([]),
            next_shard: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            crashed: Notify::new(),
            reloaded: Notify::new(),
        };
        let grant = shared.policy.load().grants.unix().clone();
        Self { shared: Arc::new(shared), grant, inbox, place }
    }

    /// Checks what was queued for subscribers, and returns how many publications that were.
    pub(super) fn check_queued(&self) -> usize {
        let mut items = Vec::new();
        self.inbox.take_now(&mut items);
        let mut publications = 0;
        for item in &items {
            match item {
                Item::Publication { publication, .. } | Item::Direct { publication, .. } => {
                    publications += 1;
                    check_frame(publication.frame());
                }
                Item::Reply { text, .. } => check_answer(text),
                Item::Relieve | Item::Measure { .. } | Item::Disconnect { .. } => {}
            }
        }
        publications
    }
}

/// A server's frame holds one JSON text, whose length is the header's.
fn check_frame(frame: &[u8]) {
    let text = match frame {
        [0x81, 127, rest @ ..] => &rest[8..],
        [0x81, 126, rest @ ..] => &rest[2..],
        [0x81, length, rest @ ..] if usize::from(*length) == rest.len() => rest,
        _ => panic!("no text frame: {frame:?}"),
    };
    assert!(serde_json::from_slice::<IgnoredAny>(text).is_ok(), "subscribers get {:?}", String::from_utf8_lossy(text));
}

/// What never waits, since there is no store.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits for something that nobody does"),
    }
}
