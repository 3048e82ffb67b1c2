//! The commands of one frame or body and what became of them.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use realtime_protocol::{ChannelName, CommandError, ConnectionId, Position, RequestId, UserId, push};

use super::{not_written, unavailable};
use crate::Shared;
use crate::durable::Durable;
use crate::fault;
use crate::hub::{Answer, Measure, Payload, Stream};
use crate::session::Now;
use crate::store::{Key, Retention, Write, Written};

/// Most bytes of data that a publisher's reply from a history carries.
const MAX_READ: usize = 4 << 20;

/// The answer to one command.
#[derive(Debug)]
pub enum Reply {
    /// It was carried out, and this says how.
    Done(String),
    /// It was refused.
    Refused(CommandError),
}

impl Reply {
    /// Whether the command failed.
    fn is_error(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// The reply as it goes over a WebSocket.
    pub fn into_text(self) -> String {
        match self {
            Self::Done(text) => text,
            Self::Refused(error) => push::error(&error),
        }
    }
}

/// The answer to one frame or body.
#[derive(Debug)]
pub enum Replies {
    /// To one command.
    One(Reply),
    /// To an array.
    Many(Vec<Reply>),
}

/// What became of a publication in one stream; `None`: that is not known yet.
pub(super) struct Part {
    /// The channel, when the reply names it.
    pub(super) channel: Option<ChannelName>,
    pub(super) outcome: Option<Result<push::Ack, CommandError>>,
}

enum State {
    Ready(Reply),
    Publication {
        several: bool,
        parts: Vec<Part>,
    },
    /// An answer that takes its time.
    Awaited,
}

struct Command {
    id: Option<RequestId>,
    /// Whether it is answered over a WebSocket, too, when it succeeds.
    is_answered: bool,
    state: State,
}

/// Commands under way.
pub(super) struct Work {
    commands: Vec<Command>,
    is_list: bool,
    /// Bytes of data that a reply from a history may carry.
    max_read: usize,
}

/// A publication in a stream on disk, before it is known where its outcome goes.
pub(super) struct WriteJob {
    pub(super) stream: Arc<Stream>,
    pub(super) payload: Arc<Payload>,
    pub(super) exclude: Option<ConnectionId>,
    pub(super) id: Option<Box<str>>,
    pub(super) key: Option<Key>,
    pub(super) retention: Retention,
}

/// What takes its time.
pub(super) enum Job {
    Write { command: usize, part: usize, write: WriteJob },
    Read { command: usize, stream: Arc<Stream>, channel: ChannelName, part: HistoryPart },
    Backup { command: usize },
    Revoke { command: usize, user: UserId },
}

type Awaiting = Arc<Mutex<Option<Pending>>>;

impl Job {
    /// Begins; the outcome goes to `pending` from another thread.
    fn start(self, store: &Durable, shared: &Shared, pending: Awaiting) {
        match self {
            Self::Write { command, part, write } => {
                let epoch = shared.hub.disk_epoch().clone();
                let WriteJob { stream, payload, exclude, id, key, retention } = write;
                let done = Box::new(move |outcome: Result<Written, _>| {
                    let ack = outcome.map_err(|error| not_written(&error)).map(|written: Written| {
                        let Written { offset, receivers, duplicate } = written;
                        let position = Some(Position { epoch: (&*epoch).into(), offset });
                        push::Ack { receivers, position, duplicate }
                    });
                    settle(&pending, |work| work.set_part(command, part, ack));
                });
                store.write(Write { stream, payload, exclude, id, key, retention, done });
            }
            Self::Read { command, stream, channel, part: HistoryPart { range, newest, max_bytes, answer } } => {
                let most = usize::try_from(range.end() - range.start() + 1).unwrap_or(usize::MAX);
                store.read_then(&stream, range, newest, (most, max_bytes), move |read| {
                    settle(&pending, |work| {
                        let answer = read.map(|publications| answer.with(&publications, !newest));
                        work.answer(command, answer, |id, answer| push::history(id, &channel, answer));
                    });
                });
            }
            Self::Revoke { command, user } => {
                let (now, hub) = (Now::read().unix, shared.hub.clone());
                // In force at once; acknowledged, and connections closed, when a restart does not forget it.
                let of = user.clone();
                shared.revocations.revoke(&of, now, move |written| {
                    let receivers = hub.take(&user, Measure::Revoke { before: now });
                    let ack = push::Ack { receivers, ..push::Ack::default() };
                    settle(&pending, |work| work.answer(command, written, |id, ()| push::ack(id, &ack)));
                });
            }
            Self::Backup { command } => store.backup(move |copied| {
                settle(&pending, |work| {
                    work.answer(command, copied, |id, file| push::backup(id, &file.to_string_lossy()));
                });
            }),
        }
    }
}

/// A part of a history on disk.
pub(super) struct HistoryPart {
    pub(super) range: RangeInclusive<u64>,
    /// Whether the last publications are wanted when not all of them can be sent.
    pub(super) newest: bool,
    /// Bytes of data.
    pub(super) max_bytes: usize,
    /// The answer but for its publications.
    pub(super) answer: push::History,
}

impl Work {
    pub(super) fn one() -> Self {
        Self { commands: Vec::with_capacity(1), is_list: false, max_read: MAX_READ }
    }

    pub(super) fn many(commands: usize) -> Self {
        Self { commands: Vec::with_capacity(commands), is_list: true, max_read: MAX_READ }
    }

    /// One question of a client, whose outbox holds no more than so many bytes.
    pub(super) fn question(outbox_max: usize) -> Self {
        Self { max_read: outbox_max / 2, ..Self::one() }
    }

    /// Bytes of data that a reply from a history may carry.
    pub(super) fn max_read(&self) -> usize {
        self.max_read
    }

    pub(super) fn refuse(&mut self, error: CommandError) {
        self.commands.push(Command { id: None, is_answered: true, state: State::Ready(Reply::Refused(error)) });
    }

    /// A command that is answered already.
    pub(super) fn done(&mut self, is_answered: bool, text: String) {
        self.commands.push(Command { id: None, is_answered, state: State::Ready(Reply::Done(text)) });
    }

    /// A command whose answer takes its time; returns its number.
    pub(super) fn awaited(&mut self, id: Option<RequestId>) -> usize {
        self.commands.push(Command { id, is_answered: true, state: State::Awaited });
        self.commands.len() - 1
    }

    /// A publication, whose parts follow.
    pub(super) fn publication(&mut self, id: Option<RequestId>, several: bool, parts: usize) {
        let state = State::Publication { several, parts: Vec::with_capacity(parts) };
        self.commands.push(Command { is_answered: id.is_some(), id, state });
    }

    /// A part of the last publication.
    pub(super) fn part(&mut self, part: Part) {
        if let Some(Command { state: State::Publication { parts, .. }, .. }) = self.commands.last_mut() {
            parts.push(part);
        }
    }

    /// The number of the last command and of its last part.
    pub(super) fn last_part(&self) -> (usize, usize) {
        let parts = match self.commands.last() {
            Some(Command { state: State::Publication { parts, .. }, .. }) => parts.len(),
            _ => 0,
        };
        (self.commands.len().saturating_sub(1), parts.saturating_sub(1))
    }

    /// Starts the jobs; `deliver` gets the work once the last one is done. Without any, all is done, and returned.
    pub(super) fn finish(
        self,
        shared: &Shared,
        jobs: Vec<Job>,
        deliver: impl FnOnce(Self) + Send + 'static,
    ) -> Option<Self> {
        let store = match &shared.store {
            Some(store) if !jobs.is_empty() => store,
            // Jobs are made only where there is a store.
            _ => return Some(self),
        };
        let pending = Pending { left: jobs.len(), work: self, deliver: Box::new(deliver) };
        let pending = Arc::new(Mutex::new(Some(pending)));
        for job in jobs {
            job.start(store, shared, pending.clone());
        }
        None
    }

    fn set_part(&mut self, command: usize, part: usize, ack: Result<push::Ack, CommandError>) {
        if let State::Publication { parts, .. } = &mut self.commands[command].state {
            let Part { channel, outcome } = &mut parts[part];
            *outcome = Some(ack.map_err(|error| match channel {
                Some(channel) => error.about(channel.as_str()),
                None => error,
            }));
        }
    }

    /// What was awaited is there, or will not be.
    fn answer<T, E: std::fmt::Display>(
        &mut self,
        command: usize,
        outcome: Result<T, E>,
        text: impl FnOnce(Option<&RequestId>, &T) -> String,
    ) {
        let Command { id, state, .. } = &mut self.commands[command];
        *state = State::Ready(match outcome {
            Ok(answer) => Reply::Done(text(id.as_ref(), &answer)),
            Err(error) => Reply::Refused(unavailable(&error.to_string()).with_id(id.clone())),
        });
    }

    /// The text to answer over a WebSocket, where a command has an `id` or failed.
    pub(super) fn into_frame(self) -> Option<String> {
        fault::reach(fault::Point::BeforeAck);
        let is_list = self.is_list;
        let texts: Vec<_> = self.commands.into_iter().filter_map(Command::into_told_text).collect();
        if is_list {
            return (!texts.is_empty()).then(|| push::list(&texts));
        }
        texts.into_iter().next()
    }

    /// All answers.
    pub(super) fn into_replies(self) -> Replies {
        let is_list = self.is_list;
        let mut replies: Vec<_> = self.commands.into_iter().map(Command::into_reply).collect();
        match replies.pop() {
            Some(reply) if !is_list => Replies::One(reply),
            last => {
                replies.extend(last);
                Replies::Many(replies)
            }
        }
    }
}

impl Command {
    fn into_told_text(self) -> Option<String> {
        let is_answered = self.is_answered;
        let reply = self.into_reply();
        (is_answered || reply.is_error()).then(|| reply.into_text())
    }

    fn into_reply(self) -> Reply {
        let id = self.id;
        match self.state {
            State::Ready(reply) => reply,
            State::Awaited => Reply::Refused(unavailable("there was no answer").with_id(id)),
            State::Publication { several: false, parts } => match parts.into_iter().next().and_then(|p| p.outcome) {
                Some(Ok(ack)) => Reply::Done(push::ack(id.as_ref(), &ack)),
                Some(Err(error)) => Reply::Refused(error.with_id(id)),
                None => Reply::Refused(unavailable("it is not known what became of it").with_id(id)),
            },
            State::Publication { several: true, parts } => {
                let mut total = 0;
                let results: Vec<_> = parts
                    .into_iter()
                    .map(|part| match (part.outcome, part.channel) {
                        (Some(Ok(ack)), Some(channel)) => {
                            total += ack.receivers;
                            push::ack_channel(&channel, &ack)
                        }
                        (Some(Err(error)), _) => push::error(&error),
                        _ => push::error(&unavailable("it is not known what became of it")),
                    })
                    .collect();
                Reply::Done(push::ack_results(id.as_ref(), total, &results))
            }
        }
    }
}

/// Work whose last jobs are not done.
struct Pending {
    left: usize,
    work: Work,
    deliver: Box<dyn FnOnce(Work) + Send>,
}

/// One job is done.
fn settle(pending: &Mutex<Option<Pending>>, set: impl FnOnce(&mut Work)) {
    let mut guard = pending.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(waiting) = guard.as_mut() else { return };
    set(&mut waiting.work);
    waiting.left -= 1;
    if waiting.left > 0 {
        return;
    }
    let done = guard.take();
    drop(guard);
    if let Some(Pending { work, deliver, .. }) = done {
        deliver(work);
    }
}
