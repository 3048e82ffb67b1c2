//! Numbered places whose memory is given back.

use std::ops::{Deref, DerefMut};

use slab::Slab;

/// A slab that shrinks when most of it is empty. Shrinking walks over all of it, so it waits until as many have gone as
/// are left: whatever the order in which they go, all of it together costs no more than a few walks.
pub struct Slots<T> {
    slab: Slab<T>,
    /// Removals since it last shrank.
    removed: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slab: Slab::new(), removed: 0 }
    }
}

impl<T> Slots<T> {
    /// Empties a slot that is in use.
    pub fn remove(&mut self, slot: usize) -> T {
        let gone = self.slab.remove(slot);
        self.removed += 1;
        if self.slab.len() < self.slab.capacity() / 4 && self.removed >= self.slab.len() {
            self.slab.shrink_to_fit();
            self.removed = 0;
        }
        gone
    }
}

impl<T> Deref for Slots<T> {
    type Target = Slab<T>;

    fn deref(&self) -> &Slab<T> {
        &self.slab
    }
}

impl<T> DerefMut for Slots<T> {
    fn deref_mut(&mut self) -> &mut Slab<T> {
        &mut self.slab
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_in_few_steps_whoever_goes_first() {
        const COUNT: usize = 40_000;
        let up: Vec<_> = (0..COUNT).collect();
        let down: Vec<_> = (0..COUNT).rev().collect();
        // Shrinking at each removal would walk over the first three quarters again for each of the last.
        let last_stay_and_go_down = [&up[..COUNT / 4 * 3], &down[..COUNT / 4]].concat();
        for order in [up, down, last_stay_and_go_down] {
            let mut slots = Slots::default();
            for slot in 0..COUNT {
                assert_eq!(slots.insert(slot), slot);
            }
            let mut steps = 0;
            for slot in order {
                let before = slots.capacity();
                assert_eq!(slots.remove(slot), slot);
                steps += usize::from(slots.capacity() != before);
            }
            assert!(slots.is_empty() && slots.capacity() < 4, "room for {} is kept", slots.capacity());
            assert!(steps < 40, "it shrank {steps} times");
        }
    }
}
