//! What was used of rates: by one connection, and by many in a table.

use std::array;
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Cost, Kind};
use crate::rate::{Bucket, Rate};

pub(super) const STRIPES: usize = 32;
/// Most entries of one stripe: 262,144 users, and as many addresses. Who is more than that is held to the rates of its
/// connection only; that many need a network of a quarter million /64s, all of them sending at the same time.
pub(super) const MAX_ENTRIES: usize = 8_192;

/// What was used, by kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used(pub(super) [Bucket; 3]);

impl Used {
    pub(super) fn take(&mut self, now: Instant, rates: &[Rate; 3], cost: Cost) -> Result<(), (Kind, Duration)> {
        for (((bucket, rate), count), kind) in self.0.iter_mut().zip(rates).zip(cost.0).zip(Kind::ALL) {
            if count > 0 {
                bucket.take(now, *rate, count).map_err(|wait| (kind, wait))?;
            }
        }
        Ok(())
    }

    pub(super) fn is_unused(&self, now: Instant) -> bool {
        self.0.iter().all(|bucket| bucket.is_unused(now))
    }
}

/// What many have used, by a hash that nobody outside can foresee.
#[derive(Debug)]
pub(super) struct Table {
    seed: RandomState,
    stripes: [Mutex<HashMap<u64, Used>>; STRIPES],
}

impl Default for Table {
    fn default() -> Self {
        Self { seed: RandomState::new(), stripes: array::from_fn(|_| Mutex::default()) }
    }
}

impl Table {
    pub(super) fn stripe(&self, at: usize) -> MutexGuard<'_, HashMap<u64, Used>> {
        // An entry is never half-changed, so a poisoned lock guards nothing broken.
        self.stripes[at % STRIPES].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(
        &self,
        now: Instant,
        rates: &[Rate; 3],
        cost: Cost,
        who: Option<&impl Hash>,
    ) -> Result<(), (Kind, Duration)> {
        let Some(who) = who else { return Ok(()) };
        let key = self.seed.hash_one(who);
        let mut stripe = self.stripe(key as usize);
        // Looking for room here would cost each of many strangers' commands a walk over all of it; the sweep makes room.
        if stripe.len() >= MAX_ENTRIES && !stripe.contains_key(&key) {
            return Ok(());
        }
        match stripe.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().take(now, rates, cost),
            Entry::Vacant(new) => {
                let mut used = Used::default();
                used.take(now, rates, cost)?;
                if !used.is_unused(now) {
                    new.insert(used);
                }
                Ok(())
            }
        }
    }

    /// Forgets what makes no difference any more, stripe by stripe: `turn` counts the calls.
    pub(super) fn sweep(&self, turn: usize, now: Instant) {
        let mut stripe = self.stripe(turn);
        stripe.retain(|_, used| !used.is_unused(now));
        if stripe.len() <= stripe.capacity() / 4 {
            let keep = stripe.len() * 2;
            stripe.shrink_to(keep);
        }
    }
}
