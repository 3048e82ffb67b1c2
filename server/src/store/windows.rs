//! What processes have sent lately. The keys that libraries make are a prefix for each process and a counter, so the
//! last [`WINDOW`] commands of each process are enough, however many it sends. They are kept in memory, where retries
//! are looked up, and as rows, which a restart reads again.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::Written;
use super::changes::{Changes, Table};
use super::database::View;
use super::failure::Failure;
use super::record::{self, Damaged, SentRow};
use crate::hub::{MAX_SCOPES, WINDOW};

/// Windows that a group looks at for what is too old.
const LOOKS: usize = 64;

/// Who counts: origin and prefix, as its rows' keys begin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Process(Arc<[u8]>);

impl Process {
    pub(super) fn new(origin: &str, prefix: [u8; 16]) -> Self {
        Self(record::process(origin, prefix).into())
    }
}

impl Borrow<[u8]> for Process {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// A command's counter and the stream that it went to: a broadcast to several channels has one key.
pub(super) type Sent = (u64, u64);

struct Entry {
    row: SentRow,
    /// Not stored: those who received it before a restart are connected no more.
    receivers: u64,
}

#[derive(Default)]
struct Window {
    /// The number of the first row; they are numbered in the order in which they came.
    first: u64,
    order: VecDeque<Entry>,
    /// Row numbers.
    known: HashMap<Sent, u64>,
    /// How many commands that is.
    commands: usize,
    /// When to look for what is too old.
    due: u64,
}

impl Window {
    fn entry(&self, number: u64) -> Option<&Entry> {
        self.order.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn push(&mut self, row: SentRow, receivers: u64) {
        self.known.insert(row.sent, self.first + self.order.len() as u64);
        self.order.push_back(Entry { row, receivers });
    }

    fn forget_first(&mut self) {
        let Some(Entry { row, .. }) = self.order.pop_front() else { return };
        // After its end it may have been sent again.
        if self.known.get(&row.sent) == Some(&self.first) {
            self.known.remove(&row.sent);
        }
        self.first += 1;
    }
}

/// All windows, as last committed.
#[derive(Default)]
pub(super) struct Windows {
    of: HashMap<Process, Window>,
    due: BTreeSet<(u64, Process)>,
}

impl Windows {
    /// Reads them from the database.
    pub(super) fn load(view: &View<'_>) -> Result<Self, Failure> {
        let mut windows = Self::default();
        view.all(Table::Sent, |key, row| {
            let (process, number) = record::parse_sent_key(key)?;
            let window = match windows.of.get_mut(process) {
                Some(window) => window,
                None => {
                    windows.of.entry(Process(process.into())).or_insert(Window { first: number, ..Window::default() })
                }
            };
            if number != window.first + window.order.len() as u64 {
                return Err(Damaged.into());
            }
            let row = SentRow::parse(row)?;
            window.commands += usize::from(window.order.back().is_none_or(|last| last.row.sent.0 != row.sent.0));
            window.push(row, 0);
            Ok(ControlFlow::Continue(()))
        })?;
        // How old they are will be seen in the first turns.
        windows.due = windows.of.keys().map(|process| (0, process.clone())).collect();
        Ok(windows)
    }

    /// When to look for what is too old.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes over what was committed; `written` is what became of the group's publications.
    pub(super) fn settle(&mut self, drafts: Drafts, written: &[Written]) {
        for (process, draft) in drafts.of {
            let window =
                self.of.entry(process.clone()).or_insert_with(|| Window { due: u64::MAX, ..Window::default() });
            for (row, index) in draft.added {
                window.push(row, written[index].receivers);
            }
            for _ in 0..draft.forgotten {
                window.forget_first();
            }
            window.commands = draft.commands;
            let is_empty = window.order.is_empty();
            if window.due != draft.due || is_empty {
                self.due.remove(&(window.due, process.clone()));
                window.due = draft.due;
                if !is_empty {
                    self.due.insert((draft.due, process.clone()));
                }
            }
            if is_empty {
                self.of.remove(&process);
            }
        }
    }
}

/// What is known of something sent before.
pub(super) enum Before {
    /// It is the publication with this index in the group.
    InGroup(usize, SentRow),
    /// So many received it.
    Committed(SentRow, u64),
}

/// What a group does to one window.
struct Draft {
    /// Rows with the index of their publication in the group.
    added: Vec<(SentRow, usize)>,
    /// Positions in `added`.
    known: HashMap<Sent, usize>,
    /// How many are forgotten, from the first.
    forgotten: usize,
    commands: usize,
    due: u64,
}

impl Draft {
    fn of(window: Option<&Window>) -> Self {
        let (commands, due) = window.map_or((0, u64::MAX), |window| (window.commands, window.due));
        Self { added: Vec::new(), known: HashMap::new(), forgotten: 0, commands, due }
    }

    fn row<'a>(&'a self, window: Option<&'a Window>, index: usize) -> Option<&'a SentRow> {
        let old = window.map_or(0, |window| window.order.len());
        match index.checked_sub(old) {
            None => Some(&window?.order.get(index)?.row),
            Some(index) => Some(&self.added.get(index)?.0),
        }
    }

    fn len(&self, window: Option<&Window>) -> usize {
        window.map_or(0, |window| window.order.len()) + self.added.len() - self.forgotten
    }

    fn forget_first(&mut self, process: &Process, window: Option<&Window>, changes: &mut Changes) {
        let Some(sent) = self.row(window, self.forgotten).map(|row| row.sent) else { return };
        let number = window.map_or(0, |window| window.first) + self.forgotten as u64;
        changes.delete(Table::Sent, &record::sent_key(&process.0, number));
        self.forgotten += 1;
        let next = self.row(window, self.forgotten).map(|row| row.sent.0);
        self.commands -= usize::from(next != Some(sent.0));
    }
}

/// What a group does to windows.
#[derive(Default)]
pub(super) struct Drafts {
    of: HashMap<Process, Draft>,
}

impl Drafts {
    /// What this was answered before, if that is known and younger than `ttl`, ms.
    pub(super) fn before(
        &self,
        windows: &Windows,
        process: &Process,
        sent: Sent,
        now: u64,
        ttl: u64,
    ) -> Option<Before> {
        let (window, draft) = (windows.of.get(process), self.of.get(process));
        let (old, forgotten) =
            (window.map_or(0, |window| window.order.len()), draft.map_or(0, |draft| draft.forgotten));
        if let Some(draft) = draft
            && let Some(&position) = draft.known.get(&sent)
            && old + position >= forgotten
        {
            let (row, index) = draft.added[position];
            return Some(Before::InGroup(index, row));
        }
        let window = window?;
        let number = *window.known.get(&sent)?;
        let Entry { row, receivers } = window.entry(number).filter(|_| number >= window.first + forgotten as u64)?;
        (row.at.saturating_add(ttl) > now).then_some(Before::Committed(*row, *receivers))
    }

    /// Adds what is sent by the group's publication `index`, and forgets what the window has no room for.
    pub(super) fn add(
        &mut self,
        windows: &Windows,
        changes: &mut Changes,
        process: &Process,
        (row, index): (SentRow, usize),
        due: u64,
    ) {
        let window = windows.of.get(process);
        let draft = self.of.entry(process.clone()).or_insert_with(|| Draft::of(window));
        let number = window.map_or(0, |window| window.first + window.order.len() as u64) + draft.added.len() as u64;
        let last =
            (draft.len(window) > 0).then(|| draft.row(window, draft.forgotten + draft.len(window) - 1)).flatten();
        draft.commands += usize::from(last.is_none_or(|last| last.sent.0 != row.sent.0));
        changes.put(Table::Sent, &record::sent_key(&process.0, number), &row.to_bytes());
        draft.known.insert(row.sent, draft.added.len());
        draft.added.push((row, index));
        draft.due = draft.due.min(due);
        while draft.commands > WINDOW || draft.len(window) > MAX_SCOPES {
            draft.forget_first(process, window, changes);
        }
    }

    /// Forgets what is older than `ttl`, ms; at most so many. Returns whether there is more.
    pub(super) fn expire(
        &mut self,
        windows: &Windows,
        changes: &mut Changes,
        now: u64,
        ttl: u64,
        mut most: usize,
    ) -> bool {
        let mut due = windows.due.iter().take_while(|(due, _)| *due <= now).map(|(_, process)| process);
        for process in due.by_ref().take(LOOKS) {
            let window = windows.of.get(process);
            let draft = self.of.entry(process.clone()).or_insert_with(|| Draft::of(window));
            loop {
                draft.due = draft.row(window, draft.forgotten).map_or(u64::MAX, |row| row.at.saturating_add(ttl));
                if draft.due > now {
                    break;
                }
                if most == 0 {
                    return true;
                }
                most -= 1;
                draft.forget_first(process, window, changes);
            }
        }
        due.next().is_some()
    }
}
