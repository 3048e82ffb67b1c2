//! What publishers ask, carried out: from the WebSocket, the unix socket and `POST /broadcast` alike.

use std::sync::Arc;

use realtime_protocol::{
    ChannelName, CommandError, ErrorCode, NameError, PublishCommand, PublisherCommand, PublisherFrame,
    PublisherRequest, RequestId, Target, push,
};

use crate::Shared;
use crate::hub::{AppId, Payload, Stream, StreamName};

/// Longest frame or body of a publisher, bytes; each publication in it has a limit of its own.
pub const MAX_FRAME: usize = 8 << 20;

/// Most channels, users and connections that the commands of one frame or body may name together. Each publication
/// waits until it is delivered, and a name needs only a few bytes of the frame.
const MAX_TARGETS: usize = 100_000;

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
    pub fn is_error(&self) -> bool {
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

/// Carries out what a frame holds; the text to answer, where a command has an `id` or failed.
pub fn execute_frame(shared: &Shared, text: &str) -> Option<String> {
    match PublisherFrame::parse(text) {
        PublisherFrame::One(request) => {
            let wants_reply = wants_reply(&request);
            let reply = request_reply(shared, bounded(request, &mut { MAX_TARGETS }));
            (wants_reply || reply.is_error()).then(|| reply.into_text())
        }
        PublisherFrame::Many(requests) => {
            let mut texts = Vec::with_capacity(requests.len());
            let mut left = MAX_TARGETS;
            for request in requests {
                let request = bounded(request, &mut left);
                let wants_reply = wants_reply(&request);
                let reply = request_reply(shared, request);
                if wants_reply || reply.is_error() {
                    texts.push(reply.into_text());
                }
            }
            (!texts.is_empty()).then(|| push::list(&texts))
        }
    }
}

/// Carries out what a body holds and answers everything, with `id` or without.
pub fn execute_body(shared: &Shared, text: &str) -> Replies {
    match PublisherFrame::parse(text) {
        PublisherFrame::One(request) => Replies::One(request_reply(shared, bounded(request, &mut { MAX_TARGETS }))),
        PublisherFrame::Many(requests) => {
            let mut left = MAX_TARGETS;
            let reply = |request| request_reply(shared, bounded(request, &mut left));
            Replies::Many(requests.into_iter().map(reply).collect())
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
        PublisherCommand::Ping => 0,
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

fn wants_reply(request: &Parsed<'_>) -> bool {
    request.as_ref().is_ok_and(|request| request.id.is_some() || matches!(request.command, PublisherCommand::Ping))
}

fn request_reply(shared: &Shared, request: Parsed<'_>) -> Reply {
    match request {
        Ok(PublisherRequest { id, command: PublisherCommand::Ping }) => Reply::Done(push::pong(id.as_ref())),
        Ok(PublisherRequest { id, command: PublisherCommand::Publish(publish) }) => {
            execute(shared, id.as_ref(), publish)
        }
        Err(error) => Reply::Refused(error),
    }
}

/// Publishes, and says to how many connections it was queued.
pub fn execute(shared: &Shared, id: Option<&RequestId>, publish: PublishCommand<'_>) -> Reply {
    let PublishCommand { target, event, data, exclude } = publish;
    let max = shared.config.max_publication;
    if data.get().len() > max {
        let message = format!(
            "data has {} bytes, and a publication may have {max} (max_publication); send less, for example only the \
             id of what changed",
            data.get().len()
        );
        return Reply::Refused(CommandError::new(ErrorCode::TooLarge, message).with_id(id.cloned()));
    }
    let payload = Payload { event, data: data.to_owned() };
    let hub = &shared.hub;
    let to_stream =
        |name: StreamName, payload: &Arc<Payload>| hub.publish(&Stream { app: AppId::DEFAULT, name }, payload, exclude);
    match target {
        Target::Channel(channel) => {
            Reply::Done(push::ack(id, to_stream(StreamName::Channel(channel), &Arc::new(payload))))
        }
        Target::User(user) => Reply::Done(push::ack(id, to_stream(StreamName::User(user), &Arc::new(payload)))),
        Target::Connection(connection) => {
            Reply::Done(push::ack(id, connection.map_or(0, |c| hub.send_to_connection(&c, payload))))
        }
        Target::Channels(channels) => {
            let payload = Arc::new(payload);
            to_channels(id, channels, |channel| to_stream(StreamName::Channel(channel), &payload))
        }
    }
}

/// Tries each channel, whatever became of the others.
fn to_channels(
    id: Option<&RequestId>,
    channels: Vec<Result<ChannelName, (String, NameError)>>,
    publish: impl Fn(ChannelName) -> u64,
) -> Reply {
    let mut total = 0;
    let results: Vec<_> = channels
        .into_iter()
        .map(|channel| match channel {
            Ok(channel) => {
                let receivers = publish(channel.clone());
                total += receivers;
                push::ack_channel(&channel, receivers)
            }
            Err((name, error)) => push::error(&CommandError::name("channel names", error).about(name)),
        })
        .collect();
    Reply::Done(push::ack_results(id, total, &results))
}
