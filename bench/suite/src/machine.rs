//! What the figures were measured on.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine and the versions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) system: String,
    pub(crate) kernel: String,
    /// Programs and their versions.
    pub(crate) versions: Vec<(String, String)>,
}

impl Machine {
    /// This one.
    pub(crate) fn here(server: &Path) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (processor, memory, system) = (read("/proc/cpuinfo"), read("/proc/meminfo"), read("/etc/os-release"));
        let kib: f64 = after(&memory, "MemTotal:").trim_end_matches(" kB").parse().unwrap_or(0.0);
        let commit = say("git", &["log", "-1", "--format=%h"]);
        let versions = [
            ("realtime-server", format!("{} (commit {commit})", say(&server.display().to_string(), &["version"]))),
            ("rustc", say("rustc", &["--version"])),
            ("redis-server", say("redis-server", &["--version"])),
            ("nginx", say("nginx", &["-v"])),
            ("nchan", say("dpkg-query", &["-W", "-f", "${Version}", "libnginx-mod-nchan"])),
        ];
        Self {
            date: today(),
            processor: after(&processor, "model name\t:"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: (kib / 1024.0 / 1024.0 * 10.0).round() / 10.0,
            system: after(&system, "PRETTY_NAME=").trim_matches('"').to_owned(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            versions: versions.map(|(name, version)| (name.to_owned(), version)).into(),
        }
    }
}

/// The date, in UTC.
pub(crate) fn today() -> String {
    say("date", &["-u", "+%Y-%m-%d"])
}

/// The first line that a program says, or that it is not there.
fn say(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return "not installed".to_owned() };
    // nginx tells its version on the other channel.
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
}

fn after(text: &str, key: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned()
}
