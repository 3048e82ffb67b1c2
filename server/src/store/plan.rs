//! The decisions of a group: who is a retry, who gets which offset, what goes. Nothing is changed by planning, so a
//! group that fails has given nothing away.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::changes::{Changes, Table};
use super::database::View;
use super::failure::Failure;
use super::record::{self, KeyRow};
use super::state::{Counters, Place, State};
use super::{Kept, Key, Retention, Write, WriteError, Written, meta};
use crate::hub::Stream;

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
    let answers = writes.iter().map(|write| planner.write(write)).collect::<Result<_, _>>()?;
    planner.expire_publications(SLICE + writes.len())?;
    Ok((planner.finish(), answers))
}

struct Planner<'a> {
    state: &'a State,
    view: &'a View<'a>,
    limits: Limits,
    plan: Plan,
    /// The keys of this group: publication and digest.
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
        let index = self.plan.published.len();
        let mut key = None;
        if let Some(given) = &write.key {
            let bytes = record::key(&write.stream, given);
            if let Some(answer) = self.known(&bytes, given)? {
                return Ok(answer);
            }
            let Counters { first_key, next_key, made_keys, .. } = self.plan.counters;
            if !record::is_made(&bytes) && next_key - first_key - made_keys >= self.limits.max_keys {
                return Ok(Answer::Settled(Err(WriteError::TooManyKeys)));
            }
            key = Some((bytes, given.digest));
        }
        let offset = self.append(write);
        let has_key = key.is_some();
        if let Some((bytes, digest)) = key {
            self.add_key(&bytes, digest, offset);
            self.keys.insert(bytes, (index, digest));
        }
        self.plan.published[index].has_key = has_key;
        Ok(Answer::Published(index))
    }

    /// The answer to a key that is taken.
    fn known(&self, bytes: &[u8], key: &Key) -> Result<Option<Answer>, Failure> {
        if let Some(&(index, digest)) = self.keys.get(bytes) {
            return Ok(Some(if digest == key.digest { Answer::Joined(index) } else { Answer::Conflict }));
        }
        let Some(row) = self.view.get(Table::Keys, bytes)? else { return Ok(None) };
        let row = KeyRow::parse(&row)?;
        if row.at.saturating_add(self.limits.key_ttl) <= self.now() {
            return Ok(None);
        }
        Ok(Some(Answer::Settled(if row.digest == key.digest {
            Ok(Written { offset: row.offset, receivers: self.state.receivers(row.number), duplicate: true })
        } else {
            Err(WriteError::KeyConflict)
        })))
    }

    fn add_key(&mut self, bytes: &[u8], digest: u64, offset: u64) {
        let (at, number) = (self.now(), self.plan.counters.next_key);
        self.plan.counters.next_key += 1;
        self.plan.counters.made_keys += u64::from(record::is_made(bytes));
        self.plan.changes.put(Table::Keys, bytes, &KeyRow { digest, offset, at, number }.to_bytes());
        self.plan.changes.put(Table::KeyLog, &record::numbers([number]), &record::logged_key(at, bytes));
        self.plan.key_due.get_or_insert(at.saturating_add(self.limits.key_ttl));
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

    fn expire_keys(&mut self, most: usize) -> Result<(), Failure> {
        let (now, ttl) = (self.now(), self.limits.key_ttl);
        if self.plan.key_due.is_none_or(|due| due > now) {
            return Ok(());
        }
        let (mut old, mut next) = (Vec::new(), None);
        let from = record::numbers([self.plan.counters.first_key]);
        self.view.each(Table::KeyLog, from.as_slice()..=&[u8::MAX; 8], |_, row| {
            let (at, key) = record::parse_logged_key(row)?;
            let due = at.saturating_add(ttl);
            if due > now || old.len() == most {
                next = Some(due);
                return Ok(ControlFlow::Break(()));
            }
            old.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        for key in old {
            let number = self.plan.counters.first_key;
            self.plan.changes.delete(Table::KeyLog, &record::numbers([number]));
            // After its end a key may have been given again.
            let row = self.view.get(Table::Keys, &key)?;
            if row.map(|row| KeyRow::parse(&row)).transpose()?.is_some_and(|row| row.number == number) {
                self.plan.changes.delete(Table::Keys, &key);
            }
            self.plan.counters.first_key += 1;
            self.plan.counters.made_keys -= u64::from(record::is_made(&key));
        }
        self.plan.has_more |= next.is_some_and(|due| due <= now);
        self.plan.key_due = next;
        Ok(())
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
