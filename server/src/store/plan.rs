//! The decisions of a group: who is a retry, who gets which offset, what goes. Nothing is changed by planning, so a
//! group that fails has given nothing away.

mod keys;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use realtime_protocol::IdempotencyKey;

use super::changes::{Changes, Table};
use super::database::View;
use super::failure::Failure;
use super::record;
use super::state::{Counters, Place, State};
use super::windows::{Drafts, Process};
use super::{Kept, Retention, Write, WriteError, Written, meta};
use crate::hub::{Stream, fingerprint};

/// Keys, and publications, that a group removes for their age: so many that it stays short, so few that load does
/// not outrun it, since a group adds what it brings on top.
const SLICE: usize = 512;
/// Streams that a group looks at for what is too old.
const STREAMS: usize = 64;
/// Publications that an append removes when a stream's size was made smaller.
const TRIM: u64 = 256;

/// What does not change while the store runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long keys are kept, ms.
    pub(super) key_ttl: u64,
    pub(super) max_keys: u64,
}

/// What becomes of one write.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is the publication with this index in the group.
    Published(usize),
    /// It is a retry of that one.
    Joined(usize),
    /// It has the key of one in the group, and other data.
    Conflict,
    /// It does not depend on the group.
    Settled(Result<Written, WriteError>),
}

/// One publication of a group.
pub(super) struct Published {
    pub(super) stream: Arc<Stream>,
    pub(super) kept: Kept,
    /// It has an application's key.
    pub(super) has_key: bool,
}

/// What a group does to a stream.
pub(super) struct Touched {
    /// Where it stands then; `None` when it is freed.
    pub(super) place: Option<Place>,
    /// The first offset kept before.
    first: u64,
    is_changed: bool,
}

/// One group, decided.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) changes: Changes,
    pub(super) counters: Counters,
    pub(super) key_due: Option<u64>,
    pub(super) windows: Drafts,
    pub(super) touched: HashMap<Arc<Stream>, Touched>,
    pub(super) published: Vec<Published>,
    pub(super) trimmed: Vec<(Arc<Stream>, u64)>,
    /// There is more to remove than one group may.
    pub(super) has_more: bool,
}

/// Decides a group: `writes`, and what has grown too old by `now`, ms since 1970.
pub(super) fn plan(
    state: &State,
    view: &View<'_>,
    limits: Limits,
    now: u64,
    writes: &[Write],
) -> Result<(Plan, Vec<Answer>), Failure> {
    let counters = Counters { clock: now.max(state.counters.clock), ..state.counters };
    let plan = Plan { counters, key_due: state.key_due, ..Plan::default() };
    let mut planner = Planner { state, view, limits, plan, keys: HashMap::new() };
    planner.expire_keys(SLICE + writes.len())?;
    planner.expire_windows(SLICE + writes.len());
    let answers = writes.iter().map(|write| planner.write(write)).collect::<Result<_, _>>()?;
    planner.expire_publications(SLICE + writes.len())?;
    Ok((planner.finish(), answers))
}

struct Planner<'a> {
    state: &'a State,
    view: &'a View<'a>,
    limits: Limits,
    plan: Plan,
    /// The applications' keys of this group: publication and digest.
    keys: HashMap<Vec<u8>, (usize, u64)>,
}

impl Planner<'_> {
    fn now(&self) -> u64 {
        self.plan.counters.clock
    }

    fn place(&self, stream: &Stream) -> Option<Place> {
        match self.plan.touched.get(stream) {
            Some(touched) => touched.place,
            None => self.state.streams.get(stream).copied(),
        }
    }

    fn touch(&mut self, stream: &Arc<Stream>, place: Option<Place>, is_changed: bool) {
        let before = self.state.streams.get(stream);
        let touched = self.plan.touched.entry(stream.clone()).or_insert_with(|| Touched {
            place,
            first: before.or(place.as_ref()).map_or(0, |place| place.first),
            is_changed,
        });
        touched.place = place;
        touched.is_changed |= is_changed;
    }

    fn write(&mut self, write: &Write) -> Result<Answer, Failure> {
        match &write.key {
            None => {
                self.append(write);
            }
            Some(key) => match &key.key {
                IdempotencyKey::Application(_) => return self.write_once(write, key),
                IdempotencyKey::Made { prefix, counter } => {
                    let sent = (*counter, fingerprint(&[&record::stream(&write.stream)]));
                    return self.write_sent(write, key, &Process::new(&key.origin, *prefix), sent);
                }
            },
        }
        Ok(Answer::Published(self.plan.published.len() - 1))
    }

    /// Adds a publication to its stream and trims that by size; returns the offset.
    fn append(&mut self, write: &Write) -> u64 {
        let Write { stream, retention, .. } = write;
        let now = self.now();
        let mut place = self.place(stream).unwrap_or_else(|| self.begin());
        place.top += 1;
        place.ttl = retention.ttl_ms();
        // An earlier look than the stream has waited for, when its ttl was made shorter.
        let due = place.ttl.map(|ttl| now.saturating_add(ttl));
        place.due = match (place.due, due) {
            (Some(known), Some(due)) => Some(known.min(due)),
            (_, due) => due,
        };
        let kept = Kept {
            offset: place.top,
            at: now,
            payload: write.payload.clone(),
            exclude: write.exclude,
            id: write.id.clone(),
        };
        self.plan.changes.put(Table::Publications, &place.key(place.top), &record::publication(&kept));
        let wanted = (place.top + 1).saturating_sub(retention.publications()).min(place.first.saturating_add(TRIM));
        while place.first < wanted {
            self.plan.changes.delete(Table::Publications, &place.key(place.first));
            place.first += 1;
        }
        self.touch(stream, Some(place), true);
        self.plan.published.push(Published { stream: stream.clone(), kept, has_key: false });
        place.top
    }

    /// A new life of a stream.
    fn begin(&mut self) -> Place {
        let Counters { floor, next_stream, .. } = &mut self.plan.counters;
        *next_stream += 1;
        Place { id: *next_stream, top: *floor, first: *floor + 1, ttl: None, due: None }
    }

    fn expire_publications(&mut self, mut most: usize) -> Result<(), Failure> {
        let state = self.state;
        let mut due = state.due.range(..=(self.now(), u64::MAX)).map(|(_, stream)| stream);
        for stream in due.by_ref().take(STREAMS) {
            if let Some(place) = self.place(stream) {
                most -= self.expire(stream, place, most)?;
            }
            if most == 0 {
                break;
            }
        }
        self.plan.has_more |= most == 0 || due.next().is_some();
        Ok(())
    }

    /// Removes what is too old from one stream, the stream itself if that is all; returns how many.
    fn expire(&mut self, stream: &Arc<Stream>, mut place: Place, most: usize) -> Result<usize, Failure> {
        let Some(ttl) = place.ttl else {
            self.touch(stream, Some(Place { due: None, ..place }), false);
            return Ok(0);
        };
        let now = self.now();
        let (mut count, mut next) = (0, None);
        let (from, to) = (place.key(place.first), place.key(place.top));
        self.view.each(Table::Publications, from.as_slice()..=to.as_slice(), |_, row| {
            let due = record::parse_time(row)?.saturating_add(ttl);
            if due > now || count == most {
                next = Some(due);
                return Ok(ControlFlow::Break(()));
            }
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        for _ in 0..count {
            self.plan.changes.delete(Table::Publications, &place.key(place.first));
            place.first += 1;
        }
        // What this group has added is not in the view.
        place.due = Some(next.unwrap_or_else(|| now.saturating_add(ttl)));
        if place.first > place.top {
            self.plan.counters.floor = self.plan.counters.floor.max(place.top);
            self.touch(stream, None, true);
            self.plan.trimmed.push((stream.clone(), place.first));
        } else {
            self.touch(stream, Some(place), count > 0);
        }
        Ok(count)
    }

    fn finish(self) -> Plan {
        let mut plan = self.plan;
        for (stream, touched) in plan.touched.iter().filter(|(_, touched)| touched.is_changed) {
            let key = record::stream(stream);
            match touched.place {
                Some(place) => {
                    plan.changes.put(Table::Streams, &key, &place.to_bytes());
                    if place.first != touched.first {
                        plan.trimmed.push((stream.clone(), place.first));
                    }
                }
                None => plan.changes.delete(Table::Streams, &key),
            }
        }
        if !plan.changes.is_empty() {
            plan.counters.group += 1;
            plan.changes.put(Table::Meta, meta::COUNTERS, &plan.counters.to_bytes());
        }
        plan
    }
}

impl Retention {
    fn ttl_ms(&self) -> Option<u64> {
        self.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
    }

    /// At least one: what keeps nothing has nothing to do here.
    fn publications(&self) -> u64 {
        self.size.max(1) as u64
    }
}
