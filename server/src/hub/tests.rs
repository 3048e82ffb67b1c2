use std::time::Duration;

use realtime_protocol::{ChannelName, Position};
use serde_json::value::RawValue;

use super::*;
use crate::rules::{HistoryRule, PresenceRule};

const MEMORY: HistoryRule = HistoryRule { size: 3, ttl: Duration::from_secs(3600), store: StoreKind::Memory };

/// Channels that begin with `kept` have a history of three, those with `room` have members.
fn rule_of(name: &StreamName) -> StreamRule {
    let StreamName::Channel(channel) = name else { return StreamRule::NONE };
    let history = match channel.as_str() {
        "disk" => Some(HistoryRule { store: StoreKind::Disk, ..MEMORY }),
        name => name.starts_with("kept").then_some(MEMORY),
    };
    let grace = PresenceRule { grace: Duration::ZERO, events: true };
    let presence = channel.as_str().starts_with("room").then_some(grace);
    StreamRule::new(None, history, presence)
}

pub(super) fn hub() -> Hub {
    let inboxes = Box::new([Arc::default(), Arc::default()]);
    Hub::new(inboxes, Arc::new(Directory::new(2)), &Config::default(), Box::new(rule_of))
}

pub(super) fn stream(name: &str) -> Stream {
    Stream::channel(ChannelName::parse(name).unwrap())
}

pub(super) fn incoming(data: u64) -> Incoming {
    let data = RawValue::from_string(data.to_string()).unwrap();
    Incoming { payload: Arc::new(Payload { event: None, data, user: None }), exclude: None, id: None }
}

fn publish(hub: &Hub, name: &str) -> Outcome {
    hub.publish(&stream(name), &incoming(1)).unwrap()
}

fn subscribe_as(hub: &Hub, shard: u16, name: &str, wish: Wish<'_>) -> Cut {
    let mut cut = None;
    hub.subscribe(shard, stream(name), wish, |_, _, _| 7, |got| cut = Some(got));
    cut.unwrap()
}

fn subscribe(hub: &Hub, shard: u16, name: &str) -> Cut {
    subscribe_as(hub, shard, name, Wish::default())
}

fn since(hub: &Hub, offset: u64) -> Since {
    Since::At(Position { epoch: (&**hub.memory_epoch()).into(), offset })
}

fn pulled(hub: &Hub, name: &str, next: u64) -> Pull {
    hub.pull(&stream(name), next, Mode::Stream, Portion { most: 10, bytes: 10_000 }, |_| {})
}

#[test]
fn a_subscription_wants_what_comes_after_it() {
    let hub = hub();
    assert_eq!(subscribe(&hub, 0, "c").next, 1);
    assert_eq!(publish(&hub, "c").receivers, 1);
    assert_eq!(subscribe(&hub, 1, "c").next, 2);
    assert_eq!(publish(&hub, "c").receivers, 2);
    assert_eq!(publish(&hub, "other"), Outcome::default());
}

#[test]
fn offsets_go_on_after_a_stream_was_freed() {
    let hub = hub();
    subscribe(&hub, 0, "c");
    for _ in 0..5 {
        publish(&hub, "c");
    }
    hub.unsubscribe(0, &stream("c"), None, || {});
    assert_eq!(hub.streams(), 0);
    assert!(subscribe(&hub, 0, "c").next > 5, "what still waits in the inbox would be taken for the new life's");
}

#[test]
fn streams_that_nobody_uses_leave_no_memory_behind() {
    let hub = hub();
    let names = (0..200_000).map(|n| stream(&format!("c{n}")));
    let mut open = std::collections::VecDeque::new();
    for stream in names {
        hub.subscribe(0, stream.clone(), Wish::default(), |_, _, _| 0, |_| {});
        open.push_back(stream);
        if open.len() > 10_000 {
            hub.unsubscribe(0, &open.pop_front().unwrap(), None, || {});
        }
    }
    for stream in open {
        hub.unsubscribe(0, &stream, None, || {});
    }
    let capacity: usize = hub.stripes.iter().map(|s| s.lock().unwrap().entries.capacity()).sum();
    assert_eq!(hub.streams(), 0);
    assert!(capacity < 100, "tables for {capacity} streams are kept");
}

#[test]
fn who_comes_back_to_a_position_gets_what_is_kept_and_nothing_twice() {
    let hub = hub();
    for offset in 1..=4 {
        assert_eq!(publish(&hub, "kept").offset, Some(offset));
    }
    let at = since(&hub, 2);
    let cut = subscribe_as(&hub, 0, "kept", Wish { since: Some(&at), ..Wish::default() });
    let standing = cut.standing.unwrap();
    assert_eq!((standing.start.offset, standing.top, standing.start.recovered), (2, 4, Some(Ok(()))));
    let Pull::Frames(publications) = pulled(&hub, "kept", 3) else { panic!("must be kept") };
    assert_eq!(publications.iter().map(|p| p.offset).collect::<Vec<_>>(), [3, 4]);
    let mut live_from = None;
    let portion = Portion { most: 10, bytes: 10_000 };
    let last = hub.pull(&stream("kept"), 5, Mode::Stream, portion, |next| live_from = Some(next));
    assert!(matches!(last, Pull::Live));
    assert_eq!(live_from, Some(5));
}

#[test]
fn what_is_trimmed_on_the_way_is_told() {
    let hub = hub();
    for _ in 0..6 {
        publish(&hub, "kept");
    }
    let Pull::Missed { from, to, .. } = pulled(&hub, "kept", 2) else { panic!("2 and 3 are gone") };
    assert_eq!((from, to), (2, 3));
    let latest = hub.pull(&stream("kept"), 2, Mode::Latest, Portion { most: 10, bytes: 10_000 }, |_| {});
    let Pull::Nothing { to: 5 } = latest else { panic!("only 6 is wanted: {latest:?}") };
}

#[test]
fn a_portion_ends_at_its_bytes_but_has_at_least_one() {
    let hub = hub();
    for _ in 0..3 {
        publish(&hub, "kept");
    }
    let Pull::Frames(one) = hub.pull(&stream("kept"), 1, Mode::Stream, Portion { most: 10, bytes: 1 }, |_| {}) else {
        panic!("must be kept")
    };
    assert_eq!(one.len(), 1);
}

#[test]
fn a_history_without_subscribers_is_kept_and_ends_with_its_time() {
    let mut hub = hub();
    publish(&hub, "kept");
    assert_eq!(hub.position(&stream("kept")).unwrap().offset, 1);
    hub.clock.began_at += MEMORY.ttl.as_millis() as u64;
    for _ in 0..Hub::STRIPES {
        hub.tick();
    }
    let entries: usize = hub.stripes.iter().map(|s| s.lock().unwrap().entries.len()).sum();
    assert_eq!((entries, hub.kept.load(Ordering::Relaxed)), (0, 0));
    assert_eq!(publish(&hub, "kept").offset, Some(2), "no offset is used twice");
}

#[test]
fn freed_channels_never_make_an_old_position_look_recovered() {
    let mut hub = hub();
    let mut tops = Vec::new();
    for n in 0..1_000_u64 {
        let name = format!("kept{n}");
        for _ in 0..=n % 7 {
            publish(&hub, &name);
        }
        tops.push((name, n % 7 + 1));
    }
    hub.clock.began_at += MEMORY.ttl.as_millis() as u64;
    for _ in 0..Hub::STRIPES {
        hub.tick();
    }
    for (name, _) in &tops {
        publish(&hub, name);
    }
    for (name, top) in &tops {
        for offset in 0..*top {
            let at = since(&hub, offset);
            let cut = subscribe_as(&hub, 0, name, Wish { since: Some(&at), ..Wish::default() });
            let recovered = cut.standing.unwrap().start.recovered.unwrap();
            assert!(recovered.is_err(), "{name} at {offset} of {top}: what came after it is gone");
        }
    }
}

#[test]
fn memory_that_is_full_refuses_before_anybody_gets_it() {
    let mut hub = hub();
    hub.kept_max = 2_000;
    subscribe(&hub, 0, "kept");
    let refused = (0..100).map(|n| hub.publish(&stream(&format!("kept{n}")), &incoming(n))).find(Result::is_err);
    assert_eq!(refused, Some(Err(Refused::Full)));
    let before = hub.position(&stream("kept")).unwrap();
    assert_eq!(hub.publish(&stream("kept"), &incoming(1)), Err(Refused::Full));
    assert_eq!(hub.position(&stream("kept")).unwrap(), before);
    assert_eq!(publish(&hub, "c"), Outcome::default(), "who keeps nothing is not refused");
}

#[test]
fn a_page_is_after_a_position_or_the_newest() {
    let hub = hub();
    for _ in 0..5 {
        publish(&hub, "kept");
    }
    let page = |since: Option<&Since>, most| match hub.page(&stream("kept"), since, Portion { most, bytes: 10_000 }) {
        Page::Whole(history) => (history.publications.len(), history.oldest, history.top, history.next),
        Page::OnDisk { .. } => panic!("it is in memory"),
    };
    assert_eq!(page(None, 2), (2, 3, 5, None));
    assert_eq!(page(Some(&Since::Earliest), 2), (2, 3, 5, Some(4)));
    assert_eq!(page(Some(&since(&hub, 4)), 2), (1, 3, 5, None));
    assert_eq!(page(Some(&since(&hub, 5)), 2), (0, 3, 5, None));
    assert_eq!(hub.position(&stream("c")), None);
}

#[test]
fn a_page_that_does_not_fit_says_where_it_goes_on() {
    let hub = hub();
    for _ in 0..3 {
        publish(&hub, "kept");
    }
    let page = |since: Option<&Since>| match hub.page(&stream("kept"), since, Portion { most: 10, bytes: 600 }) {
        Page::Whole(history) => (history.publications, history.next),
        Page::OnDisk { .. } => panic!("it is in memory"),
    };
    let (publications, next) = page(Some(&Since::Earliest));
    assert_eq!((publications.len(), next), (2, Some(2)));
    let (publications, next) = page(None);
    assert!(publications[0].contains("\"offset\":2") && publications.len() == 2, "{publications:?}");
    assert_eq!(next, None);
}

#[test]
fn a_stream_on_disk_that_goes_on_elsewhere_tells_what_is_gone_and_what_never_was() {
    let hub = hub();
    let disk = Arc::new(stream("disk"));
    subscribe(&hub, 0, "disk");
    let commit = |offset| hub.committed(&disk, offset, 0, incoming(offset));
    for offset in 1..=3 {
        commit(offset);
    }
    // All of it is too old; other streams have used offsets up to 10 since.
    hub.trimmed(&disk, 4);
    commit(11);
    let pulled = |next| pulled(&hub, "disk", next);
    assert!(matches!(pulled(2), Pull::Missed { from: 2, to: 3, .. }), "{:?}", pulled(2));
    assert!(matches!(pulled(4), Pull::Nothing { to: 10 }), "{:?}", pulled(4));
    assert!(matches!(pulled(11), Pull::OnDisk(range) if range == (11..=11)));
    hub.trimmed(&disk, 12);
    commit(12);
    assert!(matches!(pulled(11), Pull::Missed { from: 11, to: 11, .. }), "{:?}", pulled(11));
}

#[test]
fn members_are_told_and_listed_and_leave_nothing_behind() {
    let hub = hub();
    let ana = Who { user: UserId::parse("ana").unwrap(), info: None };
    let as_ana = Wish { who: Some(&ana), ..Wish::default() };
    let seen = |(members, more): (Vec<Listed>, bool)| {
        (members.into_iter().map(|member| (member.user, member.connections)).collect::<Vec<_>>(), more)
    };
    assert_eq!(subscribe(&hub, 0, "room").members.map(seen), Some((vec![], false)));
    assert_eq!(subscribe_as(&hub, 1, "room", as_ana).members.map(seen), Some((vec![(ana.user.clone(), 1)], false)));
    hub.unsubscribe(1, &stream("room"), Some(&ana.user), || {});
    hub.tick();
    assert_eq!(seen(hub.members(&stream("room"), None, 10)), (vec![], false));
    hub.unsubscribe(0, &stream("room"), None, || {});
    assert_eq!(hub.streams(), 0);
}

#[test]
fn channels_are_listed_by_name_page_by_page() {
    let hub = hub();
    for n in [3, 1, 2] {
        subscribe(&hub, 0, &format!("orders.{n}"));
    }
    subscribe(&hub, 0, "else");
    subscribe(&hub, 1, "orders.2");
    let name = |name: &str| ChannelName::parse(name).unwrap();
    assert_eq!(hub.channels("orders.", None, 2), (vec![(name("orders.1"), 1), (name("orders.2"), 2)], true));
    assert_eq!(hub.channels("orders.", Some("orders.2"), 2), (vec![(name("orders.3"), 1)], false));
    assert_eq!(hub.subscribers(&stream("orders.2")), 2);
}

#[test]
fn a_snapshot_goes_on_where_the_last_life_ended_and_is_used_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.snapshot");
    let before = hub();
    for _ in 0..5 {
        publish(&before, "kept");
    }
    subscribe(&before, 0, "freed");
    publish(&before, "freed");
    before.unsubscribe(0, &stream("freed"), None, || {});
    let key = realtime_protocol::IdempotencyKey::Application("k".into());
    let keyed = Keyed { key: &key, scope: 1, digest: 2 };
    let once =
        |hub: &Hub| hub.keys.once(&keyed, hub.now(), || Ok::<_, Refused>(Outcome { receivers: 9, offset: None }));
    assert!(!once(&before).unwrap().1);
    before.save(&path).unwrap();

    let mut after = hub();
    assert_eq!(after.load(&path).unwrap(), 1);
    assert!(!path.exists(), "a second start must not load it again");
    assert_eq!(after.memory_epoch(), before.memory_epoch());
    let at = since(&after, 3);
    let cut = subscribe_as(&after, 0, "kept", Wish { since: Some(&at), ..Wish::default() });
    assert_eq!(cut.standing.unwrap().start.recovered, Some(Ok(())));
    let Pull::Frames(kept) = pulled(&after, "kept", 4) else { panic!("must be kept") };
    assert_eq!(kept.iter().map(|p| p.offset).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(once(&after).unwrap(), (Outcome { receivers: 9, offset: None }, true));
    assert!(subscribe(&after, 0, "freed").next > 1);
    let third = hub().load(&path);
    assert_eq!(third.unwrap(), 0);
}

#[test]
fn a_snapshot_that_is_not_whole_begins_a_new_life() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.snapshot");
    let before = hub();
    publish(&before, "kept");
    before.save(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let other = text.replace("\"data\":1", "\"data\":9");
    assert_ne!(other, text);
    for broken in [&text[..text.len() - 8], &other, "", "{}\n", "\0\0"] {
        std::fs::write(&path, broken).unwrap();
        let mut after = hub();
        let epoch = after.memory_epoch().clone();
        assert!(after.load(&path).is_err(), "{broken:?}");
        assert_eq!(*after.memory_epoch(), epoch);
        assert_eq!(after.position(&stream("kept")).unwrap().offset, 0);
    }
}
