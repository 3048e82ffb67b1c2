//! The node's budget for what waits: outboxes and unfinished messages of all browsers together.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Bytes that wait on each shard, and the bound for their sum.
#[derive(Debug)]
pub struct Budget {
    shards: Box<[Share]>,
    max: usize,
}

#[derive(Debug, Default)]
struct Share {
    used: AtomicUsize,
    /// Whether the shard was asked to make room and has not done so yet.
    asked: AtomicBool,
}

impl Budget {
    /// Nothing used of `max` bytes.
    pub fn new(shards: usize, max: usize) -> Self {
        Self { shards: (0..shards).map(|_| Share::default()).collect(), max }
    }

    /// Something on `shard` that waited `before` bytes now waits `after`.
    pub fn change(&self, shard: u16, before: usize, after: usize) {
        let used = &self.shards[usize::from(shard)].used;
        if after > before {
            used.fetch_add(after - before, Ordering::Relaxed);
        } else if before > after {
            used.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    fn used(&self, share: &Share) -> usize {
        share.used.load(Ordering::Relaxed)
    }

    /// How many bytes must go; 0 while the budget holds. A tenth more than is needed, so that the next byte does not ask
    /// for the next victim.
    pub fn excess(&self) -> usize {
        let used: usize = self.shards.iter().map(|share| self.used(share)).sum();
        if used > self.max { used - self.max / 10 * 9 } else { 0 }
    }

    /// The shard that must make room and was not asked to yet: the one where most waits.
    pub fn ask(&self) -> Option<u16> {
        if self.excess() == 0 {
            return None;
        }
        let (shard, share) = (0u16..).zip(&self.shards).max_by_key(|(_, share)| self.used(share))?;
        (!share.asked.swap(true, Ordering::Relaxed)).then_some(shard)
    }

    /// `shard` does what it was asked for.
    pub fn answer(&self, shard: u16) {
        self.shards[usize::from(shard)].asked.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_where_most_waits_is_asked_once() {
        let budget = Budget::new(3, 1000);
        budget.change(0, 0, 300);
        budget.change(2, 0, 700);
        assert_eq!((budget.excess(), budget.ask()), (0, None));
        budget.change(0, 300, 301);
        assert_eq!((budget.excess(), budget.ask(), budget.ask()), (101, Some(2), None));
        budget.change(2, 700, 100);
        budget.answer(2);
        assert_eq!((budget.excess(), budget.ask()), (0, None));
    }
}
