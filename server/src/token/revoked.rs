//! Tokens that were taken back: for each such user, the time up to which tokens count no more.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use realtime_protocol::UserId;
use serde::{Deserialize, Serialize};
use tracing::error;

/// The file in the data directory.
const FILE: &str = "revoked.jsonl";

/// Called once a revocation is on disk, or cannot be.
type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// One line of the file.
#[derive(Deserialize, Serialize)]
struct Line {
    user: String,
    /// Unix seconds: tokens issued then or before count no more.
    before: u64,
}

/// Which tokens were revoked. They are kept until every token that they concern has run out (`tokens.max_ttl`).
pub struct Revocations {
    users: RwLock<HashMap<UserId, u64>>,
    /// The longest time that a token may be valid, seconds.
    max_ttl: AtomicU64,
    /// To the thread that writes the file; unset: there is no data directory, and a restart forgets.
    file: OnceLock<Sender<(Line, Done)>>,
}

impl Revocations {
    /// None yet; a restart forgets those that come.
    pub fn new(max_ttl: Duration) -> Self {
        Self { users: RwLock::default(), max_ttl: AtomicU64::new(max_ttl.as_secs()), file: OnceLock::new() }
    }

    /// Takes over what is in `directory`, and keeps there what comes. `now`: Unix seconds.
    pub fn keep_in(&self, directory: &Path, now: u64) -> io::Result<()> {
        let path = directory.join(FILE);
        let oldest = self.oldest(now);
        let mut users = HashMap::new();
        match File::open(&path) {
            Ok(file) => {
                for line in BufReader::new(file).split(b'\n') {
                    // A line that a crash cut off, within a letter perhaps, was never acknowledged.
                    let Ok(Line { user, before }) = serde_json::from_slice(&line?) else { continue };
                    if let (Ok(user), true) = (UserId::parse(&user), before >= oldest) {
                        raise(&mut users, user, before);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = rewrite(&path, directory, &users)?;
        self.users.write().unwrap_or_else(PoisonError::into_inner).extend(users);
        let (send, receive) = channel();
        std::thread::Builder::new().name("revocations".into()).spawn(move || {
            write(|text| file.write_all(text).and_then(|()| file.sync_data()), &receive);
        })?;
        // Whoever calls this twice keeps the first thread.
        let _ = self.file.set(send);
        Ok(())
    }

    /// Tokens may be valid for as long as this from now on. What is remembered for longer already stays so: shorter tokens
    /// may be followed by longer ones again.
    pub fn remember_for(&self, max_ttl: Duration) {
        self.max_ttl.fetch_max(max_ttl.as_secs(), Ordering::Relaxed);
    }

    /// Whether a token of `user` that was issued at `issued` is revoked.
    pub fn cover(&self, user: &UserId, issued: u64) -> bool {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        users.get(user).is_some_and(|before| issued <= *before)
    }

    /// Revokes what was issued to `user` up to `now`, at once; `done` is called when it survives a restart.
    pub fn revoke(&self, user: &UserId, now: u64, done: impl FnOnce(io::Result<()>) + Send + 'static) {
        {
            let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
            if users.len() == users.capacity() {
                // Before the table grows, what concerns nobody any more goes.
                let oldest = self.oldest(now);
                users.retain(|_, before| *before >= oldest);
            }
            raise(&mut users, user.clone(), now);
        }
        match self.file.get() {
            Some(file) => {
                let line = Line { user: user.to_string(), before: now };
                if let Err(refused) = file.send((line, Box::new(done))) {
                    let (_, done) = refused.0;
                    done(Err(io::Error::other("the thread that writes revocations has ended")));
                }
            }
            None => done(Ok(())),
        }
    }

    /// Whatever was revoked before this has run out since.
    fn oldest(&self, now: u64) -> u64 {
        now.saturating_sub(self.max_ttl.load(Ordering::Relaxed) + super::SKEW)
    }
}

/// The later one counts, whatever the clock showed in between.
fn raise(users: &mut HashMap<UserId, u64>, user: UserId, to: u64) {
    let before = users.entry(user).or_default();
    *before = to.max(*before);
}

/// The file anew, without what counts no more; whole or as it was.
fn rewrite(path: &Path, directory: &Path, users: &HashMap<UserId, u64>) -> io::Result<File> {
    let mut new = PathBuf::from(path);
    new.set_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
    let mut text = Vec::new();
    for (user, before) in users {
        line(&mut text, &Line { user: user.to_string(), before: *before });
    }
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

fn line(into: &mut Vec<u8>, line: &Line) {
    // Writing to memory cannot fail, nor can these two fields.
    let _ = serde_json::to_writer(&mut *into, line);
    into.push(b'\n');
}

/// Writes what comes by `append`, all that waits at once.
fn write(mut append: impl FnMut(&[u8]) -> io::Result<()>, orders: &Receiver<(Line, Done)>) {
    let mut is_torn = false;
    while let Ok(first) = orders.recv() {
        let (mut text, mut waiting) = (Vec::new(), Vec::new());
        if is_torn {
            // A line that is half there must not swallow the next one.
            text.push(b'\n');
        }
        for (of, done) in std::iter::once(first).chain(orders.try_iter()) {
            line(&mut text, &of);
            waiting.push(done);
        }
        let written = append(&text);
        is_torn = written.is_err();
        if let Err(error) = &written {
            error!(%error, "a revocation of tokens cannot be written; it counts until the next restart only");
        }
        for done in waiting {
            done(written.as_ref().map(drop).map_err(|error| io::Error::new(error.kind(), error.to_string())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    fn revoke(revocations: &Revocations, id: &str, now: u64) {
        let (send, done) = channel();
        revocations.revoke(&user(id), now, move |written| send.send(written).unwrap());
        done.recv().unwrap().unwrap();
    }

    fn kept_in(directory: &Path, now: u64) -> Revocations {
        let revocations = Revocations::new(Duration::from_secs(100));
        revocations.keep_in(directory, now).unwrap();
        revocations
    }

    #[test]
    fn what_was_issued_up_to_then_is_revoked_and_nothing_later() {
        let revocations = Revocations::new(Duration::from_secs(100));
        revoke(&revocations, "u7", 1000);
        assert!(revocations.cover(&user("u7"), 999) && revocations.cover(&user("u7"), 1000));
        assert!(!revocations.cover(&user("u7"), 1001));
        assert!(!revocations.cover(&user("u8"), 999));
    }

    #[test]
    fn a_revocation_survives_a_restart_for_as_long_as_a_token_may_live() {
        let directory = tempfile::tempdir().unwrap();
        let open = |now| kept_in(directory.path(), now);
        revoke(&open(1000), "u7", 1000);
        revoke(&open(1000), "u8 \"", 1050);
        let mut file = OpenOptions::new().append(true).open(directory.path().join(FILE)).unwrap();
        file.write_all(b"{\"user\":\"cut").unwrap();
        let again = open(1100);
        assert!(again.cover(&user("u7"), 1000) && again.cover(&user("u8 \""), 1050));
        let later = open(1111);
        assert!(!later.cover(&user("u7"), 1000), "every token of that time has run out");
    }

    #[test]
    fn a_clock_that_goes_back_takes_no_revocation_back() {
        let directory = tempfile::tempdir().unwrap();
        let first = kept_in(directory.path(), 1000);
        revoke(&first, "u7", 1000);
        revoke(&first, "u7", 950);
        assert!(first.cover(&user("u7"), 1000));
        assert!(kept_in(directory.path(), 1000).cover(&user("u7"), 1000), "after a restart");
    }

    #[test]
    fn a_line_that_was_cut_off_within_a_letter_is_as_good_as_none() {
        let directory = tempfile::tempdir().unwrap();
        revoke(&kept_in(directory.path(), 1000), "u7", 1000);
        let mut file = OpenOptions::new().append(true).open(directory.path().join(FILE)).unwrap();
        file.write_all(b"{\"user\":\"Jos\xC3").unwrap();
        assert!(kept_in(directory.path(), 1000).cover(&user("u7"), 1000));
    }

    #[test]
    fn a_longer_lifetime_of_tokens_is_remembered_as_long() {
        let revocations = Revocations::new(Duration::from_secs(100));
        revoke(&revocations, "u7", 1000);
        revocations.remember_for(Duration::from_secs(1_000));
        for other in 0..1_000 {
            revoke(&revocations, &format!("other{other}"), 1500);
        }
        assert!(revocations.cover(&user("u7"), 1000), "a token of then may still be good");
    }

    #[test]
    fn what_a_full_disk_has_cut_off_swallows_nothing_that_comes_later() {
        let (send, orders) = channel::<(Line, Done)>();
        let (told, outcomes) = channel();
        let order = |user: &str| {
            let told = told.clone();
            let line = Line { user: user.to_owned(), before: 1000 };
            send.send((line, Box::new(move |written| told.send(written.is_ok()).unwrap()))).unwrap();
        };
        let (mut disk, mut is_full) = (Vec::new(), true);
        order("first");
        let writer = std::thread::spawn(move || {
            let append = |text: &[u8]| {
                let taken = if std::mem::take(&mut is_full) { &text[..7] } else { text };
                disk.extend_from_slice(taken);
                if taken.len() == text.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
            };
            write(append, &orders);
            disk
        });
        assert!(!outcomes.recv().unwrap());
        order("second");
        assert!(outcomes.recv().unwrap());
        drop(send);
        let disk = writer.join().unwrap();
        let text = String::from_utf8(disk).unwrap();
        let whole = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        assert_eq!(whole.map(|line| line.user).collect::<Vec<_>>(), ["second"]);
    }

    #[test]
    fn nobody_else_can_read_who_was_revoked() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        revoke(&kept_in(directory.path(), 1000), "u7", 1000);
        let mode = std::fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
