//! The real program as another process, and publishers and subscribers that live longer than it.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod flock;
pub mod sender;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Condvar, Mutex};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use realtime_server::config::PublisherKey;
use serde_json::{Value, json};

use crate::support::TestServer;

/// A data directory and a configuration that outlive the processes which use them.
pub struct Home {
    dir: tempfile::TempDir,
    pub key: PublisherKey,
}

/// A server process; it is killed at the end of the test.
pub struct Process {
    child: Child,
    log: Option<JoinHandle<Vec<String>>>,
    pub server: TestServer,
}

impl Home {
    /// `disk*` and `memory*` keep everything.
    pub fn new(more: &str) -> Self {
        let (dir, key) = (tempfile::tempdir().unwrap(), PublisherKey::generate().unwrap());
        let data = dir.path().join("data");
        let file = format!(
            "data_dir = {data:?}\nunix_socket = \"off\"\nshards = 2\n{more}\n\
             [[channels]]\npattern = \"disk*\"\nhistory.size = 1000000\nhistory.store = \"disk\"\n\
             [[channels]]\npattern = \"memory*\"\nhistory.size = 1000000\n"
        );
        std::fs::write(dir.path().join("realtime.toml"), file).unwrap();
        Self { dir, key }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The program's name, arguments and variables.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.args(["start", "--listen", "127.0.0.1:0"]);
        self.variables(&mut command);
        command
    }

    pub fn variables(&self, command: &mut Command) {
        command.env_clear().env("REALTIME_CONFIG", self.path().join("realtime.toml"));
        command.env("REALTIME_PUBLISHER_KEY", self.key.secret());
    }

    /// Starts it and waits until it listens.
    pub fn start(&self) -> Process {
        self.spawn(self.command())
    }

    /// Starts it to end at a point, as in `AfterSync:3`.
    pub fn start_to_end_at(&self, point: &str) -> Process {
        let mut command = self.command();
        command.env("FAULT_POINT", point);
        self.spawn(command)
    }

    pub fn spawn(&self, mut command: Command) -> Process {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let address: SocketAddr = loop {
            let Some(Ok(line)) = lines.next() else { panic!("it ended before it listened: {seen:#?}") };
            let address = line.split("listening on ").nth(1).map(|address| address.parse().unwrap());
            seen.push(line);
            if let Some(address) = address {
                break address;
            }
        };
        // Read on, so that it never waits for us.
        let log = std::thread::spawn(move || {
            seen.extend(lines.map_while(Result::ok));
            seen
        });
        Process { child, log: Some(log), server: TestServer::elsewhere(address, self.key.clone()) }
    }
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for its end; how it ended, and what it said.
    pub fn end(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().unwrap();
        (status, self.log.take().unwrap().join().unwrap())
    }

    pub fn kill_9(self) {
        self.signal(Signal::SIGKILL);
        let (status, said) = self.end();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{said:#?}");
    }

    /// Stops it, which must end well.
    pub fn stop(self) {
        self.signal(Signal::SIGTERM);
        let (status, said) = self.end();
        assert_eq!(status.code(), Some(0), "{said:#?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the present process listens, for those that come back to the next one.
#[derive(Default)]
pub struct Door {
    state: Mutex<(u64, Option<SocketAddr>, bool)>,
    changed: Condvar,
}

impl Door {
    /// The next process is there.
    pub fn open(&self, address: SocketAddr) {
        let mut state = self.state.lock().unwrap();
        (state.0, state.1) = (state.0 + 1, Some(address));
        self.changed.notify_all();
    }

    /// There is no other one after this.
    pub fn close(&self) {
        self.state.lock().unwrap().2 = true;
        self.changed.notify_all();
    }

    /// Whether there is a process after the one with this number.
    pub fn is_newer_than(&self, number: u64) -> bool {
        self.state.lock().unwrap().0 > number
    }

    pub fn is_closed(&self) -> bool {
        self.state.lock().unwrap().2
    }

    /// Waits for a process after the one with this number; `None`: there is none.
    pub fn after(&self, number: u64) -> Option<(u64, SocketAddr)> {
        let state = self.state.lock().unwrap();
        let state = self.changed.wait_while(state, |(newest, _, is_last)| *newest <= number && !*is_last).unwrap();
        let (newest, address, _) = *state;
        address.filter(|_| newest > number).map(|address| (newest, address))
    }
}

/// All of a channel's history: offset and data.
pub fn history(server: &TestServer, channel: &str) -> Vec<(u64, Value)> {
    let mut publisher = server.publisher();
    let (mut all, mut since) = (Vec::new(), json!("earliest"));
    loop {
        let command = json!({"type": "history", "id": 1, "channel": channel, "limit": 500, "since": since});
        let page = publisher.ask(&command.to_string());
        assert_eq!(page["type"], "history", "{page}");
        let items = page["publications"].as_array().unwrap();
        all.extend(items.iter().map(|one| (one["offset"].as_u64().unwrap(), one["data"].clone())));
        if page["next"].is_null() {
            return all;
        }
        since = json!({"epoch": page["epoch"], "offset": page["next"]});
    }
}
