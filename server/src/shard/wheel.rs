//! One timer for all connections of a shard: heartbeats and deadlines, to the tick.

use std::time::Duration;

/// Slots; a deadline further away is looked at when its slot comes round and put off again.
const SLOTS: usize = 128;

/// A time on the shard's clock, in ticks since it started.
pub type Tick = u32;

/// What a deadline is for: a slot of the shard's connections and which of its tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The slot.
    pub slot: u32,
    /// Which connection of those that the slot has seen.
    pub generation: u32,
}

/// A wheel of slots, each with the keys that are due when it comes round.
#[derive(Debug)]
pub struct Wheel {
    slots: Vec<Vec<Key>>,
    now: Tick,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { slots: vec![Vec::new(); SLOTS], now: 0 }
    }
}

impl Wheel {
    /// Makes `key` due at `at`, or at the wheel's horizon if that is earlier; returns when that is.
    pub fn insert(&mut self, key: Key, at: Tick) -> Tick {
        let ahead = (at.saturating_sub(self.now) as usize).clamp(1, SLOTS - 1);
        self.slots[(self.now as usize + ahead) % SLOTS].push(key);
        self.now + ahead as Tick
    }

    /// Moves on to `now` and returns what came due.
    pub fn advance(&mut self, now: Tick) -> Vec<Key> {
        let mut due = Vec::new();
        let steps = (now.saturating_sub(self.now) as usize).min(SLOTS);
        for _ in 0..steps {
            self.now += 1;
            // Taking the vector gives its memory back once a burst of connections is over.
            due.append(&mut std::mem::take(&mut self.slots[self.now as usize % SLOTS]));
        }
        self.now = self.now.max(now);
        due
    }
}

/// A tick fine enough for the shortest of these spans.
pub fn tick_for(spans: &[Duration]) -> Duration {
    let shortest = spans.iter().min().copied().unwrap_or(Duration::from_secs(1));
    (shortest / 8).clamp(Duration::from_millis(10), Duration::from_secs(1))
}

/// `span` in ticks, rounded up.
pub fn ticks(span: Duration, tick: Duration) -> Tick {
    u32::try_from(span.as_micros().div_ceil(tick.as_micros())).unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(slot: u32) -> Key {
        Key { slot, generation: 0 }
    }

    #[test]
    fn keys_come_due_at_their_tick_and_once() {
        let mut wheel = Wheel::default();
        wheel.insert(key(1), 3);
        wheel.insert(key(2), 5);
        assert_eq!(wheel.advance(2), []);
        assert_eq!(wheel.advance(3), [key(1)]);
        assert_eq!(wheel.advance(1000), [key(2)]);
        assert_eq!(wheel.advance(2000), []);
    }

    #[test]
    fn a_deadline_beyond_the_horizon_comes_early_never_late() {
        let mut wheel = Wheel::default();
        wheel.insert(key(1), 100_000);
        assert_eq!(wheel.advance(SLOTS as u32), [key(1)]);
    }
}
