//! Two threads at one stream, of which one is held at the worst moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::tests::{hub, incoming, stream};
use super::*;
use crate::fault::{Point, on_this_thread};
use crate::inbox::Item;

/// Holds the calling thread at a point: it says when it is there, and goes on when it is told.
fn hold_at(point: Point, reached: Sender<()>, go_on: Receiver<()>) {
    let is_first = AtomicBool::new(true);
    on_this_thread(point, move || {
        if is_first.swap(false, Ordering::Relaxed) {
            reached.send(()).unwrap();
            go_on.recv().unwrap();
        }
    });
}

/// Runs `act` on another thread; returns when it waits for something, or is done.
fn start<'s, 'e>(scope: &'s std::thread::Scope<'s, 'e>, act: impl FnOnce() + Send + 's) {
    let (say, task) = channel();
    let thread = scope.spawn(move || {
        say.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
        act();
    });
    let stat = std::path::Path::new("/proc").join(task.recv().unwrap()).join("stat");
    let sleeps = || {
        // The state follows the name, which is in brackets (proc_pid_stat(5)).
        let text = std::fs::read_to_string(&stat).unwrap_or_default();
        text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
    };
    while !thread.is_finished() && !sleeps() {
        std::thread::yield_now();
    }
}

/// Offsets that wait for a shard, in their order.
fn waiting(hub: &Hub, shard: u16) -> Vec<u64> {
    let offset = |item| match item {
        Item::Publication { publication, .. } => publication.offset,
        _ => panic!("nothing else is sent"),
    };
    hub.inbox(shard).drain().into_iter().map(offset).collect()
}

#[test]
fn who_publishes_while_another_is_between_two_inboxes_comes_after_it_in_both() {
    for name in ["c", "kept"] {
        let hub = hub();
        for shard in 0..2 {
            hub.subscribe(shard, stream(name), Wish::default(), |_, _, _| 0, |_| {});
        }
        let (reached, is_there) = channel();
        let (go, go_on) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                hold_at(Point::BetweenInboxes, reached, go_on);
                hub.publish(&stream(name), &incoming(1)).unwrap();
            });
            is_there.recv().unwrap();
            start(scope, || assert!(hub.publish(&stream(name), &incoming(2)).is_ok()));
            go.send(()).unwrap();
        });
        assert_eq!((waiting(&hub, 0), waiting(&hub, 1)), (vec![1, 2], vec![1, 2]), "{name}");
    }
}

#[test]
fn what_is_published_while_a_subscriber_is_in_the_cut_reaches_it() {
    for name in ["c", "kept"] {
        let hub = hub();
        let (reached, is_there) = channel();
        let (go, go_on) = channel();
        let mut next = None;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                hold_at(Point::InCut, reached, go_on);
                hub.subscribe(0, stream(name), Wish::default(), |_, _, _| 0, |cut| next = Some(cut.next));
            });
            is_there.recv().unwrap();
            start(scope, || assert!(hub.publish(&stream(name), &incoming(1)).is_ok()));
            go.send(()).unwrap();
        });
        assert_eq!((next, waiting(&hub, 0)), (Some(1), vec![1]), "{name}");
    }
}
