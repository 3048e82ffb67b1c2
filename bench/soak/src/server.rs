//! The server under test.

use std::fs;
use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::socket::Doors;
use crate::token;

/// The publisher's key, of a server that nobody else can reach.
pub(crate) const KEY: &str = "rtk_soaksoaksoaksoaksoaksoaksoaksoaksoaksoaksoa";

/// A server that runs until it is dropped.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) doors: Doors,
    process: Child,
    /// Its histories and its configuration.
    _directory: TempDir,
}

/// A channel of good clients. Those on disk are for users.
pub(crate) fn channel(number: usize) -> String {
    format!("{}-{number}", if is_for_users(number) { "disk" } else { "memory" })
}

/// Whether a channel of good clients is only for users.
pub(crate) fn is_for_users(number: usize) -> bool {
    !number.is_multiple_of(2)
}

impl Server {
    /// Starts it on free ports.
    pub(crate) async fn start(program: &Path, channels: usize) -> Result<Self> {
        let directory = TempDir::new()?;
        let path = directory.path().join("realtime.toml");
        // Enough for a minute, so that a good client that is disconnected comes back in time.
        let size = channels * 60;
        let rule = |store: &str, subscribe: &str| {
            format!(
                "[[channels]]\npattern = \"{store}-*\"\nsubscribe = \"{subscribe}\"\noverflow = \"catch_up\"\n\
                 history = {{ size = {size}, ttl = \"10m\", store = \"{store}\" }}\n"
            )
        };
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(Error::other)?;
        let (cert, key) = (directory.path().join("tls.pem"), directory.path().join("tls.key"));
        fs::write(&cert, certificate.cert.pem())?;
        fs::write(&key, certificate.signing_key.serialize_pem())?;
        let config = format!(
            "listen = \"127.0.0.1:0\"\nunix_socket = \"off\"\npublisher_key = \"{KEY}\"\ndata_dir = {:?}\n\
             tls_listen = \"127.0.0.1:0\"\ntls_cert = {cert:?}\ntls_key = {key:?}\n\
             [tokens]\nalgorithm = \"HS256\"\nsecret = \"{}\"\n{}{}{}",
            directory.path().join("data"),
            token::SECRET,
            rule("memory", "anyone"),
            rule("disk", "user"),
            // What hostile clients take without asking.
            "[[channels]]\npattern = \"*\"\nsubscribe = \"anyone\"\n",
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
        let [plain, tls] = listening(&mut lines).await?;
        tokio::task::spawn_local(pass_on(lines));
        let doors = Doors::new(plain, tls, certificate.cert.der())?;
        Ok(Self { doors, process, _directory: directory })
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

/// Waits until it listens without and with TLS.
async fn listening(lines: &mut Lines<BufReader<ChildStderr>>) -> Result<[SocketAddr; 2]> {
    let (mut plain, mut tls) = (None, None);
    let mut said = Vec::new();
    while let Some(line) = lines.next_line().await? {
        let after = |words: &str| line.split(words).nth(1).and_then(|rest| rest.trim().parse().ok());
        plain = plain.or_else(|| after("listening on "));
        tls = tls.or_else(|| after("listening with TLS on "));
        if let (Some(plain), Some(tls)) = (plain, tls) {
            return Ok([plain, tls]);
        }
        said.push(line);
    }
    Err(Error::other(format!("the server did not start: {}", said.join("\n"))))
}

/// What the server logs about hostile clients would fill a disk; what is worse than a warning is shown.
async fn pass_on(mut lines: Lines<BufReader<ChildStderr>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("ERROR") || line.contains("panicked") {
            eprintln!("server: {line}");
        }
    }
}
