//! The pieces of the path of a broadcast: decoding frames, encoding them, and the hub.

use std::ops::ControlFlow;
use std::sync::Arc;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use realtime_protocol::ChannelName;
use realtime_server::config::Config;
use realtime_server::internals::{
    AppId, Decoder, Directory, Hub, Inbox, Incoming, Item, Limits, Payload, Publication, Stream, StreamName, Wish,
    text_frame,
};
use realtime_server::rules::StreamRule;
use serde_json::value::RawValue;

/// Publications between two visits of a shard.
const BATCH: usize = 100;

fn main() {
    divan::main();
}

fn payload(size: usize) -> Payload {
    let data = RawValue::from_string(format!("\"{}\"", "x".repeat(size))).expect("a JSON string");
    Payload { event: None, data, user: None }
}

fn stream(number: usize) -> Stream {
    let name = ChannelName::parse(&format!("orders.{number}")).expect("a valid name");
    Stream { app: AppId::DEFAULT, name: StreamName::Channel(name) }
}

fn hub(shards: usize) -> Hub {
    let inboxes = (0..shards).map(|_| Arc::new(Inbox::default())).collect();
    Hub::new(inboxes, Arc::new(Directory::new(shards)), &Config::default(), Box::new(|_| StreamRule::NONE))
}

#[divan::bench(args = [128, 1_024, 16_384])]
fn frame_is_encoded(bencher: Bencher<'_, '_>, size: usize) {
    let text = "x".repeat(size);
    bencher.counter(BytesCount::new(size)).bench(|| text_frame(black_box(&text)));
}

#[divan::bench(args = [128, 1_024, 16_384])]
fn publication_is_encoded(bencher: Bencher<'_, '_>, size: usize) {
    bencher
        .counter(BytesCount::new(size))
        .with_inputs(|| Publication::direct(Arc::new(payload(size))))
        .bench_refs(|publication| publication.frame().len());
}

#[divan::bench(args = [48, 1_024, 16_384])]
fn client_frame_is_decoded(bencher: Bencher<'_, '_>, size: usize) {
    // The shortest header that holds the length, and a mask that changes every byte (RFC 6455 §5.2).
    let mut frame = vec![0x81];
    match size {
        0..126 => frame.push(0x80 | size as u8),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(size as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[1, 2, 3, 4]);
    frame.extend((0..size).map(|index| b'x' ^ (index % 4 + 1) as u8));
    let limits = Limits { max_message: 64 << 10, deflate: false, binary: false };
    bencher.counter(BytesCount::new(size)).with_inputs(|| frame.clone()).bench_refs(|frame| {
        let mut messages = 0;
        let flow = Decoder::default().decode(frame, limits, &mut |_| {
            messages += 1;
            ControlFlow::Continue(())
        });
        assert!(flow.is_ok() && messages == 1, "one valid message");
    });
}

#[divan::bench(args = [1, 2, 8])]
fn hub_publishes(bencher: Bencher<'_, '_>, shards: u16) {
    let hub = hub(usize::from(shards));
    let stream = stream(0);
    for shard in 0..shards {
        hub.subscribe(shard, stream.clone(), Wish::default(), |_, _, _| 0, |_| {});
    }
    let incoming = Incoming { payload: Arc::new(payload(128)), exclude: None, id: None };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut taken = Vec::new();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for _ in 0..BATCH {
            let outcome = hub.publish(black_box(&stream), &incoming).expect("nothing is kept");
            assert_eq!(outcome.receivers, u64::from(shards));
        }
        for shard in 0..shards {
            taken.clear();
            runtime.block_on(hub.inbox(shard).take(&mut taken));
            hub.inbox(shard).delivered(taken.iter().map(Item::size).sum());
        }
    });
}

#[divan::bench(args = [0, 100_000])]
fn hub_subscribes_and_leaves(bencher: Bencher<'_, '_>, others: usize) {
    let hub = hub(1);
    for number in 0..others {
        hub.subscribe(0, stream(number), Wish::default(), |_, _, _| 0, |_| {});
    }
    let own = stream(others);
    bencher.bench_local(|| {
        hub.subscribe(0, black_box(own.clone()), Wish::default(), |_, _, _| 0, |_| {});
        hub.unsubscribe(0, &own, None, || {});
    });
}
