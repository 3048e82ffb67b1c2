//! Reading a part of a stream, by one snapshot.

use std::ops::{ControlFlow, RangeInclusive};

use super::changes::Table;
use super::database::Database;
use super::failure::Failure;
use super::state::Place;
use super::{Kept, ReadError, record};
use crate::hub::Stream;

/// Publications as they are collected, up to a number and a size.
struct Found {
    kept: Vec<Kept>,
    most: usize,
    bytes_left: usize,
}

impl Found {
    fn add(&mut self, key: &[u8], row: &[u8]) -> Result<ControlFlow<()>, Failure> {
        if self.kept.len() >= self.most {
            return Ok(ControlFlow::Break(()));
        }
        let [_, offset] = record::parse_numbers(key)?;
        let kept = record::parse_publication(offset, row)?;
        let size = kept.payload.data.get().len();
        if size > self.bytes_left && !self.kept.is_empty() {
            return Ok(ControlFlow::Break(()));
        }
        self.bytes_left = self.bytes_left.saturating_sub(size);
        self.kept.push(kept);
        Ok(ControlFlow::Continue(()))
    }
}

/// In ascending order from the start of the range.
pub(super) fn from_start(
    database: &Database,
    stream: &Stream,
    range: RangeInclusive<u64>,
    most: usize,
    max_bytes: usize,
) -> Result<Vec<Kept>, ReadError> {
    collect(database, stream, range, Found { kept: Vec::new(), most, bytes_left: max_bytes }, false)
}

/// The newest of the range, in ascending order.
pub(super) fn from_end(
    database: &Database,
    stream: &Stream,
    range: RangeInclusive<u64>,
    most: usize,
    max_bytes: usize,
) -> Result<Vec<Kept>, ReadError> {
    let mut kept = collect(database, stream, range, Found { kept: Vec::new(), most, bytes_left: max_bytes }, true)?;
    kept.reverse();
    Ok(kept)
}

fn collect(
    database: &Database,
    stream: &Stream,
    range: RangeInclusive<u64>,
    mut found: Found,
    is_backwards: bool,
) -> Result<Vec<Kept>, ReadError> {
    visit(database, stream, range, is_backwards, &mut found).map_err(|failure| ReadError(failure.to_string()))?;
    Ok(found.kept)
}

fn visit(
    database: &Database,
    stream: &Stream,
    range: RangeInclusive<u64>,
    is_backwards: bool,
    found: &mut Found,
) -> Result<(), Failure> {
    let view = database.view()?;
    let Some(place) = Place::load(&view, stream)? else { return Ok(()) };
    let (first, last) = (place.first.max(*range.start()), place.top.min(*range.end()));
    if first > last {
        return Ok(());
    }
    let (first, last) = (place.key(first), place.key(last));
    let keys = first.as_slice()..=last.as_slice();
    if is_backwards {
        view.each_backwards(Table::Publications, keys, |key, row| found.add(key, row))
    } else {
        view.each(Table::Publications, keys, |key, row| found.add(key, row))
    }
}
