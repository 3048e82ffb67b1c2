//! How fast browsers may send commands, subscribe and publish: each connection, each user and each address, whichever
//! is over first. It decides; what follows from that is the session's business.
//!
//! What a connection has used is its own. What users and addresses have used is in tables that all shards share, touched
//! once per command and never per delivery. An entry is kept only while it makes a difference, seconds at most.

use std::array;
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use realtime_protocol::{ClientCommand, UserId};

use crate::config::{Config, SharedRates};
use crate::gate::Origin;
use crate::rate::{Bucket, Rate};

const STRIPES: usize = 32;
/// Most entries of one stripe: 262,144 users, and as many addresses. Who is more than that is held to the rates of its
/// connection only; that many need a network of a quarter million /64s, all of them sending at the same time.
const MAX_ENTRIES: usize = 8_192;
/// Turns of [`Limiter::tick`] from one summary to the next.
const SUMMARY: usize = 600;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Commands of all kinds.
    Commands,
    /// Subscriptions; one command may ask for many.
    Subscriptions,
    /// Publications.
    Publications,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Commands, Self::Subscriptions, Self::Publications];

    fn name(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Subscriptions => "subscriptions",
            Self::Publications => "publications",
        }
    }
}

/// Who is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One connection.
    Connection,
    /// All connections of one user.
    User,
    /// All connections from one address.
    Address,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Connection, Self::User, Self::Address];
}

/// What one command costs, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost([u32; 3]);

impl Cost {
    /// That of what could not be understood, and of most commands.
    pub const COMMAND: Self = Self([1, 0, 0]);

    /// That of a command that was understood.
    pub fn of(command: &ClientCommand<'_>) -> Self {
        match command {
            ClientCommand::Subscribe(_) => Self([1, 1, 0]),
            ClientCommand::Register(register) => {
                Self([1, u32::try_from(register.channels.len()).unwrap_or(u32::MAX), 0])
            }
            ClientCommand::Publish { .. } | ClientCommand::Broadcast(_) => Self([1, 0, 1]),
            _ => Self::COMMAND,
        }
    }
}

/// What was used, by kind.
#[derive(Clone, Copy, Debug, Default)]
struct Used([Bucket; 3]);

impl Used {
    fn take(&mut self, now: Instant, rates: &[Rate; 3], cost: Cost) -> Result<(), (Kind, Duration)> {
        for (((bucket, rate), count), kind) in self.0.iter_mut().zip(rates).zip(cost.0).zip(Kind::ALL) {
            if count > 0 {
                bucket.take(now, *rate, count).map_err(|wait| (kind, wait))?;
            }
        }
        Ok(())
    }

    fn is_unused(&self, now: Instant) -> bool {
        self.0.iter().all(|bucket| bucket.is_unused(now))
    }
}

/// Why a command is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    scope: Scope,
    kind: Kind,
    per_second: u32,
    /// How long to wait before sending it again.
    pub wait: Duration,
    /// It goes on in spite of the errors: time to end the connection.
    pub is_enough: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} {} a second", self.per_second, self.kind.name())?;
        f.write_str(match self.scope {
            Scope::Connection => "",
            Scope::User => " on all connections of this user",
            Scope::Address => " from this address",
        })?;
        f.write_str("; wait and send it again")
    }
}

/// One connection's part: what it has used, and whose it is.
#[derive(Debug, Default)]
pub struct Allowance {
    used: Used,
    address: Option<Origin>,
    refused: u32,
}

impl Allowance {
    /// That of a connection that has just begun; `None`: its address has no limit.
    pub fn new(address: Option<Origin>) -> Self {
        Self { address, ..Self::default() }
    }

    /// Takes what a command costs, from everybody who is concerned.
    pub fn take(&mut self, now: Instant, cost: Cost, user: Option<&UserId>, limits: &Limits) -> Result<(), Refused> {
        let was_quiet = self.used.0[Kind::Commands as usize].is_unused(now);
        let shared = &limits.limiter;
        let [connection, of_user, of_address] = &limits.rates;
        let taken = (self.used.take(now, connection, cost).map_err(|over| (Scope::Connection, over)))
            .and_then(|()| shared.users.take(now, of_user, cost, user).map_err(|over| (Scope::User, over)))
            .and_then(|()| {
                shared
                    .addresses
                    .take(now, of_address, cost, self.address.as_ref())
                    .map_err(|over| (Scope::Address, over))
            });
        let Err((scope, (kind, wait))) = taken else {
            if was_quiet {
                self.refused = 0;
            }
            return Ok(());
        };
        shared.over[scope as usize][kind as usize].fetch_add(1, Ordering::Relaxed);
        if limits.dry_run {
            return Ok(());
        }
        self.refused += 1;
        let per_second = limits.rates[scope as usize][kind as usize].per_second;
        let is_enough = self.refused > limits.rates[Scope::Connection as usize][Kind::Commands as usize].burst;
        Err(Refused { scope, kind, per_second, wait, is_enough })
    }
}

/// The rates in force, and what was used of them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// By scope and kind.
    rates: [[Rate; 3]; 3],
    /// Nothing is refused; what would be is counted.
    dry_run: bool,
    limiter: Arc<Limiter>,
}

impl Limits {
    /// Those of a configuration.
    pub fn new(config: &Config) -> Self {
        let rate = |per_second: usize, burst: usize| Rate {
            per_second: u32::try_from(per_second).unwrap_or(u32::MAX),
            burst: u32::try_from(burst).unwrap_or(u32::MAX),
        };
        let connection = [
            rate(config.commands_per_second, config.command_burst),
            rate(config.subscriptions_per_second, config.subscription_burst),
            rate(config.publications_per_second, config.publication_burst),
        ];
        let shared = |rates: &SharedRates| {
            let SharedRates { commands_per_second, subscriptions_per_second, publications_per_second } = *rates;
            [commands_per_second, subscriptions_per_second, publications_per_second]
                .map(|per_second| rate(per_second, per_second.saturating_mul(SharedRates::BURST_SECONDS)))
        };
        Self {
            rates: [connection, shared(&config.per_user), shared(&config.per_address)],
            dry_run: config.limits_dry_run,
            limiter: Arc::default(),
        }
    }

    /// Lets time pass. To be called ten times a second; once a minute it says what was over a limit, if anything was.
    pub fn tick(&self, now: Instant) -> Option<Summary> {
        let turn = self.limiter.turn.fetch_add(1, Ordering::Relaxed);
        self.limiter.users.sweep(turn, now);
        self.limiter.addresses.sweep(turn, now);
        let is_time = turn % SUMMARY == SUMMARY - 1;
        is_time.then(|| self.limiter.summary(self.dry_run)).filter(|summary| summary.total() > 0)
    }
}

/// What all connections have used together.
#[derive(Debug, Default)]
struct Limiter {
    users: Table,
    addresses: Table,
    /// Commands over a limit since the last summary, by scope and kind.
    over: [[AtomicU64; 3]; 3],
    turn: AtomicUsize,
}

impl Limiter {
    fn summary(&self, is_dry_run: bool) -> Summary {
        Summary {
            is_dry_run,
            over: self.over.each_ref().map(|kinds| kinds.each_ref().map(|count| count.swap(0, Ordering::Relaxed))),
        }
    }
}

/// Commands over a limit, of one minute. Its text is the line for the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    is_dry_run: bool,
    over: [[u64; 3]; 3],
}

impl Summary {
    fn total(&self) -> u64 {
        self.over.iter().flatten().sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = if self.is_dry_run { "were let through (limits_dry_run)" } else { "were refused" };
        write!(f, "in the last minute {} commands were over a limit and {done}:", self.total())?;
        let mut separator = " ";
        for (scope, kinds) in Scope::ALL.iter().zip(&self.over) {
            for (kind, count) in Kind::ALL.iter().zip(kinds).filter(|(_, count)| **count > 0) {
                let of = match scope {
                    Scope::Connection => "",
                    Scope::User => "per_user.",
                    Scope::Address => "per_address.",
                };
                write!(f, "{separator}{count} by {of}{}_per_second", kind.name())?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// What many have used, by a hash that nobody outside can foresee.
#[derive(Debug)]
struct Table {
    seed: RandomState,
    stripes: [Mutex<HashMap<u64, Used>>; STRIPES],
}

impl Default for Table {
    fn default() -> Self {
        Self { seed: RandomState::new(), stripes: array::from_fn(|_| Mutex::default()) }
    }
}

impl Table {
    fn stripe(&self, at: usize) -> MutexGuard<'_, HashMap<u64, Used>> {
        // An entry is never half-changed, so a poisoned lock guards nothing broken.
        self.stripes[at % STRIPES].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(
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
    fn sweep(&self, turn: usize, now: Instant) {
        let mut stripe = self.stripe(turn);
        stripe.retain(|_, used| !used.is_unused(now));
        if stripe.len() <= stripe.capacity() / 4 {
            let keep = stripe.len() * 2;
            stripe.shrink_to(keep);
        }
    }
}

#[cfg(test)]
mod tests;
