//! May the web server's user open the unix socket?

use std::ffi::CString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Gid, Group, User, getgrouplist};
use realtime_server::config::Config;
use realtime_server::unix_socket::{Resolved, resolve};

use super::Finding;
use crate::cli::Failure;
use crate::cli::client::runtime_dir;

/// Whom web servers run as, on the systems that there are.
const WEB_USERS: &[&str] = &["www-data", "nginx", "apache", "http", "caddy"];

/// The unix socket as it is found.
pub(super) struct Socket {
    resolved: Resolved,
    /// The connection that was tried.
    connection: io::Result<UnixStream>,
}

impl Socket {
    pub(super) fn find(config: &Config) -> Self {
        let resolved = resolve(config, runtime_dir().as_deref());
        let connection = match &resolved {
            Resolved::At(path) => UnixStream::connect(path),
            Resolved::None(_) => Err(io::ErrorKind::NotFound.into()),
        };
        Self { resolved, connection }
    }

    /// Whether a server listens there.
    pub(super) fn is_live(&self) -> bool {
        self.connection.is_ok()
    }

    /// The process of the server, when we could ask.
    pub(super) fn server(&self) -> Option<i32> {
        let credentials = getsockopt(self.connection.as_ref().ok()?, PeerCredentials).ok()?;
        Some(credentials.pid())
    }

    pub(super) fn check(&self, web_user: Option<&str>) -> Result<Vec<Finding>, Failure> {
        let path = match &self.resolved {
            Resolved::At(path) => path,
            Resolved::None(why) => return Ok(vec![Finding::Note(format!("there is no unix socket: {why}"))]),
        };
        let shown = path.display();
        let found = match &self.connection {
            Ok(_) => Finding::Good(format!("a server listens on unix://{shown}")),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => Finding::bad(
                    format!("the unix socket {shown} does not exist"),
                    "start the server with this configuration, or set unix_socket = \"off\"",
                ),
                io::ErrorKind::ConnectionRefused => Finding::bad(
                    format!("nobody listens on the unix socket {shown}; a server that was killed left it behind"),
                    "start the server; it replaces the socket",
                ),
                // Whether the web server's user may is the question, not whether we may.
                io::ErrorKind::PermissionDenied => Finding::Note(format!("this user may not open {shown}")),
                _ => Finding::bad(format!("the unix socket {shown} cannot be opened: {error}"), "see the server's log"),
            },
        };
        let exists = self.connection.is_ok() || matches!(found, Finding::Note(_));
        let mut findings = vec![found];
        if exists {
            findings.push(match web_user_named(web_user)? {
                Some(user) => permission(path, &user),
                None => Finding::Note("no web server's user was found; name it with --web-user".to_owned()),
            });
        }
        Ok(findings)
    }
}

/// A user and all groups.
struct Visitor {
    name: String,
    uid: u32,
    gids: Vec<u32>,
}

fn web_user_named(name: Option<&str>) -> Result<Option<Visitor>, Failure> {
    let find = |name: &str| User::from_name(name).ok().flatten();
    let user = match name {
        Some(name) => Some(find(name).ok_or_else(|| Failure::Usage(format!("--web-user: there is no user {name:?}")))?),
        None => WEB_USERS.iter().copied().find_map(find),
    };
    Ok(user.map(|user| {
        let groups = CString::new(user.name.as_str()).ok().and_then(|name| getgrouplist(&name, user.gid).ok());
        let gids = groups.unwrap_or_else(|| vec![user.gid]).into_iter().map(Gid::as_raw).collect();
        Visitor { name: user.name, uid: user.uid.as_raw(), gids }
    }))
}

impl Visitor {
    /// Whether the permission bits grant `bit` (4 read, 2 write, 1 search).
    fn may(&self, meta: &Metadata, bit: u32) -> bool {
        let shift = if self.uid == meta.uid() {
            6
        } else if self.gids.contains(&meta.gid()) {
            3
        } else {
            0
        };
        self.uid == 0 || meta.mode() >> shift & bit != 0
    }
}

fn permission(path: &Path, user: &Visitor) -> Finding {
    let name = &user.name;
    let unreadable = |path: &Path, error: io::Error| {
        Finding::bad(format!("{} cannot be looked at: {error}", path.display()), "run doctor as root")
    };
    let directories: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
    for dir in directories.iter().rev() {
        match fs::metadata(dir) {
            Ok(meta) if user.may(&meta, 1) => {}
            Ok(meta) => {
                let dir = dir.display();
                return Finding::bad(
                    format!("{name} may not enter {dir}, where the unix socket is"),
                    entry_mend(&dir.to_string(), &meta, name),
                );
            }
            Err(error) => return unreadable(dir, error),
        }
    }
    match fs::metadata(path) {
        Ok(meta) if user.may(&meta, 2) => Finding::Good(format!("{name} may open {}", path.display())),
        Ok(meta) => {
            let group = group_name(meta.gid());
            let what =
                format!("{name} may not open {} (group {group}, mode {:04o})", path.display(), meta.mode() & 0o777);
            let mend = if meta.mode() & 0o020 != 0 && meta.gid() != 0 {
                join(name, &group)
            } else {
                format!(
                    "set socket_group to a group that {name} is in and socket_mode to \"0660\", and restart the server"
                )
            };
            Finding::bad(what, mend)
        }
        Err(error) => unreadable(path, error),
    }
}

fn entry_mend(dir: &str, meta: &Metadata, user: &str) -> String {
    if meta.mode() & 0o010 != 0 && meta.gid() != 0 {
        join(user, &group_name(meta.gid()))
    } else {
        format!("chmod o+x {dir}, or set unix_socket to a path in another directory")
    }
}

fn join(user: &str, group: &str) -> String {
    format!(
        "usermod -aG {group} {user}, then restart PHP (systemctl restart 'php*-fpm'), since groups count from a start on"
    )
}

fn group_name(gid: u32) -> String {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn stranger() -> Visitor {
        Visitor { name: "stranger".into(), uid: 4_000_000, gids: vec![4_000_001] }
    }

    /// A socket's stand-in in a directory of its own, both with these modes.
    fn laid_out(dir_mode: u32, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::Builder::new().permissions(fs::Permissions::from_mode(dir_mode)).tempdir().unwrap();
        let path = dir.path().join("rt.sock");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn the_owner_the_group_and_others_are_told_apart() {
        let (_dir, path) = laid_out(0o755, 0o620);
        let meta = fs::metadata(&path).unwrap();
        let owner = Visitor { uid: meta.uid(), ..stranger() };
        let member = Visitor { gids: vec![1, meta.gid()], ..stranger() };
        assert!(owner.may(&meta, 2) && member.may(&meta, 2) && !stranger().may(&meta, 2));
        assert!(!member.may(&meta, 4) || member.uid == 0);
        assert!(Visitor { uid: 0, ..stranger() }.may(&meta, 2));
    }

    #[test]
    fn what_stops_the_web_server_is_named_with_its_mend() {
        let (_open, path) = laid_out(0o755, 0o666);
        assert!(matches!(permission(&path, &stranger()), Finding::Good(_)));
        let (_closed, path) = laid_out(0o755, 0o600);
        let Finding::Bad { what, mend } = permission(&path, &stranger()) else { panic!("0600 is closed") };
        assert!(what.contains("stranger may not open") && what.contains("mode 0600"), "{what}");
        assert!(mend.contains("socket_group") && mend.contains("socket_mode"), "{mend}");
        let (dir, path) = laid_out(0o700, 0o666);
        let Finding::Bad { what, mend } = permission(&path, &stranger()) else { panic!("the directory is closed") };
        assert!(what.contains("may not enter") && what.contains(dir.path().to_str().unwrap()), "{what}");
        assert!(mend.starts_with("chmod o+x"), "{mend}");
    }
}
