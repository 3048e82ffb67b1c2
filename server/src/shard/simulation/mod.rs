//! The real sequencer, outboxes and decisions, driven step by step in a random order, against a simple oracle.
//!
//! What is simulated is only what waits: sockets of which the other end reads when chance says so, tasks that get their
//! turn then, a store that is a list, and hours that pass at once.

mod browser;
mod server;
mod truth;

use std::time::Duration;

use proptest::prelude::*;

use self::browser::Browser;
use self::server::Server;
use self::truth::{CHANNELS, Truth};

const BROWSERS: usize = 3;
/// One step of the clock. Lifetimes are whole numbers of it, so that the test's own milliseconds decide nothing.
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug)]
enum From {
    Now,
    Position,
    Earliest,
    Latest,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish { channel: usize, size: usize, exclude: Option<usize>, key: bool },
    Repeat { which: usize },
    Subscribe { browser: usize, channel: usize, from: From },
    Unsubscribe { browser: usize, channel: usize },
    Break { browser: usize },
    FanOut { shard: usize, items: usize, subscribers: usize },
    CatchUp { browser: usize },
    Read { browser: usize, bytes: usize },
    Hour,
    Trim { channel: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (browser, channel) = (0..BROWSERS, 0..CHANNELS.len());
    let from = prop_oneof![
        2 => Just(From::Now),
        6 => Just(From::Position),
        1 => Just(From::Earliest),
        1 => Just(From::Latest)
    ];
    let exclude = prop::option::weighted(0.2, browser.clone());
    prop_oneof![
        8 => (channel.clone(), prop_oneof![0..40usize, 400..900usize], exclude, prop::bool::weighted(0.2))
            .prop_map(|(channel, size, exclude, key)| Step::Publish { channel, size, exclude, key }),
        1 => (0..100usize).prop_map(|which| Step::Repeat { which }),
        4 => (browser.clone(), channel.clone(), from)
            .prop_map(|(browser, channel, from)| Step::Subscribe { browser, channel, from }),
        1 => (browser.clone(), channel.clone())
            .prop_map(|(browser, channel)| Step::Unsubscribe { browser, channel }),
        1 => browser.clone().prop_map(|browser| Step::Break { browser }),
        6 => (0..server::SHARDS, 1..6usize, 1..4usize)
            .prop_map(|(shard, items, subscribers)| Step::FanOut { shard, items, subscribers }),
        5 => browser.clone().prop_map(|browser| Step::CatchUp { browser }),
        4 => (browser, 1..2500usize).prop_map(|(browser, bytes)| Step::Read { browser, bytes }),
        1 => Just(Step::Hour),
        1 => channel.prop_map(|channel| Step::Trim { channel }),
    ]
}

struct World {
    server: Server,
    truth: Truth,
    browsers: Vec<Browser>,
}

impl World {
    fn new() -> Self {
        Self { server: Server::new(BROWSERS), truth: Truth::default(), browsers: vec![Browser::default(); BROWSERS] }
    }

    fn take(&mut self, step: Step) {
        let Self { server, truth, browsers } = self;
        match step {
            Step::Publish { channel, size, exclude, key } => {
                let exclude = exclude.and_then(|browser| server.id(browser));
                truth.publish(server, channel, size, exclude, key);
            }
            Step::Repeat { which } => truth.repeat(server, which),
            Step::Subscribe { browser, channel, from } => {
                if server.connect(browser) {
                    browsers[browser].connected();
                }
                let mode = browsers[browser].subscribe(channel, from, truth);
                let got = server.subscribe(browser, channel, &mode, &browsers[browser].previous);
                truth.judge(channel, &mode, &got);
                browsers[browser].asked(channel, &mode, &got);
            }
            Step::Unsubscribe { browser, channel } => {
                server.unsubscribe(browser, channel);
                browsers[browser].unsubscribe(channel);
            }
            Step::Break { browser } => {
                if let Some(id) = server.disconnect(browser) {
                    browsers[browser].lost(id);
                }
            }
            Step::FanOut { shard, items, subscribers } => server.fan_out(shard, items, subscribers),
            Step::CatchUp { browser } => server.catch_up(browser, truth),
            Step::Read { browser, bytes } => {
                let read = server.read(browser, bytes);
                let own = server.id(browser);
                browsers[browser].take(&read, own, truth);
            }
            Step::Hour => {
                server.hub.let_pass(HOUR);
                truth.hour();
                // Often enough to look at every stream once.
                for _ in 0..64 {
                    server.hub.tick();
                }
            }
            Step::Trim { channel } => truth.trim(server, channel),
        }
        for closed in self.server.closed() {
            // Too slow: it hears no more from this connection.
            if let Some(id) = self.server.disconnect(closed) {
                self.browsers[closed].lost(id);
            }
        }
        self.server.check_bounds();
        for (channel, truth) in self.truth.channels.iter_mut().enumerate() {
            truth.note_use(self.browsers.iter().any(|browser| browser.uses(channel)));
        }
    }

    /// Everybody reads and everything that waits is done: then everybody must be where the channel is.
    fn settle(&mut self) {
        loop {
            for shard in 0..server::SHARDS {
                self.take(Step::FanOut { shard, items: 3, subscribers: 2 });
            }
            for browser in 0..BROWSERS {
                self.take(Step::CatchUp { browser });
                self.take(Step::Read { browser, bytes: 1500 });
            }
            if self.server.is_settled() {
                break;
            }
        }
        for (index, browser) in self.browsers.iter().enumerate() {
            for channel in 0..CHANNELS.len() {
                self.server.check_live(index, channel, browser.uses(channel));
                browser.check_top(channel, self.server.top(channel));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn everybody_gets_everything_in_order_or_is_told(
        first in prop::collection::vec(step(), 1..120),
        second in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new();
        for steps in [first, second] {
            for step in steps {
                world.take(step);
            }
            world.settle();
        }
    }
}

#[test]
fn a_million_freed_channels_make_no_old_position_look_whole() {
    const COUNT: usize = 1_000_000;
    const AT_A_TIME: usize = 50_000;
    /// Of so many one is looked at.
    const EVERY: usize = 100;
    let mut server = Server::new(0);
    let mut sampled = Vec::new();
    let name = |number: usize| format!("memory.{number}");
    for number in 0..COUNT {
        let offset = server.publish_in(&name(number), 1);
        if number % EVERY == 0 {
            sampled.push((number, offset));
        }
        if number % AT_A_TIME == AT_A_TIME - 1 {
            for _ in 0..truth::MEMORY_HOURS {
                server.hub.let_pass(HOUR);
            }
            for _ in 0..64 {
                server.hub.tick();
            }
        }
    }
    let first = server.publish_in("memory.0", 1);
    assert!(first <= 1 + COUNT as u64 / AT_A_TIME as u64, "all of them were freed; it got {first}");
    for (number, offset) in sampled {
        // Who was there before the channel's publication, and comes back after it has gone.
        let (name, before) = (name(number), offset - 1);
        assert!(!server.recovers(&name, before), "{name} from {before}: {offset} is gone");
        server.publish_in(&name, 2);
        assert!(!server.recovers(&name, before), "{name} from {before}: {offset} is gone, and there are new ones");
    }
}
