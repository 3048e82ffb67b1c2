//! What reading a command and writing a push cost.

use realtime_protocol::{ChannelName, ClientRequest, PublisherFrame, push};
use serde_json::value::RawValue;

fn main() {
    divan::main();
}

#[divan::bench]
fn client_subscribes(bencher: divan::Bencher<'_, '_>) {
    let text = r#"{"type":"subscribe","id":1,"channel":"user_updates_123"}"#;
    bencher.bench(|| ClientRequest::parse(divan::black_box(text)).expect("a valid command"));
}

#[divan::bench(args = [1, 100])]
fn client_registers(bencher: divan::Bencher<'_, '_>, channels: usize) {
    let names: Vec<String> = (0..channels).map(|number| format!("\"orders.{number}\"")).collect();
    let text = format!(r#"{{"action":"register","userId":"u7","channels":[{}]}}"#, names.join(","));
    bencher.bench(|| ClientRequest::parse(divan::black_box(&text)).expect("a valid command"));
}

#[divan::bench(args = [128, 1_024, 16_384])]
fn publisher_publishes(bencher: divan::Bencher<'_, '_>, size: usize) {
    let data = "x".repeat(size);
    let text = format!(r#"{{"id":7,"type":"broadcast_update","channel":"orders.42","data":"{data}"}}"#);
    bencher.counter(divan::counter::BytesCount::new(text.len())).bench(|| {
        match PublisherFrame::parse(divan::black_box(&text)) {
            PublisherFrame::One(Ok(request)) => request,
            _ => unreachable!("one valid command"),
        }
    });
}

#[divan::bench(args = [128, 1_024, 16_384])]
fn push_is_written(bencher: divan::Bencher<'_, '_>, size: usize) {
    let channel = ChannelName::parse("orders.42").expect("a valid name");
    let data = RawValue::from_string(format!("\"{}\"", "x".repeat(size))).expect("a JSON string");
    bencher.counter(divan::counter::BytesCount::new(size)).bench(|| {
        let publication =
            push::Publication { event: None, data: &data, offset: None, prev: None, id: None, user: None };
        push::broadcast_update(divan::black_box(&channel), publication)
    });
}
