//! The unix socket of publishers. Whoever may open it may publish, so its directory and permissions are the lock.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::unistd::{Gid, Group, chown};

use crate::config::{Config, UnixSocket};

/// Where the socket is when `make install-server` has made the directory.
pub const DEFAULT_PATH: &str = "/run/realtime/realtime.sock";
/// The group that owns it there, unless configured otherwise.
pub const DEFAULT_GROUP: &str = "realtime";
const IN_RUNTIME_DIR: &str = "realtime.sock";

/// Where the socket shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Here.
    At(PathBuf),
    /// Nowhere; the text says why.
    None(String),
}

/// A socket that listens and whose file is removed when this is dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode, so that nobody else's socket is removed.
    identity: (u64, u64),
}

/// Why the socket cannot be made. The text says what to do.
#[derive(Debug)]
pub enum SocketError {
    /// The directory is missing or cannot be read.
    Directory(PathBuf, io::Error),
    /// Everybody could replace the socket by one of their own.
    WorldWritable(PathBuf),
    /// Another server answers there.
    Live(PathBuf),
    /// Something that is no socket is there.
    Occupied(PathBuf),
    /// The group does not exist.
    Group(String),
    /// The process may not give the socket to the group.
    Chown(PathBuf, String, io::Error),
    /// Anything else that the system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir, error) => {
                write!(
                    f,
                    "the unix socket's directory {} cannot be used: {error}; make it, or set unix_socket",
                    dir.display()
                )
            }
            Self::WorldWritable(dir) => write!(
                f,
                "everybody may write to {}, so anybody could put a socket of their own there; set unix_socket to a path \
                 in another directory, or mend it with: chmod o-w {}",
                dir.display(),
                dir.display()
            ),
            Self::Live(path) => {
                write!(f, "another server listens on {}; stop it, or set unix_socket to another path", path.display())
            }
            Self::Occupied(path) => {
                write!(f, "{} exists and is no socket; remove it, or set unix_socket to another path", path.display())
            }
            Self::Group(name) => {
                write!(f, "socket_group {name:?} does not exist; make it with: groupadd --system {name}")
            }
            Self::Chown(path, group, error) => write!(
                f,
                "{} cannot be given to socket_group {group:?}: {error}; the server's user must be in that group",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "cannot listen on the unix socket {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for SocketError {}

/// Where the socket of this configuration shall be. `runtime_dir` is `$XDG_RUNTIME_DIR`.
pub fn resolve(config: &Config, runtime_dir: Option<&Path>) -> Resolved {
    let default = Path::new(DEFAULT_PATH);
    match &config.unix_socket {
        UnixSocket::Off => Resolved::None("it is switched off".to_owned()),
        UnixSocket::Path(path) => Resolved::At(path.clone()),
        UnixSocket::Default if default.parent().is_some_and(Path::is_dir) => Resolved::At(default.to_owned()),
        UnixSocket::Default => match runtime_dir.filter(|dir| dir.is_absolute()).map(|dir| (dir, check_directory(dir)))
        {
            Some((dir, Ok(()))) => Resolved::At(dir.join(IN_RUNTIME_DIR)),
            Some((_, Err(error))) => Resolved::None(error.to_string()),
            None => Resolved::None(
                "there is neither /run/realtime, which make install-server makes, nor XDG_RUNTIME_DIR".to_owned(),
            ),
        },
    }
}

/// Listens on `path` with the configured mode and group.
///
/// Nobody gets in before these are set: a socket that is bound and does not listen yet refuses everybody.
pub fn bind_at(path: &Path, config: &Config) -> Result<(UnixListener, SocketFile), SocketError> {
    let failed = |error: io::Error| SocketError::Io(path.to_owned(), error);
    check_directory(path.parent().unwrap_or(Path::new("/")))?;
    let group = group_of(path, config)?;
    remove_stale(path)?;

    let address = UnixAddr::new(path).map_err(|_| failed(io::Error::other("the path is too long for a socket")))?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(|error| failed(error.into()))?;
    bind(fd.as_raw_fd(), &address).map_err(|error| failed(error.into()))?;
    let identity = identity(&fs::symlink_metadata(path).map_err(failed)?);
    // From here on a failure removes the file.
    let file = SocketFile { path: path.to_owned(), identity };
    if let Some((name, gid)) = group {
        chown(path, None, Some(gid)).map_err(|error| SocketError::Chown(path.to_owned(), name, error.into()))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(config.socket_mode)).map_err(failed)?;
    listen(&fd, Backlog::MAXCONN).map_err(|error| failed(error.into()))?;
    Ok((UnixListener::from(fd), file))
}

impl SocketFile {
    /// Where the socket is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| identity(&meta) == self.identity) {
            // The server is stopping; a socket that stays is replaced by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

fn check_directory(dir: &Path) -> Result<(), SocketError> {
    let meta = fs::metadata(dir).map_err(|error| SocketError::Directory(dir.to_owned(), error))?;
    if !meta.is_dir() {
        return Err(SocketError::Directory(dir.to_owned(), io::ErrorKind::NotADirectory.into()));
    }
    if meta.mode() & 0o002 != 0 { Err(SocketError::WorldWritable(dir.to_owned())) } else { Ok(()) }
}

/// The group to give the socket to; `None` leaves it to the process.
fn group_of(path: &Path, config: &Config) -> Result<Option<(String, Gid)>, SocketError> {
    let look_up = |name: &str| Group::from_name(name).ok().flatten().map(|group| (name.to_owned(), group.gid));
    match &config.socket_group {
        Some(name) => look_up(name).map(Some).ok_or_else(|| SocketError::Group(name.clone())),
        None if path == Path::new(DEFAULT_PATH) => Ok(look_up(DEFAULT_GROUP)),
        None => Ok(None),
    }
}

/// Removes a socket that nobody listens on, as a server that was killed leaves it.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |error| SocketError::Io(path.to_owned(), error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(meta) if !meta.file_type().is_socket() => return Err(SocketError::Occupied(path.to_owned())),
        Ok(_) => {}
    }
    match connect_without_waiting(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        // A full backlog means that somebody listens, too.
        Ok(()) => Err(SocketError::Live(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(SocketError::Live(path.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

/// A blocking `connect()` would wait for as long as a live server's backlog is full.
fn connect_without_waiting(path: &Path) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let stream = UnixStream::from(fd);
    let fd = stream.as_raw_fd();
    nix::sys::socket::connect(fd, &UnixAddr::new(path)?)?;
    Ok(())
}

#[cfg(test)]
mod tests;
