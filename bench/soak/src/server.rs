//! The server under test.

use std::fs;
use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The publisher's key, of a server that nobody else can reach.
pub(crate) const KEY: &str = "rtk_soaksoaksoaksoaksoaksoaksoaksoaksoaksoaksoa";

/// A server that runs until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    process: Child,
    /// Its histories and its configuration.
    _directory: TempDir,
}

/// A channel of good clients.
pub(crate) fn channel(number: usize) -> String {
    format!("{}-{number}", if number.is_multiple_of(2) { "memory" } else { "disk" })
}

impl Server {
    /// Starts it on a free port.
    pub(crate) async fn start(program: &Path, channels: usize) -> Result<Self> {
        let directory = TempDir::new()?;
        let path = directory.path().join("realtime.toml");
        // Enough for a minute, so that a good client that is disconnected comes back in time.
        let size = channels * 60;
        let rule = |store: &str| {
            format!(
                "[[channels]]\npattern = \"{store}-*\"\noverflow = \"catch_up\"\n\
                 history = {{ size = {size}, ttl = \"10m\", store = \"{store}\" }}\n"
            )
        };
        let config = format!(
            "listen = \"127.0.0.1:0\"\nunix_socket = \"off\"\npublisher_key = \"{KEY}\"\ndata_dir = {:?}\n{}{}",
            directory.path().join("data"),
            rule("memory"),
            rule("disk")
        );
        fs::write(&path, config)?;
        let mut process = Command::new(program)
            .args(["start", "--config"])
            .arg(&path)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Error::other(format!("cannot start {}: {error}", program.display())))?;
        let stderr = process.stderr.take().ok_or_else(|| Error::other("the server has no stderr"))?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = Vec::new();
        while let Some(line) = lines.next_line().await? {
            let address = line.split("listening on ").nth(1).and_then(|rest| rest.trim().parse().ok());
            if let Some(address) = address {
                tokio::task::spawn_local(pass_on(lines));
                return Ok(Self { address, process, _directory: directory });
            }
            said.push(line);
        }
        Err(Error::other(format!("the server did not start: {}", said.join("\n"))))
    }

    /// Its resident memory, bytes; 0 when it has ended.
    pub(crate) fn resident(&self) -> u64 {
        let status = self.process.id().and_then(|id| fs::read_to_string(format!("/proc/{id}/status")).ok());
        let kib = status.and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
        kib.unwrap_or(0) << 10
    }
}

/// What the server logs about hostile clients would fill a disk; what is worse than a warning is shown.
async fn pass_on(mut lines: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("ERROR") || line.contains("panicked") {
            eprintln!("server: {line}");
        }
    }
}
