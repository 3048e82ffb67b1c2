//! Questions about channels, and measures against connections.

use std::sync::Arc;

use realtime_protocol::{CommandError, ErrorCode, ListQuery, PublisherCommand, RequestId, UserId, Whom, push};
use tracing::info;

use super::work::{HistoryPart, Job, Work};
use crate::Shared;
use crate::hub::{Measure, Page, Portion, Stream};
use crate::inbox::Item;
use crate::session::Now;

/// Leaves a trace of what is done to users: who asks why they were thrown out wants to know by whom.
pub(super) fn log_measure(publisher: &str, command: &PublisherCommand<'_>) {
    match command {
        PublisherCommand::Disconnect { whom: Whom::User(user), .. } => {
            info!("the publisher {publisher} asks to disconnect the user {:?}", user.as_str());
        }
        PublisherCommand::Disconnect { whom: Whom::Connection(_), .. } => {
            info!("the publisher {publisher} asks to disconnect a connection");
        }
        PublisherCommand::Unsubscribe { user, channel, .. } => {
            info!(
                "the publisher {publisher} asks to unsubscribe the user {:?} from {:?}",
                user.as_str(),
                channel.as_str()
            );
        }
        PublisherCommand::Revoke(user) => {
            info!("the publisher {publisher} asks to revoke the tokens of the user {:?}", user.as_str());
        }
        _ => {}
    }
}

/// Answers, or leaves a job that does. A question is answered even without an `id`: nobody asks to hear nothing.
pub(super) fn answer(
    shared: &Shared,
    id: Option<RequestId>,
    command: PublisherCommand<'_>,
    work: &mut Work,
    jobs: &mut Vec<Job>,
) {
    let hub = &shared.hub;
    let id_of = id.as_ref();
    let text = match command {
        // `publish` has taken these.
        PublisherCommand::Publish(_) => return,
        PublisherCommand::Ping => push::pong(id_of),
        PublisherCommand::Position(channel) => {
            push::stands_at(id_of, &channel, hub.position(&Stream::channel(channel.clone())).as_ref())
        }
        PublisherCommand::Subscribers(channel) => {
            push::subscribers(id_of, &channel, hub.subscribers(&Stream::channel(channel.clone())))
        }
        PublisherCommand::Channels(ListQuery { of: prefix, after, limit }) => {
            let (channels, more) = hub.channels(&prefix, after.as_deref(), limit);
            let next = channels.last().filter(|_| more).map(|(name, _)| name.as_str());
            push::channels(id_of, &channels, next)
        }
        PublisherCommand::Presence(ListQuery { of: channel, after, limit }) => {
            // A cursor that is no id is before or after every id.
            let after = after.and_then(|after| UserId::parse(&after).ok());
            let (members, more) = hub.members(&Stream::channel(channel.clone()), after.as_ref(), limit);
            push::presence(id_of, &channel, push::Members::page(&members, more))
        }
        PublisherCommand::Disconnect { whom: Whom::User(user), reason } => {
            let receivers = hub.take(&user, Measure::Disconnect { reason });
            push::ack(id_of, &push::Ack { receivers, ..push::Ack::default() })
        }
        PublisherCommand::Disconnect { whom: Whom::Connection(connection), reason } => {
            let place = connection.and_then(|connection| shared.directory.locate(&connection));
            if let Some(place) = place {
                hub.send(place.shard, Item::Disconnect { place, reason });
            }
            push::ack(id_of, &push::Ack { receivers: u64::from(place.is_some()), ..push::Ack::default() })
        }
        PublisherCommand::Unsubscribe { user, channel, reason } => {
            let receivers = hub.take(&user, Measure::Leave { channel, reason });
            push::ack(id_of, &push::Ack { receivers, ..push::Ack::default() })
        }
        PublisherCommand::Revoke(_) if shared.policy.load().tokens.is_none() => {
            let message = "there are no tokens to revoke: the server's configuration has no [tokens]";
            return work.refuse(CommandError::new(ErrorCode::Unavailable, message).with_id(id));
        }
        PublisherCommand::Revoke(user) if shared.store.is_some() => {
            return jobs.push(Job::Revoke { command: work.awaited(id), user });
        }
        PublisherCommand::Revoke(user) => {
            let now = Now::read().unix;
            shared.revocations.revoke(&user, now, drop);
            let receivers = hub.take(&user, Measure::Revoke { before: now });
            push::ack(id_of, &push::Ack { receivers, ..push::Ack::default() })
        }
        PublisherCommand::Backup if shared.store.is_none() => {
            let message = "there is nothing to copy, since data_dir is not set";
            return work.refuse(CommandError::new(ErrorCode::Unavailable, message).with_id(id));
        }
        PublisherCommand::Backup => return jobs.push(Job::Backup { command: work.awaited(id) }),
        PublisherCommand::History(query) => {
            let stream = Stream::channel(query.channel.clone());
            let portion = Portion { most: query.limit, bytes: work.max_read() };
            match hub.page(&stream, query.since.as_ref(), portion) {
                Page::Whole(history) => push::history(id_of, &query.channel, &history),
                Page::OnDisk { range, newest, answer } => {
                    let command = work.awaited(id);
                    let (stream, channel) = (Arc::new(stream), query.channel);
                    let part = HistoryPart { range, newest, max_bytes: portion.bytes, answer };
                    return jobs.push(Job::Read { command, stream, channel, part });
                }
            }
        }
    };
    work.done(true, text);
}
