use realtime_protocol::ChannelName;

use super::*;
use crate::hub::{AppId, StreamName};

fn stream() -> Stream {
    Stream { app: AppId::DEFAULT, name: StreamName::Channel(ChannelName::parse("c").unwrap()) }
}

fn class(stream: &Stream, overflow: Overflow) -> Class<'_> {
    kept(stream, None, 0, overflow)
}

fn kept<'a>(stream: &'a Stream, epoch: Option<&'a str>, offset: u64, overflow: Overflow) -> Class<'a> {
    Class::Publication { local: 0, stream, epoch, offset, overflow }
}

fn waiting(outbox: &Outbox) -> Vec<String> {
    outbox.chunks.iter().map(|chunk| String::from_utf8_lossy(&chunk.frame).into_owned()).collect()
}

/// A bound with room for so many of the short frames of these tests.
fn room(frames: usize) -> usize {
    frames * cost(&Bytes::from_static(b"short"))
}

fn occupied(outbox: &Outbox) -> usize {
    outbox.chunks.iter().map(|chunk| cost(&chunk.frame)).sum()
}

#[test]
fn a_half_written_frame_is_never_dropped() {
    let stream = stream();
    let mut outbox = Outbox::default();
    let class = class(&stream, Overflow::Disconnect);
    outbox.push(Bytes::from_static(b"hello"), 2, class, room(9));
    outbox.push(Bytes::from_static(b"world"), 0, class, room(9));
    outbox.push(Bytes::from_static(b"ctl"), 0, Class::Control, room(9));
    outbox.drop_publications();
    assert_eq!(waiting(&outbox), ["hello", "ctl"]);
    assert_eq!(outbox.bytes(), room(2));
    outbox.advance(3);
    assert_eq!(outbox.bytes(), room(1));
    outbox.advance(3);
    assert_eq!((outbox.bytes(), outbox.chunks.len()), (0, 0));
}

#[test]
fn a_frame_counts_with_what_the_allocator_takes_for_it() {
    let bookkeeping = cost(&Bytes::new());
    for (length, allocation) in [(1, 16), (128, 128), (129, 160), (4096, 4096), (14_000, 14_336)] {
        assert_eq!(cost(&vec![0; length].into()), allocation + bookkeeping, "{length} bytes");
    }
    for (length, allocation) in [(16_384, 16_384), (16_450, 20_480), (1 << 20, 1 << 20)] {
        assert_eq!(cost(&vec![0; length].into()), allocation + allocation / 5 + bookkeeping, "{length} bytes");
    }
}

#[test]
fn latest_keeps_one_publication_waiting_and_never_overflows() {
    let stream = stream();
    let mut outbox = Outbox::default();
    for n in 0..100 {
        let pushed = outbox.push(format!("state {n:03}").into(), 0, class(&stream, Overflow::Latest), room(2));
        assert_eq!(pushed, Pushed::Fits);
    }
    outbox.push(Bytes::from_static(b"ctl"), 0, Class::Control, room(2));
    assert_eq!(waiting(&outbox), ["state 099", "ctl"]);
    assert_eq!(outbox.bytes(), room(2));
}

#[test]
fn drop_oldest_leaves_one_missed_with_the_whole_count() {
    let stream = stream();
    let mut outbox = Outbox::default();
    let class = class(&stream, Overflow::DropOldest);
    outbox.push(Bytes::from_static(b"half"), 1, class, room(30));
    for n in 0..100 {
        assert_eq!(outbox.push(format!("publication {n:03}").into(), 0, class, room(30)), Pushed::Fits);
    }
    let waiting = waiting(&outbox);
    assert_eq!(waiting[0], "half");
    assert_eq!(waiting.iter().filter(|text| text.contains("missed")).count(), 1);
    let kept = waiting.len() - 2;
    assert!(waiting[1].contains(&format!("\"count\":{}", 100 - kept)), "{waiting:?}");
    assert_eq!(waiting.last().unwrap(), "publication 099");
    assert_eq!(outbox.bytes(), occupied(&outbox));
}

#[test]
fn what_may_not_be_dropped_makes_the_outbox_full() {
    let stream = stream();
    let mut outbox = Outbox::default();
    let frame = Bytes::from_static(b"0123456789");
    assert_eq!(outbox.push(frame.clone(), 0, Class::Control, room(1)), Pushed::Fits);
    assert_eq!(outbox.push(frame, 0, class(&stream, Overflow::DropOldest), room(1)), Pushed::Full);
}

#[test]
fn catching_up_drops_the_streams_whole_tail_and_says_from_where() {
    let (stream, mut outbox) = (stream(), Outbox::default());
    outbox.push(Bytes::from_static(b"half"), 1, kept(&stream, Some("e"), 5, Overflow::CatchUp), room(3));
    outbox.push(Bytes::from_static(b"next"), 0, kept(&stream, Some("e"), 6, Overflow::CatchUp), room(3));
    outbox.push(Bytes::from_static(b"ctl"), 0, Class::Control, room(3));
    let frame = Bytes::from_static(b"0123456789abc");
    let pushed = outbox.push(frame.clone(), 0, kept(&stream, Some("e"), 7, Overflow::CatchUp), room(3));
    assert_eq!(pushed, Pushed::Behind(6));
    assert_eq!(waiting(&outbox), ["half", "ctl"]);
    assert_eq!(outbox.bytes(), room(2));
    let other = Bytes::from(vec![b'x'; 1_000]);
    assert_eq!(outbox.push(other, 0, kept(&stream, Some("e"), 9, Overflow::CatchUp), room(3)), Pushed::Behind(9));
}

#[test]
fn what_waits_of_a_former_subscription_is_not_dropped_for_the_next_one() {
    let stream = stream();
    for (overflow, expected) in
        [(Overflow::CatchUp, Pushed::Behind(7)), (Overflow::DropOldest, Pushed::Fits), (Overflow::Latest, Pushed::Fits)]
    {
        let mut outbox = Outbox::default();
        let (former, reply) = (Bytes::from_static(b"former"), Bytes::from_static(b"reply"));
        let frame = Bytes::from(vec![b'x'; 150]);
        let max = cost(&former) + cost(&reply) + 2 * cost(&frame);
        outbox.push(former, 0, kept(&stream, Some("e"), 500, overflow), max);
        outbox.seal(0);
        outbox.push(reply, 0, Class::Control, max);
        let pushed: Vec<_> = (7..=9)
            .map(|offset| outbox.push(frame.clone(), 0, kept(&stream, Some("e"), offset, overflow), max))
            .collect();
        assert_eq!(pushed[2], expected, "{overflow:?}");
        let waiting = waiting(&outbox);
        assert_eq!(waiting[..2], ["former", "reply"], "{overflow:?}");
        assert!(!waiting.iter().any(|text| text.contains("500")), "{overflow:?}: {waiting:?}");
    }
}

#[test]
fn in_a_history_what_is_dropped_is_named_by_its_offsets() {
    let (stream, mut outbox) = (stream(), Outbox::default());
    for offset in 1..=50 {
        let frame = format!("publication {offset:03}").into();
        outbox.push(frame, 0, kept(&stream, Some("e"), offset, Overflow::DropOldest), room(30));
    }
    let waiting_now = waiting(&outbox);
    let kept_now = waiting_now.len() as u64 - 1;
    let to = 50 - kept_now;
    assert!(waiting_now[0].contains(&format!("\"from\":1,\"to\":{to},\"offset\":{to}")), "{waiting_now:?}");
    assert!(waiting_now[0].contains("\"recoverable\":true"), "{waiting_now:?}");

    let mut outbox = Outbox::default();
    for offset in 1..=5 {
        let frame = format!("state {offset}").into();
        outbox.push(frame, 0, kept(&stream, Some("e"), offset, Overflow::Latest), room(30));
    }
    let waiting_now = waiting(&outbox);
    assert_eq!(waiting_now.len(), 2, "{waiting_now:?}");
    assert!(waiting_now[0].contains("\"position\"") && waiting_now[0].contains("\"offset\":4"), "{waiting_now:?}");
}

#[test]
fn one_frame_may_always_wait_though_it_occupies_more_than_the_bound() {
    let (stream, mut slot) = (stream(), None);
    let class = kept(&stream, Some("e"), 1, Overflow::CatchUp);
    let frame = Bytes::from(vec![b'x'; 1_000]);
    let blocked = |_: &[u8]| Err(io::ErrorKind::WouldBlock.into());
    assert_eq!(Outbox::send(&mut slot, &frame, 0, class, 100, blocked), Written::Blocked);
    assert_eq!(slot.unwrap().chunks.len(), 1);
}
