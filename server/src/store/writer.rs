//! The one thread that writes: takes what waits, decides, commits, shows, answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::changes::{Changes, Table};
use super::database::Database;
use super::directory::Directory;
use super::environment::Point;
use super::failure::Failure;
use super::journal::Journal;
use super::plan::{Answer, Limits, Plan, plan};
use super::queue::Queue;
use super::state::{Counters, State};
use super::{Sink, Write, WriteError, Written, meta};

/// Bytes of the disk that are left free: what is needed to remove the old, and what others need to say that it is full.
const RESERVE: u64 = 16 << 20;
/// How often the old is removed while nothing is published.
const IDLE: Duration = Duration::from_secs(1);
/// How long a disk that was full, or a file that could not be opened, is left alone.
const PAUSE: Duration = Duration::from_millis(250);

/// What was written, publication by publication.
type Outcome = Result<Vec<Written>, Failure>;

/// Owns what decides the next offset.
pub(super) struct Writer {
    database: Arc<Database>,
    /// What is committed and not synced; none with `Always`.
    journal: Option<Journal>,
    state: State,
    limits: Limits,
    queue: Arc<Queue>,
    sink: Arc<dyn Sink>,
    /// A group of which it is not known whether it is in, until the file can be opened again.
    unsettled: Option<Plan>,
    /// Why nothing is written until a restart.
    lost: Option<Failure>,
    /// What went wrong, and until when nothing is tried.
    paused: Option<(Failure, Instant)>,
    unsynced_since: Option<Instant>,
    has_more: bool,
}

/// Tells those who wait when the thread ends, even by a panic.
struct Abandon(Arc<Queue>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Writer {
    pub(super) fn new(
        database: Arc<Database>,
        journal: Option<Journal>,
        state: State,
        limits: Limits,
        queue: Arc<Queue>,
        sink: Arc<dyn Sink>,
    ) -> Self {
        let (unsettled, lost, paused, unsynced_since) = (None, None, None, None);
        Self { database, journal, state, limits, queue, sink, unsettled, lost, paused, unsynced_since, has_more: false }
    }

    /// Writes until the queue is closed. `interval` is how long commits may wait for their sync.
    pub(super) fn run(mut self, interval: Option<Duration>) {
        let _abandon = Abandon(self.queue.clone());
        loop {
            let batch = self.queue.take(self.patience(interval));
            let bytes = batch.writes.iter().map(Write::size).sum();
            self.group(batch.writes, bytes);
            self.queue.done(bytes);
            let is_due = |since: Instant| interval.is_none_or(|interval| since.elapsed() >= interval);
            let is_long = self.journal.as_ref().is_some_and(|journal| journal.length() > Journal::MOST);
            if self.unsynced_since.is_some_and(is_due) || is_long || batch.is_last {
                self.sync();
            }
            if batch.is_last {
                return self.stop();
            }
        }
    }

    /// How long to wait for writes; `None`: until there are some.
    fn patience(&self, interval: Option<Duration>) -> Option<Duration> {
        if self.lost.is_some() {
            return None;
        }
        if self.has_more {
            return Some(Duration::ZERO);
        }
        let sync = self.unsynced_since.zip(interval).map(|(since, interval)| interval.saturating_sub(since.elapsed()));
        let repair = self.database.is_broken().then_some(PAUSE);
        let now = self.database.environment.now();
        let due = self.state.next_due().map(|due| Duration::from_millis(due.saturating_sub(now)).max(IDLE));
        sync.into_iter().chain(repair).chain(due).min()
    }

    /// One group, from the first look to the last answer.
    fn group(&mut self, writes: Vec<Write>, bytes: usize) {
        let (answers, committed) = match self.turn(&writes, bytes) {
            Ok(outcome) => outcome,
            Err(failure) => {
                self.has_more = false;
                (writes.iter().map(|_| Answer::Published(0)).collect(), Err(failure))
            }
        };
        if writes.is_empty() {
            return;
        }
        self.database.environment.reach(Point::BeforeAck);
        for (write, answer) in writes.into_iter().zip(answers) {
            (write.done)(match (answer, &committed) {
                (Answer::Settled(outcome), _) => outcome,
                (Answer::Published(index), Ok(written)) => Ok(written[index]),
                (Answer::Joined(index), Ok(written)) => Ok(Written { duplicate: true, ..written[index] }),
                (Answer::Conflict, Ok(_)) => Err(WriteError::KeyConflict),
                (_, Err(failure)) => Err(failure.clone().into()),
            });
        }
    }

    fn turn(&mut self, writes: &[Write], bytes: usize) -> Result<(Vec<Answer>, Outcome), Failure> {
        self.ready()?;
        let now = self.database.environment.now();
        let (plan, answers) = {
            let view = self.database.view()?;
            plan(&self.state, &view, self.limits, now, writes)?
        };
        self.database.environment.reach(Point::AfterDedup);
        if !plan.published.is_empty()
            && let Err(failure) = self.look_for_room(bytes)
        {
            // The old is removed all the same; how that went is kept where the next turn looks.
            let (_, _removed) = self.turn(&[], 0)?;
            return Ok((answers, Err(failure)));
        }
        let has_more = plan.has_more;
        let outcome = self.commit(plan);
        self.has_more = has_more && outcome.is_ok();
        Ok((answers, outcome))
    }

    /// Sees to it that there is a database to write to.
    fn ready(&mut self) -> Result<(), Failure> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        if !self.database.is_broken() {
            return Ok(());
        }
        if let Some((failure, until)) = &self.paused
            && Instant::now() < *until
        {
            return Err(failure.clone());
        }
        self.reopen().map(|_| ())
    }

    fn look_for_room(&mut self, bytes: usize) -> Result<(), Failure> {
        if let Some((Failure::Full, until)) = self.paused
            && Instant::now() < until
        {
            return Err(Failure::Full);
        }
        let directory = self.database.path.parent().unwrap_or(&self.database.path);
        // What cannot be told is tried.
        let free = self.database.environment.free(directory).unwrap_or(u64::MAX);
        if free.saturating_sub(RESERVE) < bytes as u64 * 4 {
            self.pause(Failure::Full);
            return Err(Failure::Full);
        }
        if self.paused.take().is_some() {
            info!("the store writes again");
        }
        Ok(())
    }

    fn pause(&mut self, failure: Failure) {
        if self.paused.is_none() {
            warn!("the store does not write for now: {failure}");
        }
        self.paused = Some((failure, Instant::now() + PAUSE));
    }

    /// Commits a plan and shows it.
    fn commit(&mut self, plan: Plan) -> Outcome {
        if plan.changes.is_empty() {
            return Ok(self.state.settle(plan, &*self.sink));
        }
        match self.write(&plan.changes) {
            Ok(()) => Ok(self.state.settle(plan, &*self.sink)),
            Err(lost @ Failure::Lost(_)) => Err(self.lose(lost)),
            Err(failure) => {
                self.pause(failure.clone());
                if self.database.is_broken() {
                    // The database promises all or nothing, and not which.
                    self.unsettled = Some(plan);
                    if let Ok(Some(written)) = self.reopen() {
                        return Ok(written);
                    }
                }
                Err(failure)
            }
        }
    }

    fn write(&mut self, changes: &Changes) -> Result<(), Failure> {
        let Some(journal) = &mut self.journal else { return self.database.commit(changes) };
        let before = journal.length();
        journal.append(changes)?;
        if let Err(failure) = self.database.commit_unsynced(changes) {
            journal.cut(before)?;
            return Err(failure);
        }
        self.unsynced_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Opens the file anew; returns what was written if an unsettled group is in after all.
    fn reopen(&mut self) -> Result<Option<Vec<Written>>, Failure> {
        match self.try_reopen() {
            Err(lost @ Failure::Lost(_)) => Err(self.lose(lost)),
            Err(failure) => {
                self.pause(failure.clone());
                Err(failure)
            }
            Ok(written) => Ok(written),
        }
    }

    fn try_reopen(&mut self) -> Result<Option<Vec<Written>>, Failure> {
        self.database.reopen()?;
        match &self.journal {
            Some(journal) => journal.replay_own(|changes| self.database.commit_unsynced(changes))?,
            // Whatever is in must be synced before it is shown.
            None => self.database.commit(&Changes::default())?,
        }
        let group = Counters::load(&self.database.view()?)?.group;
        let plan = self.unsettled.take().filter(|plan| plan.counters.group == group);
        Ok(plan.map(|plan| self.state.settle(plan, &*self.sink)))
    }

    fn sync(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        if self.unsynced_since.is_none() || self.lost.is_some() {
            return;
        }
        if self.database.is_broken() {
            // The next turn opens it anew, once the pause is over; the journal has all until then.
            self.unsynced_since = Some(Instant::now());
            return;
        }
        match self.database.commit(&Changes::default()).and_then(|()| journal.cut(0)) {
            Ok(()) => self.unsynced_since = None,
            Err(lost @ Failure::Lost(_)) => {
                self.lose(lost);
            }
            Err(failure) => {
                self.pause(failure);
                self.unsynced_since = Some(Instant::now());
            }
        }
    }

    /// Writes nothing any more.
    fn lose(&mut self, lost: Failure) -> Failure {
        error!("the store stops writing: {lost}; restart the server once the disk is well");
        if let Err(error) = self.database.with_directory(Directory::note_failed_sync) {
            error!("the next start cannot be told of this ({error}); have it begin with a restored backup");
        }
        self.lost = Some(lost.clone());
        self.unsettled = None;
        lost
    }

    /// Marks the stop as clean if everything is on the disk.
    fn stop(mut self) {
        let mut clean = Changes::default();
        clean.delete(Table::Meta, meta::RUNNING);
        let outcome = match self.ready() {
            Ok(()) if self.unsynced_since.is_none() => self.database.commit(&clean),
            Ok(()) => Err(Failure::Other("not everything is synced".to_owned())),
            Err(failure) => Err(failure),
        };
        let outcome = match outcome {
            Err(lost @ Failure::Lost(_)) if self.lost.is_none() => Err(self.lose(lost)),
            outcome => outcome,
        };
        if let Err(failure) = outcome.and(self.database.close()) {
            error!("the store was not closed cleanly: {failure}");
        }
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::Full,
            Failure::Lost(why) => Self::Unavailable(format!("{why}; restart the server once the disk is well")),
            Failure::Other(why) => Self::Unavailable(why),
        }
    }
}
