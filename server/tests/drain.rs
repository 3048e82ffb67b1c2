//! A clean restart under constant publishing: nobody loses anything, gets anything twice, or is told of a gap.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod proof_support;
mod support;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use proof_support::flock::Sheep;
use proof_support::sender::{Count, Sender};
use proof_support::{Door, Home, Process, history};
use support::{Flag, TestServer};
use tokio::sync::{mpsc, watch};

/// So many channels of each kind, so that one publication goes to a part of the clients only.
const CHANNELS: usize = 20;
/// What each publisher has acknowledged between the events of the test.
const SOME: u64 = 100;

/// How processes come to listen.
trait Start {
    const STAYS: bool;
    fn start(&self, home: &Home) -> Process;
}

/// Each by itself, on an address of its own.
struct ByItself;

/// On a socket that was made for it and outlives it, as systemd does (sd_listen_fds(3)).
struct Activated(TcpListener);

impl Start for ByItself {
    const STAYS: bool = false;

    fn start(&self, home: &Home) -> Process {
        home.start()
    }
}

impl Start for Activated {
    const STAYS: bool = true;

    fn start(&self, home: &Home) -> Process {
        let program = home.command();
        let mut command = Command::new("sh");
        let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
        command.args(["-c", script]).arg(program.get_program()).args(program.get_args());
        home.variables(&mut command);
        command.stdin(Stdio::from(OwnedFd::from(self.0.try_clone().unwrap())));
        home.spawn(command)
    }
}

fn raise_file_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

fn channel(kind: &str, number: usize) -> String {
    format!("{kind}.{}", number % CHANNELS)
}

/// Publishes through all processes.
fn publish<S: Start>(
    kind: &str,
    door: &Arc<Door>,
    count: &Arc<Count>,
    enough: &Arc<Flag>,
    home: &Home,
) -> std::thread::JoinHandle<Sender> {
    let channels = (0..CHANNELS).map(|number| channel(kind, number)).collect();
    let mut sender = Sender::over(channels, kind, 2);
    let (door, count, enough, key) = (door.clone(), count.clone(), enough.clone(), home.key.clone());
    std::thread::spawn(move || {
        let mut number = 0;
        while let Some((next, address)) = door.after(number) {
            number = next;
            let server = TestServer::elsewhere(address, key.clone());
            // With the same address, what it comes to first may be the one that goes.
            while !sender.publish(&server, &count, || enough.is_up()) {
                if !S::STAYS || door.is_newer_than(number) || door.is_closed() {
                    break;
                }
            }
        }
        sender
    })
}

/// Returns the second server, which still runs.
fn restart<S: Start>(start: &S, clients: usize) -> Process {
    raise_file_limit();
    let home = Home::new("drain_time = \"2s\"");
    let process = start.start(&home);
    let (door, enough) = (Arc::new(Door::default()), Arc::new(Flag::default()));
    let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (moves, present) = watch::channel(process.server.address);
    let (tell, tops) = watch::channel(None);
    let (say, mut subscribed) = mpsc::unbounded_channel();
    let (done, is_done) = std::sync::mpsc::channel();
    let (all_in, is_all_in) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let flock: Vec<_> = (0..clients)
                .map(|number| {
                    let sheep = Sheep::of([channel("memory", number), channel("disk", number)], S::STAYS);
                    tokio::spawn(sheep.follow(present.clone(), tops.clone(), say.clone()))
                })
                .collect();
            for _ in 0..2 * clients {
                subscribed.recv().await.unwrap();
            }
            all_in.send(()).unwrap();
            let mut back = Vec::new();
            for sheep in flock {
                back.push(sheep.await.unwrap());
            }
            done.send(back).unwrap();
        });
    });
    is_all_in.recv().expect("all clients are in");
    door.open(process.server.address);
    let publishing = [("memory", &counts[0]), ("disk", &counts[1])]
        .map(|(kind, count)| publish::<S>(kind, &door, count, &enough, &home));
    let some_more = || counts.iter().for_each(|count| count.reach(count.now() + SOME));
    some_more();
    process.signal(Signal::SIGTERM);
    let (status, said) = process.end();
    assert_eq!(status.code(), Some(0), "{said:#?}");
    let process = start.start(&home);
    moves.send_replace(process.server.address);
    door.open(process.server.address);
    some_more();
    enough.raise();
    door.close();
    let senders = publishing.map(|sender| sender.join().unwrap());

    let mut histories = HashMap::new();
    for sender in ["memory", "disk"] {
        for number in 0..CHANNELS {
            let channel = channel(sender, number);
            let history = history(&process.server, &channel);
            histories.insert(channel, history);
        }
    }
    let tops = histories.iter().map(|(channel, history)| (channel.clone(), history.len() as u64)).collect();
    tell.send_replace(Some(tops));
    for (sender, kind) in senders.iter().zip(["memory", "disk"]) {
        let of_kind: Vec<_> = (0..CHANNELS).map(|number| &histories[&channel(kind, number)][..]).collect();
        sender.check_all(&of_kind);
    }
    let flock = is_done.recv().expect("everybody has everything");
    for sheep in &flock {
        sheep.check(&histories);
        assert!(sheep.came_back > 0, "it was told to go");
    }
    process
}

#[test]
fn a_restart_under_constant_publishing_loses_and_doubles_nothing() {
    restart(&ByItself, 300).stop();
}

#[test]
fn a_restart_with_an_inherited_socket_refuses_no_connection() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(4096).unwrap();
    let activated = Activated(socket.into());
    let address = activated.0.local_addr().unwrap();
    let enough = Flag::default();
    std::thread::scope(|scope| {
        let visiting: Vec<_> = (0..4).map(|_| scope.spawn(|| visit(address, &enough))).collect();
        let process = restart(&activated, 1_000);
        enough.raise();
        for visits in visiting {
            assert!(visits.join().unwrap() > 0);
        }
        process.stop();
    });
}

/// Asks one thing after the other; no connection is refused. How often it was answered.
fn visit(address: SocketAddr, enough: &Flag) -> u64 {
    let mut answered = 0;
    while !enough.is_up() {
        let connected = TcpStream::connect(address);
        let mut socket = connected.unwrap_or_else(|error| panic!("after {answered} a connection was refused: {error}"));
        socket.set_read_timeout(Some(support::PATIENCE)).unwrap();
        let request = format!("GET /health/live HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        // The last one may be taken by a server that ends.
        if std::io::Write::write_all(&mut socket, request.as_bytes()).is_ok() {
            answered += u64::from(support::response(&mut socket).0 == 200);
        }
    }
    answered
}
