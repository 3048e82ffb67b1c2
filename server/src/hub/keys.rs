//! Idempotency: a publication that is sent again has its effect once.
//!
//! A key's lock is held while its publication is sequenced, so a repetition that arrives meanwhile waits for the outcome
//! of the first one. Keys of the PHP extension are a prefix per process and a counter, so the last
//! [`WINDOW`] of each process are enough; keys of applications are kept one by one.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use realtime_protocol::IdempotencyKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use twox_hash::XxHash3_64;

use crate::config::IdempotencyConfig;

/// Commands of one process that are remembered.
pub const WINDOW: usize = 1_024;
/// Channels and receivers that they may have named altogether.
pub const MAX_SCOPES: usize = 64 * WINDOW;
const STRIPES: usize = 64;

/// What was answered the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Connections that it was queued for.
    pub receivers: u64,
    /// Its place, when the stream has a history.
    pub offset: Option<u64>,
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// It was used for something else.
    Conflict,
    /// As many keys are remembered as may be.
    TooMany,
}

/// A key together with what it is for.
#[derive(Debug)]
pub struct Keyed<'a> {
    /// The key.
    pub key: &'a IdempotencyKey,
    /// Where the publication goes: the same key means nothing elsewhere.
    pub scope: u64,
    /// What the publication says, to tell a repetition from another one under the same key.
    pub digest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    until: u64,
    digest: u64,
    outcome: Outcome,
}

/// 128 bits of a hash of scope and key: nobody makes two that are equal.
type Fingerprint = [u8; 16];

#[derive(Default)]
struct Applications {
    known: HashMap<Fingerprint, Remembered>,
    /// In the order in which they end.
    order: VecDeque<Fingerprint>,
}

#[derive(Default)]
struct Processes {
    windows: HashMap<[u8; 16], Window>,
}

/// What one process has sent lately.
#[derive(Default)]
struct Window {
    /// By counter and scope: a broadcast to several channels has one key.
    known: HashMap<(u64, u64), Remembered>,
    /// In the order in which it came, which for what was deferred or is sent again is not that of the counters.
    order: VecDeque<(u64, u64)>,
    /// How many commands that is.
    commands: usize,
}

impl Window {
    fn remember(&mut self, counter: u64, scope: u64, remembered: Remembered) {
        self.commands += usize::from(self.order.back().is_none_or(|(last, _)| *last != counter));
        self.known.insert((counter, scope), remembered);
        self.order.push_back((counter, scope));
        while self.commands > WINDOW || self.order.len() > MAX_SCOPES {
            self.forget_first();
        }
    }

    fn forget_old(&mut self, now: u64) {
        let is_old = |window: &Self| {
            let first = window.order.front()?;
            Some(window.known.get(first).is_none_or(|known| known.until <= now))
        };
        while is_old(self) == Some(true) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some(first) = self.order.pop_front() else { return };
        self.known.remove(&first);
        self.commands -= usize::from(self.order.front().is_none_or(|(next, _)| *next != first.0));
    }
}

/// A number that stands for these parts in their order, in every version of the server.
pub fn fingerprint(parts: &[&[u8]]) -> u64 {
    parts.iter().fold(0, |seed, part| XxHash3_64::oneshot_with_seed(seed, part))
}

/// All keys that are remembered in memory.
pub struct Keys {
    applications: Box<[Mutex<Applications>]>,
    processes: Box<[Mutex<Processes>]>,
    count: AtomicUsize,
    config: IdempotencyConfig,
}

/// What a snapshot has of a key.
#[derive(Deserialize, Serialize)]
pub(super) struct SavedKey {
    /// The fingerprint of an application's key, or the prefix of a process.
    id: [u8; 16],
    /// The process's counter and the scope.
    sent: Option<(u64, u64)>,
    until: u64,
    digest: u64,
    receivers: u64,
    offset: Option<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic inside would be the publication's, before anything was remembered.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Keys {
    /// Nothing remembered yet.
    pub fn new(config: IdempotencyConfig) -> Self {
        Self {
            applications: (0..STRIPES).map(|_| Mutex::default()).collect(),
            processes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            config,
        }
    }

    /// Carries out `publish`, unless the key says that this was done before. The flag says whether it was. What fails is
    /// not remembered: the same key may be tried again.
    pub fn once<E: From<KeyRefusal>>(
        &self,
        keyed: &Keyed<'_>,
        now: u64,
        publish: impl FnOnce() -> Result<Outcome, E>,
    ) -> Result<(Outcome, bool), E> {
        match keyed.key {
            IdempotencyKey::Made { prefix, counter } => self.once_of_process(*prefix, *counter, keyed, now, publish),
            IdempotencyKey::Application(key) => self.once_of_application(key, keyed, now, publish),
        }
    }

    fn once_of_process<E: From<KeyRefusal>>(
        &self,
        prefix: [u8; 16],
        counter: u64,
        keyed: &Keyed<'_>,
        now: u64,
        publish: impl FnOnce() -> Result<Outcome, E>,
    ) -> Result<(Outcome, bool), E> {
        let stripe = usize::from(prefix[0]) % STRIPES;
        let mut processes = lock(&self.processes[stripe]);
        let window = processes.windows.entry(prefix).or_default();
        window.forget_old(now);
        if let Some(known) = window.known.get(&(counter, keyed.scope)).filter(|known| known.until > now) {
            return repeated(known, keyed.digest).map_err(E::from);
        }
        let outcome = publish()?;
        let remembered = Remembered { until: now + ms(self.config.ttl), digest: keyed.digest, outcome };
        window.remember(counter, keyed.scope, remembered);
        Ok((outcome, false))
    }

    fn once_of_application<E: From<KeyRefusal>>(
        &self,
        key: &str,
        keyed: &Keyed<'_>,
        now: u64,
        publish: impl FnOnce() -> Result<Outcome, E>,
    ) -> Result<(Outcome, bool), E> {
        let mut fingerprint = Fingerprint::default();
        let hash = Sha256::new().chain_update(keyed.scope.to_be_bytes()).chain_update(key).finalize();
        fingerprint.copy_from_slice(&hash[..16]);
        let stripe = usize::from(fingerprint[0]) % STRIPES;
        let mut applications = lock(&self.applications[stripe]);
        self.forget(&mut applications, now);
        if let Some(known) = applications.known.get(&fingerprint).filter(|known| known.until > now) {
            return repeated(known, keyed.digest).map_err(E::from);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.config.max_keys {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(KeyRefusal::TooMany.into());
        }
        let outcome = publish().inspect_err(|_| {
            self.count.fetch_sub(1, Ordering::Relaxed);
        })?;
        let remembered = Remembered { until: now + ms(self.config.ttl), digest: keyed.digest, outcome };
        applications.known.insert(fingerprint, remembered);
        applications.order.push_back(fingerprint);
        Ok((outcome, false))
    }

    /// What a snapshot keeps.
    pub(super) fn saved(&self, now: u64) -> Vec<SavedKey> {
        let key = |id: &[u8; 16], sent, known: &Remembered| {
            let Outcome { receivers, offset } = known.outcome;
            SavedKey { id: *id, sent, until: known.until, digest: known.digest, receivers, offset }
        };
        let mut saved = Vec::new();
        for applications in &self.applications {
            let applications = lock(applications);
            let known = applications.order.iter().filter_map(|id| Some((id, applications.known.get(id)?)));
            saved.extend(known.map(|(id, known)| key(id, None, known)));
        }
        for processes in &self.processes {
            for (prefix, window) in &lock(processes).windows {
                let known = window.order.iter().filter_map(|sent| Some((*sent, window.known.get(sent)?)));
                saved.extend(known.map(|(sent, known)| key(prefix, Some(sent), known)));
            }
        }
        saved.retain(|key| key.until > now);
        saved
    }

    /// Takes over what [`Self::saved`] has given, in its order.
    pub(super) fn restore(&self, key: &SavedKey) {
        let SavedKey { id, sent, until, digest, receivers, offset } = *key;
        let remembered = Remembered { until, digest, outcome: Outcome { receivers, offset } };
        let stripe = usize::from(id[0]) % STRIPES;
        match sent {
            Some((counter, scope)) => {
                let mut processes = lock(&self.processes[stripe]);
                processes.windows.entry(id).or_default().remember(counter, scope, remembered);
            }
            None => {
                let mut applications = lock(&self.applications[stripe]);
                applications.known.insert(id, remembered);
                applications.order.push_back(id);
                self.count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn forget(&self, applications: &mut Applications, now: u64) {
        let Applications { known, order } = applications;
        while order.front().is_some_and(|first| known.get(first).is_none_or(|known| known.until <= now)) {
            if order.pop_front().and_then(|first| known.remove(&first)).is_some() {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if known.is_empty() {
            (*known, *order) = (HashMap::new(), VecDeque::new());
        } else if known.len() < known.capacity() / 4 {
            known.shrink_to(known.len() * 2);
            order.shrink_to(order.len() * 2);
        }
    }

    /// Forgets what has run out, stripe by stripe: `turn` counts the calls.
    pub fn sweep(&self, turn: usize, now: u64) {
        self.forget(&mut lock(&self.applications[turn % STRIPES]), now);
        let mut processes = lock(&self.processes[turn % STRIPES]);
        processes.windows.retain(|_, window| {
            window.forget_old(now);
            !window.order.is_empty()
        });
        processes.windows.shrink_to_fit();
    }
}

fn repeated(known: &Remembered, digest: u64) -> Result<(Outcome, bool), KeyRefusal> {
    if known.digest == digest { Ok((known.outcome, true)) } else { Err(KeyRefusal::Conflict) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: u64 = 300_000;

    fn keys(max_keys: usize) -> Keys {
        Keys::new(IdempotencyConfig { ttl: Duration::from_millis(TTL), max_keys })
    }

    fn send(keys: &Keys, key: &IdempotencyKey, scope: u64, digest: u64, now: u64) -> Result<bool, KeyRefusal> {
        let publish = || Ok(Outcome { receivers: digest, offset: Some(now) });
        let (outcome, duplicate) = keys.once(&Keyed { key, scope, digest }, now, publish)?;
        assert_eq!(outcome.receivers, digest);
        Ok(duplicate)
    }

    fn made(counter: u64) -> IdempotencyKey {
        IdempotencyKey::Made { prefix: [3; 16], counter }
    }

    #[test]
    fn a_key_has_one_effect_within_its_time_and_its_scope() {
        for key in [IdempotencyKey::Application("k".into()), made(7)] {
            let keys = keys(10);
            assert_eq!(send(&keys, &key, 1, 5, 0), Ok(false));
            assert_eq!(send(&keys, &key, 1, 5, TTL - 1), Ok(true));
            assert_eq!(send(&keys, &key, 2, 5, TTL - 1), Ok(false));
            assert_eq!(send(&keys, &key, 1, 6, TTL - 1), Err(KeyRefusal::Conflict));
            assert_eq!(send(&keys, &key, 1, 6, TTL), Ok(false));
        }
    }

    #[test]
    fn the_last_thousand_commands_of_a_process_are_remembered_whatever_their_counters() {
        let keys = keys(10);
        // The first one was deferred, and is sent after all others.
        for counter in (2..=2_000).chain([1]) {
            assert_eq!(send(&keys, &made(counter), 1, counter, 0), Ok(false));
        }
        for counter in (2_002 - WINDOW as u64..=2_000).chain([1]) {
            assert_eq!(send(&keys, &made(counter), 1, counter, 1), Ok(true), "{counter}");
        }
        assert_eq!(send(&keys, &made(2_001 - WINDOW as u64), 1, 2_001 - WINDOW as u64, 1), Ok(false));
    }

    #[test]
    fn commands_that_name_many_channels_are_bounded_altogether() {
        let keys = keys(10);
        for counter in 0..100 {
            for scope in 0..1_000 {
                assert_eq!(send(&keys, &made(counter), scope, 1, 0), Ok(false));
            }
        }
        let remembered: usize =
            keys.processes.iter().map(|p| lock(p).windows.values().map(|w| w.known.len()).sum::<usize>()).sum();
        assert_eq!(remembered, MAX_SCOPES);
        assert_eq!(send(&keys, &made(99), 999, 1, 1), Ok(true));
    }

    #[test]
    fn what_failed_may_be_tried_again() {
        let keys = keys(1);
        for key in [IdempotencyKey::Application("k".into()), made(7)] {
            let keyed = Keyed { key: &key, scope: 1, digest: 1 };
            assert_eq!(keys.once(&keyed, 0, || Err(KeyRefusal::TooMany)), Err(KeyRefusal::TooMany));
            assert_eq!(send(&keys, &key, 1, 1, 0), Ok(false));
        }
    }

    #[test]
    fn keys_of_applications_are_bounded_and_leave_nothing_behind() {
        let keys = keys(100);
        let key = |n: u64| IdempotencyKey::Application(format!("k{n}").into());
        for n in 0..100 {
            assert_eq!(send(&keys, &key(n), 1, 1, n), Ok(false));
        }
        assert_eq!(send(&keys, &key(100), 1, 1, 100), Err(KeyRefusal::TooMany));
        assert_eq!(send(&keys, &made(1), 1, 1, 100), Ok(false), "those of the extension do not count");
        for turn in 0..STRIPES {
            keys.sweep(turn, TTL + 100);
        }
        assert_eq!(keys.count.load(Ordering::Relaxed), 0);
        assert_eq!(keys.applications.iter().map(|a| lock(a).known.capacity()).sum::<usize>(), 0);
        assert_eq!(keys.processes.iter().map(|p| lock(p).windows.len()).sum::<usize>(), 0);
    }
}
