//! What the writer knows without asking the database: where every stream stands, and what is due.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::changes::Table;
use super::database::View;
use super::failure::Failure;
use super::plan::Plan;
use super::record::{self, Damaged};
use super::windows::Windows;
use super::{Sink, Written, meta};
use crate::hub::Stream;

/// Numbers of the whole store, kept in one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// No stream that was freed had an offset above this; the next life of any stream starts here.
    pub(super) floor: u64,
    /// The latest time that was given to anything, ms since 1970.
    pub(super) clock: u64,
    pub(super) next_stream: u64,
    /// The oldest key that is still there.
    pub(super) first_key: u64,
    pub(super) next_key: u64,
    /// How many of those that are there were made by a library, for a store of format 1; they do not count towards the
    /// limit.
    pub(super) made_keys: u64,
    /// The last group; tells after a failure whether that one is in.
    pub(super) group: u64,
}

impl Counters {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let Self { floor, clock, next_stream, first_key, next_key, made_keys, group } = self;
        record::numbers([floor, clock, next_stream, first_key, next_key, made_keys, group])
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let [floor, clock, next_stream, first_key, next_key, made_keys, group] = record::parse_numbers(bytes)?;
        Ok(Self { floor, clock, next_stream, first_key, next_key, made_keys, group })
    }

    /// Those in the database.
    pub(super) fn load(view: &View<'_>) -> Result<Self, Failure> {
        let bytes = view.get(Table::Meta, meta::COUNTERS)?.ok_or(Damaged)?;
        Ok(Self::parse(&bytes)?)
    }
}

/// Where one stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its number in the table of publications; another one in each life.
    pub(super) id: u64,
    /// The last offset given out.
    pub(super) top: u64,
    /// The oldest publication kept; above `top` when there is none.
    pub(super) first: u64,
    /// How long publications are kept, ms.
    pub(super) ttl: Option<u64>,
    /// When to look next for what is too old; not stored.
    pub(super) due: Option<u64>,
}

impl Place {
    const FOR_EVER: u64 = u64::MAX;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        record::numbers([self.id, self.top, self.first, self.ttl.unwrap_or(Self::FOR_EVER)])
    }

    fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let [id, top, first, ttl] = record::parse_numbers(bytes)?;
        let ttl = (ttl != Self::FOR_EVER).then_some(ttl);
        // How old its oldest publication is will be seen in the first turns.
        Ok(Self { id, top, first, ttl, due: ttl.map(|_| 0) })
    }

    /// Where a stream stands by a snapshot.
    pub(super) fn load(view: &View<'_>, stream: &Stream) -> Result<Option<Self>, Failure> {
        let row = view.get(Table::Streams, &record::stream(stream))?;
        Ok(row.map(|row| Self::parse(&row)).transpose()?)
    }

    /// The key of one of its publications.
    pub(super) fn key(self, offset: u64) -> Vec<u8> {
        record::numbers([self.id, offset])
    }
}

/// All of it, as last committed.
#[derive(Default)]
pub(super) struct State {
    pub(super) counters: Counters,
    pub(super) streams: HashMap<Arc<Stream>, Place>,
    /// Streams by (when to look, id).
    pub(super) due: BTreeMap<(u64, u64), Arc<Stream>>,
    /// When the oldest key ends.
    pub(super) key_due: Option<u64>,
    /// The keys that libraries make.
    pub(super) windows: Windows,
    /// How many received what the keys from `receivers_from` stand for. Not stored: those who received it before a
    /// restart are connected no more.
    receivers: VecDeque<u32>,
    receivers_from: u64,
}

impl State {
    /// Reads it from the database.
    pub(super) fn load(view: &View<'_>) -> Result<Self, Failure> {
        let counters = Counters::load(view)?;
        let mut state =
            Self { counters, receivers_from: counters.next_key, windows: Windows::load(view)?, ..Self::default() };
        state.key_due = (counters.first_key < counters.next_key).then_some(0);
        view.all(Table::Streams, |key, value| {
            let (stream, place) = (Arc::new(record::parse_stream(key)?), Place::parse(value)?);
            state.due.extend(place.due.map(|due| ((due, place.id), stream.clone())));
            state.streams.insert(stream, place);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(state)
    }

    /// How many received what this key stands for.
    pub(super) fn receivers(&self, key: u64) -> u64 {
        let index = key.checked_sub(self.receivers_from).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.receivers.get(index)).map_or(0, |&receivers| u64::from(receivers))
    }

    /// When there is something to do though nothing is published, ms since 1970.
    pub(super) fn next_due(&self) -> Option<u64> {
        let stream = self.due.first_key_value().map(|((due, _), _)| *due);
        stream.into_iter().chain(self.key_due).chain(self.windows.next_due()).min()
    }

    /// Takes over a committed plan and shows it; returns what was written, publication by publication.
    pub(super) fn settle(&mut self, plan: Plan, sink: &dyn Sink) -> Vec<Written> {
        for (stream, touched) in plan.touched {
            let place = touched.place;
            if let Some(old) = self.streams.get(&stream) {
                old.due.map(|due| self.due.remove(&(due, old.id)));
            }
            match place {
                Some(place) => {
                    self.due.extend(place.due.map(|due| ((due, place.id), stream.clone())));
                    self.streams.insert(stream, place);
                }
                None => {
                    self.streams.remove(&stream);
                }
            }
        }
        self.counters = plan.counters;
        self.key_due = plan.key_due;
        while self.receivers_from < self.counters.first_key && self.receivers.pop_front().is_some() {
            self.receivers_from += 1;
        }
        let mut all = Vec::with_capacity(plan.published.len());
        for published in plan.published {
            let offset = published.kept.offset;
            let receivers = sink.committed(&published.stream, published.kept);
            if published.has_key {
                self.receivers.push_back(u32::try_from(receivers).unwrap_or(u32::MAX));
            }
            all.push(Written { offset, receivers, duplicate: false });
        }
        self.windows.settle(plan.windows, &all);
        for (stream, first) in plan.trimmed {
            sink.trimmed(&stream, first);
        }
        all
    }
}
