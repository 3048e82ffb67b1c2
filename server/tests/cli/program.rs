//! Runs the program with a directory and a configuration of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use realtime_server::config::PublisherKey;
use tempfile::TempDir;

/// Longer than anything takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with a configuration file, and what the program is told of it.
pub struct Setup {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

/// How the program ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Setup {
    /// With this configuration file.
    pub fn new(file: &str) -> Self {
        let setup = Self { dir: TempDir::new().unwrap(), variables: Vec::new() };
        setup.write("realtime.toml", file);
        setup
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path as an argument.
    pub fn arg(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A file with a new key.
    pub fn key_file(&self, name: &str) -> (PublisherKey, String) {
        let key = PublisherKey::generate().unwrap();
        self.write(name, key.secret());
        (key, self.arg(name))
    }

    /// The program with these arguments, knowing nothing but what it is told here.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.args(args).env_clear().env("REALTIME_CONFIG", self.path("realtime.toml"));
        command.envs(self.variables.iter().cloned()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Outcome {
        finish(self.command(args))
    }

    /// Runs it to its end with this on standard input.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Outcome {
        self.write("input", input);
        let mut command = self.command(args);
        command.stdin(File::open(self.path("input")).unwrap());
        finish(command)
    }

    /// Starts the server on a free port and its own unix socket, and waits until it listens.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut server = self.spawn(args);
        let line = server.wait_for("listening on ");
        server.address = line.rsplit(' ').next().unwrap().to_owned();
        server.wait_for("publishers on this machine");
        server
    }

    /// Starts the server without waiting for anything.
    pub fn spawn(&self, args: &[&str]) -> Running {
        let socket = self.arg("rt.sock");
        let mut all = vec!["start", "--listen", "127.0.0.1:0", "--unix-socket", &socket];
        all.extend(args);
        Running::spawn(self.command(&all))
    }
}

/// Runs a command to its end.
pub fn finish(mut command: Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A program that runs; it is killed at the end of the test.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    /// Every line of standard error until now.
    pub seen: Vec<String>,
    /// Where the server listens.
    pub address: String,
}

impl Running {
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = lines_of(child.stderr.take().unwrap());
        Self { child, lines, seen: Vec::new(), address: String::new() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard error that contains `text`.
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line with {text:?} came after {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn said(&self, text: &str) -> bool {
        self.seen.iter().any(|line| line.contains(text))
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// As `head` does when it has its lines.
    pub fn close_output(&mut self) {
        drop(self.child.stdout.take());
    }

    /// Waits for its end; the exit code, standard output, and all of standard error.
    pub fn end(mut self) -> Outcome {
        let mut out = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut out).unwrap();
        }
        let code = self.child.wait().unwrap().code();
        self.seen.extend(self.lines.iter());
        Outcome { code, out, err: self.seen.join("\n") }
    }

    /// Stops the server, which must end well.
    pub fn stop(self) -> Outcome {
        self.signal(Signal::SIGTERM);
        let outcome = self.end();
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream as they come.
fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                // The test has seen enough.
                return;
            }
        }
    });
    lines
}

/// A pipe with a name, for waiting for what is written to a path.
pub struct Pipe(Receiver<String>);

impl Pipe {
    pub fn at(path: &std::path::Path) -> Self {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        // Open for writing too, so that neither opening nor the writer's end blocks or ends reading.
        Self(lines_of(File::options().read(true).write(true).open(path).unwrap()))
    }

    pub fn wait_for(&self, text: &str) -> String {
        std::iter::from_fn(|| self.0.recv_timeout(PATIENCE).ok())
            .find(|line| line.contains(text))
            .unwrap_or_else(|| panic!("no line with {text:?} was written"))
    }
}
