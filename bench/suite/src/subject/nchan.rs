//! nginx with the nchan module, one worker, in a folder of its own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use wsload::account::{self, Account};
use wsload::{Dialect, Publish, Subscribe, Upgrade};

use super::{Ready, START, Subject, free_port, in_path, spawn};
use crate::bench::Bench;
use crate::error::SuiteError;

/// Where Debian's libnginx-mod-nchan puts it.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

pub(super) fn installed() -> bool {
    in_path("nginx") && Path::new(MODULE).is_file()
}

pub(super) fn dialect(channels: usize) -> Dialect {
    Dialect {
        subscribe: Subscribe::WebSocket(Upgrade { path: "/sub/{c}".to_owned(), ..Upgrade::default() }),
        publish: Publish::Http(Upgrade { path: "/pub/{c}".to_owned(), ..Upgrade::default() }),
        template: "{p}".to_owned(),
        channel: "bench".to_owned(),
        channels,
    }
}

/// A publishing `POST` with a payload of `size` bytes.
pub(crate) fn post_request(size: usize) -> Upgrade {
    Upgrade { path: "/pub/bench".to_owned(), frames: vec!["x".repeat(size)], ..Upgrade::default() }
}

pub(super) fn start(bench: &Bench) -> Result<Subject, SuiteError> {
    let address = free_port()?;
    let folder = bench.scratch.join(format!("nchan-{}", address.port()));
    fs::create_dir_all(&folder).map_err(SuiteError::io("make nginx a folder"))?;
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration(&folder, address.port())).map_err(SuiteError::io("configure nginx"))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&folder).arg("-c").arg(&file);
    let mut subject = spawn(bench, "nchan", &command, &Ready::Port(address))?;
    // The master listens before it forks the worker, which does all of the work.
    let deadline = Instant::now() + START;
    loop {
        let workers = account::children(subject.child.id()).map_err(SuiteError::io("find nginx's worker"))?;
        if !workers.is_empty() {
            subject.account = Account::new(workers);
            return Ok(subject);
        }
        if Instant::now() > deadline {
            return Err(SuiteError::Start { name: "nchan", log: subject.log_tail() });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Messages are not stored, since our rows store none either; the file limit is inherited.
fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n"))
        .collect();
    format!(
        "load_module {MODULE};
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 19000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
{temporary}    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ ^/sub/(\\w+)$ {{ nchan_subscriber websocket; nchan_channel_id $1; }}
        location ~ ^/pub/(\\w+)$ {{ nchan_publisher; nchan_channel_id $1; nchan_store_messages off; }}
    }}
}}
"
    )
}
