//! What publishers ask, carried out: from the WebSocket, the unix socket and `POST /broadcast` alike.
//!
//! A frame or body holds one command or many. What can be answered at once is; publications in streams on disk and
//! reads from there take their time, and the replies to the whole frame wait for the last of them.

mod query;
mod work;

use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realtime_protocol::{
    ChannelName, CommandError, ConnectionId, ErrorCode, EventName, IdempotencyKey, NameError, Position, PublishCommand,
    PublisherCommand, PublisherFrame, PublisherRequest, RequestId, Target, UserId, push,
};
use sha2::{Digest, Sha256};

use crate::Shared;
use crate::directory::Place;
use crate::grant::Grant;
use crate::hub::{Incoming, KeyRefusal, Keyed, Outcome, Payload, Refused, Stream, StreamName, fingerprint};
use crate::inbox::Item;
use crate::session::{Author, Query};
use crate::store::{Key, Retention, WriteError};

use self::work::{Job, Part, Work, WriteJob};

pub use self::work::{Replies, Reply};

/// Longest frame or body of a publisher, bytes; each publication in it has a limit of its own.
pub const MAX_FRAME: usize = 8 << 20;

/// Most channels, users and connections that the commands of one frame or body may name together. Each publication
/// waits until it is delivered, and a name needs only a few bytes of the frame.
const MAX_TARGETS: usize = 100_000;

/// Carries out what a frame holds, as far as the sender's grant goes, and returns the text to answer, where a command
/// has an `id` or failed; when that takes time, it goes to `place` later.
pub fn execute_frame(shared: &Arc<Shared>, grant: &Grant, text: &str, place: Place) -> Option<String> {
    let (work, jobs) = carry_out(shared, grant, text);
    later(shared, work, jobs, place)
}

/// Carries out one publication over a client's connection.
pub fn execute_one(
    shared: &Arc<Shared>,
    id: Option<RequestId>,
    mut publish: PublishCommand<'_>,
    by: Author,
    place: Place,
) -> Option<String> {
    let (mut work, mut jobs) = (Work::one(), Vec::new());
    match by {
        Author::Publisher(grant) => {
            let request = PublisherRequest { id, command: PublisherCommand::Publish(publish) };
            command(shared, &grant, Ok(request), &mut work, &mut jobs);
        }
        Author::Client { user, exclude_self } => {
            publish.exclude = exclude_self.then(|| shared.directory.id(place));
            // Neither names of publishers nor ids of users have control characters, so that nobody's keys are another's.
            let scope = user.as_ref().map_or("\0".to_owned(), |user| format!("\0{user}"));
            publish.key = publish.key.map(|key| key_of_client(&scope, &key));
            let sender = Sender { scope: &scope, grant: None, user: user.as_ref() };
            self::publish(shared, sender, (id, publish), &mut work, &mut jobs);
        }
    }
    later(shared, work, jobs, place)
}

/// A client's key as one that a library has made: of each user only the last ones are remembered, so that no client
/// fills the memory that applications have for theirs.
fn key_of_client(scope: &str, key: &IdempotencyKey) -> IdempotencyKey {
    let mut prefix = [0; 16];
    prefix.copy_from_slice(&Sha256::digest(scope.as_bytes())[..16]);
    IdempotencyKey::Made { prefix, counter: fingerprint(&[key.to_string().as_bytes()]) }
}

/// Who publishes.
#[derive(Clone, Copy)]
struct Sender<'a> {
    /// Whose idempotency keys are used: the same one of somebody else is another one.
    scope: &'a str,
    /// What a publisher may publish; a client's publication was allowed by the rules.
    grant: Option<&'a Grant>,
    /// The user whose client it is.
    user: Option<&'a UserId>,
}

/// Answers a client's question, which was allowed, at once or later.
pub fn answer(shared: &Arc<Shared>, id: Option<RequestId>, query: Query, place: Place) -> Option<String> {
    let (mut work, mut jobs) = (Work::question(shared.config.outbox_max), Vec::new());
    let command = match query {
        Query::History(query) => PublisherCommand::History(query),
        Query::Presence(query) => PublisherCommand::Presence(query),
    };
    query::answer(shared, id, command, &mut work, &mut jobs);
    later(shared, work, jobs, place)
}

fn later(shared: &Arc<Shared>, work: Work, jobs: Vec<Job>, place: Place) -> Option<String> {
    let hub = shared.hub.clone();
    let done = work.finish(shared, jobs, move |work| {
        if let Some(text) = work.into_frame() {
            hub.send(place.shard, Item::Reply { place, text });
        }
    });
    done.and_then(Work::into_frame)
}

/// Carries out what a body holds and answers everything, with `id` or without.
pub async fn execute_body(shared: &Arc<Shared>, grant: &Grant, text: &str) -> Replies {
    let (work, jobs) = carry_out(shared, grant, text);
    let (send, receive) = tokio::sync::oneshot::channel();
    let done = work.finish(shared, jobs, move |work| {
        // Who has hung up needs no answer.
        let _ = send.send(work);
    });
    match done {
        Some(work) => work.into_replies(),
        None => match receive.await {
            Ok(work) => work.into_replies(),
            Err(_) => Replies::One(Reply::Refused(unavailable("the server is stopping"))),
        },
    }
}

fn carry_out(shared: &Shared, grant: &Grant, text: &str) -> (Work, Vec<Job>) {
    let mut jobs = Vec::new();
    match PublisherFrame::parse(text) {
        PublisherFrame::One(request) => {
            let mut work = Work::one();
            command(shared, grant, bounded(request, &mut { MAX_TARGETS }), &mut work, &mut jobs);
            (work, jobs)
        }
        PublisherFrame::Many(requests) => {
            let mut work = Work::many(requests.len());
            let mut left = MAX_TARGETS;
            for request in requests {
                command(shared, grant, bounded(request, &mut left), &mut work, &mut jobs);
            }
            (work, jobs)
        }
    }
}

type Parsed<'a> = Result<PublisherRequest<'a>, CommandError>;

/// The same request, unless it names more than the `left` targets, of which it takes its own.
fn bounded<'a>(request: Parsed<'a>, left: &mut usize) -> Parsed<'a> {
    let request = request?;
    let targets = match &request.command {
        PublisherCommand::Publish(PublishCommand { target: Target::Channels(channels), .. }) => channels.len(),
        PublisherCommand::Publish(_) => 1,
        _ => 0,
    };
    match left.checked_sub(targets) {
        Some(rest) => {
            *left = rest;
            Ok(request)
        }
        None => {
            let message = format!("one frame or body may name {MAX_TARGETS} channels altogether; send several");
            Err(CommandError::new(ErrorCode::LimitExceeded, message).with_id(request.id))
        }
    }
}

/// Carries out one command, or leaves a job that does.
fn command(shared: &Shared, grant: &Grant, request: Parsed<'_>, work: &mut Work, jobs: &mut Vec<Job>) {
    let PublisherRequest { id, command } = match request {
        Ok(request) => request,
        Err(error) => return work.refuse(error),
    };
    if let Err(error) = grant.allows(Instant::now(), &command) {
        return work.refuse(error.with_id(id));
    }
    match command {
        PublisherCommand::Publish(publish) => {
            let sender = Sender { scope: grant.scope(), grant: Some(grant), user: None };
            self::publish(shared, sender, (id, publish), work, jobs);
        }
        command => {
            query::log_measure(grant.name(), &command);
            query::answer(shared, id, command, work, jobs);
        }
    }
}

/// Publishes, and says to how many connections it was queued.
fn publish(
    shared: &Shared,
    sender: Sender<'_>,
    (id, publish): (Option<RequestId>, PublishCommand<'_>),
    work: &mut Work,
    jobs: &mut Vec<Job>,
) {
    let PublishCommand { target, event, data, exclude, key } = publish;
    let max = shared.config.max_publication;
    if data.get().len() > max {
        let message = format!(
            "data has {} bytes, and a publication may have {max} (max_publication); send less, for example only the \
             id of what changed",
            data.get().len()
        );
        return work.refuse(CommandError::new(ErrorCode::TooLarge, message).with_id(id));
    }
    let digest = key.as_ref().map_or(0, |_| {
        let event = event.as_ref().map_or("", EventName::as_str);
        let exclude = exclude.map_or([0; ConnectionId::LEN], |id| *id.as_bytes());
        fingerprint(&[event.as_bytes(), data.get().as_bytes(), &exclude])
    });
    let payload = Arc::new(Payload { event, data: data.to_owned(), user: sender.user.cloned() });
    let outgoing = Outgoing { sender, payload, exclude, key: key.as_ref(), digest };
    match target {
        Target::Channel(channel) => {
            work.publication(id, false, 1);
            outgoing.to_stream(shared, StreamName::Channel(channel), None, work, jobs);
        }
        Target::User(user) => {
            work.publication(id, false, 1);
            outgoing.to_stream(shared, StreamName::User(user), None, work, jobs);
        }
        Target::Connection(connection) => {
            work.publication(id, false, 1);
            work.part(Part { channel: None, outcome: Some(outgoing.to_connection(shared, connection)) });
        }
        // Each is tried, whatever becomes of the others.
        Target::Channels(channels) => {
            work.publication(id, true, channels.len());
            for channel in channels {
                outgoing.to_one_of_several(shared, channel, work, jobs);
            }
        }
    }
}

/// A publication on its way to one or several streams.
struct Outgoing<'a> {
    sender: Sender<'a>,
    payload: Arc<Payload>,
    exclude: Option<ConnectionId>,
    key: Option<&'a IdempotencyKey>,
    digest: u64,
}

impl Outgoing<'_> {
    fn to_one_of_several(
        &self,
        shared: &Shared,
        channel: Result<ChannelName, (String, NameError)>,
        work: &mut Work,
        jobs: &mut Vec<Job>,
    ) {
        match channel {
            Ok(channel) => {
                let may = self.sender.grant.map_or(Ok(()), |grant| grant.may_publish(Instant::now(), &channel));
                if let Err(error) = may {
                    return work.part(Part { channel: None, outcome: Some(Err(error)) });
                }
                self.to_stream(shared, StreamName::Channel(channel.clone()), Some(channel), work, jobs);
            }
            Err((name, error)) => {
                let error = CommandError::name("channel names", error).about(name);
                work.part(Part { channel: None, outcome: Some(Err(error)) });
            }
        }
    }

    /// `told`: the channel, when the reply names it.
    fn to_stream(
        &self,
        shared: &Shared,
        name: StreamName,
        told: Option<ChannelName>,
        work: &mut Work,
        jobs: &mut Vec<Job>,
    ) {
        let stream = Stream::new(name);
        let incoming =
            Incoming { payload: self.payload.clone(), exclude: self.exclude, id: self.public_id(&stream.name) };
        // Without a store nothing is on disk, and nobody need look.
        let history = shared.store.as_ref().and_then(|_| shared.hub.on_disk(&stream));
        let Some(history) = history else {
            let scope = self.key.map_or(0, |_| self.scope(&stream.name));
            let outcome = self.once(shared, scope, || shared.hub.publish(&stream, &incoming));
            let outcome = outcome.map_err(|error| match &told {
                Some(channel) => error.about(channel.as_str()),
                None => error,
            });
            return work.part(Part { channel: told, outcome: Some(outcome) });
        };
        let Incoming { payload, exclude, id } = incoming;
        let key = self.key.map(|key| Key { origin: self.sender.scope.into(), key: key.clone(), digest: self.digest });
        let retention = Retention { size: history.size, ttl: Some(history.ttl) };
        work.part(Part { channel: told, outcome: None });
        let (command, part) = work.last_part();
        let write = WriteJob { stream: Arc::new(stream), payload, exclude, id, key, retention };
        jobs.push(Job::Write { command, part, write });
    }

    fn to_connection(&self, shared: &Shared, connection: Option<ConnectionId>) -> Result<push::Ack, CommandError> {
        let Some(connection) = connection else { return Ok(push::Ack::default()) };
        let origin = self.sender.scope.as_bytes();
        let scope = self.key.map_or(0, |_| fingerprint(&[origin, b"connection", connection.as_bytes()]));
        self.once(shared, scope, || {
            let receivers = shared.hub.send_to_connection(&connection, self.payload.clone());
            Ok(Outcome { receivers, offset: None })
        })
    }

    fn once(
        &self,
        shared: &Shared,
        scope: u64,
        publish: impl FnOnce() -> Result<Outcome, Refused>,
    ) -> Result<push::Ack, CommandError> {
        let hub = &shared.hub;
        let done = match self.key {
            None => publish().map(|outcome| (outcome, false)),
            Some(key) => hub.keys.once(&Keyed { key, scope, digest: self.digest }, hub.now(), publish),
        };
        let (Outcome { receivers, offset }, duplicate) = done.map_err(refused)?;
        let position = offset.map(|offset| Position { epoch: (&**hub.memory_epoch()).into(), offset });
        Ok(push::Ack { receivers, position, duplicate })
    }

    /// Keys themselves never reach subscribers.
    fn public_id(&self, stream: &StreamName) -> Option<Box<str>> {
        let Some(IdempotencyKey::Application(key)) = self.key else { return None };
        let hash = Sha256::new().chain_update(self.scope(stream).to_be_bytes()).chain_update(&**key).finalize();
        Some(URL_SAFE_NO_PAD.encode(&hash[16..28]).into())
    }

    /// Where a key counts: the same one means nothing in another stream, or from another publisher.
    fn scope(&self, stream: &StreamName) -> u64 {
        let origin = self.sender.scope.as_bytes();
        match stream {
            StreamName::Channel(channel) => fingerprint(&[origin, b"channel", channel.as_str().as_bytes()]),
            StreamName::User(user) => fingerprint(&[origin, b"user", user.as_str().as_bytes()]),
        }
    }
}

fn unavailable(message: &str) -> CommandError {
    CommandError::new(ErrorCode::Unavailable, message)
}

fn refused(refused: Refused) -> CommandError {
    match refused {
        Refused::Full => {
            let message = "the histories in memory have no room for it (history.memory_max); nobody got it. Keep less \
                           of each channel, or for a shorter time";
            CommandError::new(ErrorCode::StoreFull, message)
        }
        Refused::Key(KeyRefusal::Conflict) => conflict(),
        Refused::Key(KeyRefusal::TooMany) => too_many_keys(),
    }
}

fn conflict() -> CommandError {
    let message = "this idempotency key was used for another publication; a repetition must be the same, event, data \
                   and exclusion, and anything new needs a key of its own";
    CommandError::new(ErrorCode::KeyConflict, message)
}

fn too_many_keys() -> CommandError {
    unavailable("as many idempotency keys are remembered as may be (idempotency.max_keys); try again in a while")
}

fn not_written(error: &WriteError) -> CommandError {
    match error {
        WriteError::KeyConflict => conflict(),
        WriteError::TooManyKeys => too_many_keys(),
        WriteError::Full => CommandError::new(ErrorCode::StoreFull, error.to_string()),
        WriteError::Unavailable(_) => unavailable(&error.to_string()),
    }
}
