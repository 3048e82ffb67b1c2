use std::io::Read;

use tempfile::TempDir;

use super::*;

fn dir() -> TempDir {
    TempDir::new().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn refused(path: &Path, config: &Config) -> String {
    bind_at(path, config).unwrap_err().to_string()
}

#[test]
fn the_socket_listens_with_the_configured_mode_and_is_removed_at_the_end() {
    let dir = dir();
    let path = dir.path().join("rt.sock");
    for wanted in [0o660, 0o600, 0o666] {
        let config = Config { socket_mode: wanted, ..Config::default() };
        let (listener, file) = bind_at(&path, &config).unwrap();
        assert_eq!(mode(file.path()), wanted);
        let mut client = UnixStream::connect(&path).unwrap();
        drop(listener.accept().unwrap());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(file);
        assert!(!path.exists());
    }
}

#[test]
fn the_socket_is_given_to_the_group() {
    let dir = dir();
    let path = dir.path().join("rt.sock");
    let own = Group::from_gid(nix::unistd::getegid()).unwrap().unwrap();
    let config = Config { socket_group: Some(own.name), ..Config::default() };
    let (_listener, _file) = bind_at(&path, &config).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().gid(), own.gid.as_raw());

    let config = Config { socket_group: Some("no-such-group".into()), ..Config::default() };
    let other = dir.path().join("other.sock");
    assert!(refused(&other, &config).contains("groupadd --system no-such-group"));
    assert!(!other.exists(), "a failed start leaves nothing");
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_refuses_the_start() {
    let dir = dir();
    let path = dir.path().join("rt.sock");
    let config = Config::default();
    drop(UnixListener::bind(&path).unwrap());
    let (_listener, file) = bind_at(&path, &config).unwrap();
    assert!(refused(&path, &config).starts_with("another server listens on"));
    assert!(path.exists(), "the live socket stays");
    drop(file);
}

#[test]
fn a_live_socket_whose_backlog_is_full_counts_as_live() {
    let dir = dir();
    let path = dir.path().join("rt.sock");
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
    bind(fd.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    listen(&fd, Backlog::new(1).unwrap()).unwrap();
    let waiting: Vec<_> = std::iter::from_fn(|| connect_without_waiting(&path).ok()).take(100).collect();
    assert!(waiting.len() < 100);
    assert!(refused(&path, &Config::default()).starts_with("another server listens on"));
}

#[test]
fn what_is_no_socket_is_never_removed() {
    let dir = dir();
    let path = dir.path().join("precious");
    fs::write(&path, "data").unwrap();
    assert!(refused(&path, &Config::default()).contains("is no socket"));
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(refused(&link, &Config::default()).contains("is no socket"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "data");
}

#[test]
fn a_directory_that_everybody_can_write_to_is_refused_even_with_the_sticky_bit() {
    let dir = dir();
    for mode in [0o777, 0o1777] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        let path = dir.path().join("rt.sock");
        assert!(refused(&path, &Config::default()).starts_with("everybody may write to"), "{mode:o}");
        assert!(!path.exists());
    }
}

#[test]
fn a_missing_directory_and_a_long_path_are_told() {
    let dir = dir();
    assert!(refused(&dir.path().join("none/rt.sock"), &Config::default()).contains("make it, or set unix_socket"));
    assert!(refused(&dir.path().join("x".repeat(200)), &Config::default()).contains("too long"));
}

#[test]
fn only_our_own_socket_is_removed() {
    let dir = dir();
    let path = dir.path().join("rt.sock");
    let (_listener, file) = bind_at(&path, &Config::default()).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "").unwrap();
    drop(file);
    assert!(path.exists());
}

#[test]
fn a_configured_path_is_used_and_off_is_off() {
    let at = |unix_socket| resolve(&Config { unix_socket, ..Config::default() }, None);
    assert_eq!(at(UnixSocket::Path("/srv/rt.sock".into())), Resolved::At("/srv/rt.sock".into()));
    assert!(matches!(at(UnixSocket::Off), Resolved::None(_)));
}

#[test]
fn without_a_system_directory_the_users_runtime_directory_serves_if_it_is_safe() {
    if Path::new("/run/realtime").is_dir() {
        // Installed here: then that directory comes first.
        assert_eq!(resolve(&Config::default(), None), Resolved::At(DEFAULT_PATH.into()));
        return;
    }
    let dir = dir();
    let config = Config::default();
    assert_eq!(resolve(&config, Some(dir.path())), Resolved::At(dir.path().join("realtime.sock")));
    assert!(matches!(resolve(&config, None), Resolved::None(_)));
    assert!(matches!(resolve(&config, Some(Path::new("relative"))), Resolved::None(_)));
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(matches!(resolve(&config, Some(dir.path())), Resolved::None(why) if why.contains("everybody may write")));
}
