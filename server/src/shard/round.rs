//! The way of a stream's publications round its subscribers.
//!
//! Publications that arrive while others are on their way join them: from the slot that is next, subscribers get all of
//! them in one write, and those who were passed already get the late ones in a second round. So a burst costs hardly
//! more than one write a subscriber even when its first publication set out alone, as it does without any delay.

use std::ops::Range;
use std::sync::Arc;

/// Publications of one stream under way, in their order.
pub(super) struct Round<T> {
    items: Vec<Arc<T>>,
    /// The slot at which each set out: never before that of the one before it.
    starts: Vec<usize>,
    /// So many have been everywhere.
    finished: usize,
    /// The next slot.
    at: usize,
    is_second: bool,
}

impl<T> Round<T> {
    /// They set out at the first slot.
    pub(super) fn new(items: Vec<Arc<T>>) -> Self {
        Self { starts: vec![0; items.len()], items, finished: 0, at: 0, is_second: false }
    }

    /// Lets one more set out at the next slot. Only in the first round, so that there are no more than two.
    pub(super) fn join(&mut self, item: Arc<T>) {
        debug_assert!(self.is_open());
        self.items.push(item);
        self.starts.push(self.at);
    }

    /// Whether others may still join.
    pub(super) fn is_open(&self) -> bool {
        !self.is_second && !self.is_over()
    }

    /// Whether all have been everywhere.
    pub(super) fn is_over(&self) -> bool {
        self.finished == self.items.len()
    }

    /// What goes to the next slots.
    pub(super) fn under_way(&self) -> &[Arc<T>] {
        &self.items[self.finished..]
    }

    /// The next slots of `len`, `most` of them at most, that all get the same. There are fewer than before when all
    /// subscribers left meanwhile and others came.
    pub(super) fn slots(&self, len: usize, most: usize) -> Range<usize> {
        let end = if self.is_second { self.starts[self.finished].min(len) } else { len };
        self.at.min(end)..end.min(self.at + most)
    }

    /// Those slots, which end before `end`, were served. Returns what has now been everywhere.
    pub(super) fn served(&mut self, end: usize, len: usize) -> &[Arc<T>] {
        self.at = end;
        let before = self.finished;
        if !self.is_second && self.at >= len {
            (self.is_second, self.at) = (true, 0);
        }
        if self.is_second {
            let rest = &self.starts[before..];
            self.finished += rest.iter().take_while(|start| **start <= self.at || self.at >= len).count();
        }
        &self.items[before..self.finished]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes round `len` slots, `most` at a time; before step n `arrivals[n]` publications join, if they still may.
    /// Returns what each slot got, how many were published, and how many writes that took.
    fn go(len: usize, most: usize, arrivals: &[usize]) -> (Vec<Vec<usize>>, usize, usize) {
        let mut round = Round::new(vec![Arc::new(0)]);
        let (mut got, mut published, mut writes, mut finished) = (vec![Vec::new(); len], 1, 0, 0);
        for step in 0.. {
            for _ in 0..arrivals.get(step).copied().unwrap_or(0) {
                if round.is_open() {
                    round.join(Arc::new(published));
                    published += 1;
                }
            }
            let slots = round.slots(len, most);
            writes += slots.len();
            for slot in slots.clone() {
                got[slot].extend(round.under_way().iter().map(|item| **item));
            }
            finished += round.served(slots.end, len).len();
            if round.is_over() {
                break;
            }
        }
        assert_eq!(finished, published);
        (got, published, writes)
    }

    #[test]
    fn every_slot_gets_everything_once_and_in_order() {
        for len in [0, 1, 7, 16] {
            for most in [1, 3, 16, 100] {
                for arrivals in [&[][..], &[3], &[0, 1, 0, 2], &[1, 1, 1, 1, 1, 1, 1, 1], &[0, 0, 0, 0, 0, 0, 0, 5]] {
                    let (got, published, _) = go(len, most, arrivals);
                    let all: Vec<_> = (0..published).collect();
                    assert!(
                        got.iter().all(|slot| *slot == all),
                        "{len} slots, {most} at a time, {arrivals:?}: {got:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn who_comes_after_all_have_left_gets_what_joins_then() {
        let mut round = Round::new(vec![Arc::new(0)]);
        assert_eq!(round.slots(100, 16), 0..16);
        assert!(round.served(16, 100).is_empty());
        // Now two have come anew, and something is published.
        round.join(Arc::new(1));
        assert_eq!(round.slots(2, 32), 2..2);
        assert_eq!(round.served(2, 2).len(), 1);
        assert_eq!((round.slots(2, 32), *round.under_way()[0]), (0..2, 1));
        assert_eq!(round.served(2, 2).len(), 1);
        assert!(round.is_over());
    }

    #[test]
    fn a_burst_whose_first_publication_set_out_alone_costs_hardly_more_than_one_write_a_slot() {
        let (_, published, writes) = go(1000, 16, &[0, 15]);
        assert_eq!((published, writes), (16, 1000 + 16));
    }
}
