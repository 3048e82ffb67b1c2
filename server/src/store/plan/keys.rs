//! Who is a retry, and which keys go. Those of applications are rows, which end one after the other; those that libraries
//! make are in [`super::super::windows`].

use std::ops::ControlFlow;

use super::super::changes::Table;
use super::super::failure::Failure;
use super::super::record::{self, KeyRow, SentRow};
use super::super::state::Counters;
use super::super::windows::{Before, Process, Sent};
use super::super::{Key, Write, WriteError, Written};
use super::{Answer, Plan, Planner};

impl Planner<'_> {
    /// Publishes what has an application's key.
    pub(super) fn write_once(&mut self, write: &Write, key: &Key) -> Result<Answer, Failure> {
        let (index, bytes) = (self.plan.published.len(), record::key(&write.stream, key));
        if let Some(&(index, digest)) = self.keys.get(&bytes) {
            return Ok(if digest == key.digest { Answer::Joined(index) } else { Answer::Conflict });
        }
        if let Some(answer) = self.known(&bytes, key)? {
            return Ok(answer);
        }
        let Counters { first_key, next_key, made_keys, .. } = self.plan.counters;
        if next_key - first_key - made_keys >= self.limits.max_keys {
            return Ok(Answer::Settled(Err(WriteError::TooManyKeys)));
        }
        let offset = self.append(write);
        self.add_key(&bytes, key.digest, offset);
        self.keys.insert(bytes, (index, key.digest));
        self.plan.published[index].has_key = true;
        Ok(Answer::Published(index))
    }

    /// Publishes what has a key that a library made.
    pub(super) fn write_sent(
        &mut self,
        write: &Write,
        key: &Key,
        process: &Process,
        sent: Sent,
    ) -> Result<Answer, Failure> {
        let (now, ttl) = (self.now(), self.limits.key_ttl);
        match self.plan.windows.before(&self.state.windows, process, sent, now, ttl) {
            Some(Before::InGroup(index, row)) if row.digest == key.digest => return Ok(Answer::Joined(index)),
            Some(Before::InGroup(..)) => return Ok(Answer::Conflict),
            Some(Before::Committed(row, receivers)) => {
                let written = Written { offset: row.offset, receivers, duplicate: true };
                return Ok(settled(row.digest == key.digest, written));
            }
            None => {}
        }
        if self.plan.counters.made_keys > 0
            && let Some(answer) = self.known(&record::key(&write.stream, key), key)?
        {
            return Ok(answer);
        }
        let (index, offset) = (self.plan.published.len(), self.append(write));
        let row = SentRow { sent, digest: key.digest, offset, at: now };
        let Plan { windows, changes, .. } = &mut self.plan;
        windows.add(&self.state.windows, changes, process, (row, index), now.saturating_add(ttl));
        Ok(Answer::Published(index))
    }

    /// The answer to a key that is among those of applications.
    fn known(&self, bytes: &[u8], key: &Key) -> Result<Option<Answer>, Failure> {
        let Some(row) = self.view.get(Table::Keys, bytes)? else { return Ok(None) };
        let row = KeyRow::parse(&row)?;
        if row.at.saturating_add(self.limits.key_ttl) <= self.now() {
            return Ok(None);
        }
        let written = Written { offset: row.offset, receivers: self.state.receivers(row.number), duplicate: true };
        Ok(Some(settled(row.digest == key.digest, written)))
    }

    fn add_key(&mut self, bytes: &[u8], digest: u64, offset: u64) {
        let (at, number) = (self.now(), self.plan.counters.next_key);
        self.plan.counters.next_key += 1;
        self.plan.changes.put(Table::Keys, bytes, &KeyRow { digest, offset, at, number }.to_bytes());
        self.plan.changes.put(Table::KeyLog, &record::numbers([number]), &record::logged_key(at, bytes));
        self.plan.key_due.get_or_insert(at.saturating_add(self.limits.key_ttl));
    }

    pub(super) fn expire_keys(&mut self, most: usize) -> Result<(), Failure> {
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

    pub(super) fn expire_windows(&mut self, most: usize) {
        let (now, ttl) = (self.now(), self.limits.key_ttl);
        let Plan { windows, changes, has_more, .. } = &mut self.plan;
        *has_more |= windows.expire(&self.state.windows, changes, now, ttl, most);
    }
}

/// The answer to a retry, or to another publication under the same key.
fn settled(is_same: bool, written: Written) -> Answer {
    Answer::Settled(if is_same { Ok(written) } else { Err(WriteError::KeyConflict) })
}
