//! A disk in memory, which knows what was synced. A crash keeps that, and of the rest what chance has written already.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use realtime_server::internals::store::{Environment, Point, Storage};

/// A disk writes at least so much of a page or nothing, bytes.
const SECTOR: usize = 512;
const PAGE: u64 = 4096;

#[derive(Clone, Debug)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl Step {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let (from, to) = (*offset as usize, *offset as usize + data.len());
                if bytes.len() < to {
                    bytes.resize(to, 0);
                }
                bytes[from..to].copy_from_slice(data);
            }
            Self::SetLen(length) => bytes.resize(*length as usize, 0),
        }
    }
}

#[derive(Clone, Default)]
struct Content {
    current: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Step>,
    pages: std::collections::HashSet<u64>,
}

type Act = Box<dyn Fn(Point) + Send>;

/// What can go wrong.
#[derive(Default)]
struct Faults {
    is_dead: AtomicBool,
    sync_fails: AtomicBool,
    /// Pages that may be written at all; 0: any number.
    pages: AtomicU64,
    /// What the disk says is free, bytes; 0: plenty.
    free: AtomicU64,
    point: Mutex<Option<Act>>,
}

pub struct Disk {
    files: Mutex<HashMap<PathBuf, Arc<Mutex<Content>>>>,
    faults: Arc<Faults>,
    clock: AtomicU64,
    boot: Mutex<String>,
}

struct Open {
    content: Arc<Mutex<Content>>,
    faults: Arc<Faults>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Open")
    }
}

fn broken() -> io::Error {
    // EIO, 5 on every Linux.
    io::Error::from_raw_os_error(5)
}

impl Disk {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::of(HashMap::new(), 1_700_000_000_000, "boot-0".to_owned()))
    }

    fn of(files: HashMap<PathBuf, Content>, clock: u64, boot: String) -> Self {
        let files = files.into_iter().map(|(path, content)| (path, Arc::new(Mutex::new(content)))).collect();
        Self { files: Mutex::new(files), faults: Arc::default(), clock: AtomicU64::new(clock), boot: Mutex::new(boot) }
    }

    /// Whatever is done from now on fails.
    pub fn die(&self) {
        self.faults.is_dead.store(true, Ordering::SeqCst);
    }

    /// The disk after a power loss. `chance` says of each unsynced sector whether it was written.
    pub fn after_power_loss(&self, mut chance: impl FnMut() -> bool) -> Arc<Self> {
        let files = self.files.lock().unwrap();
        let mut paths: Vec<_> = files.keys().cloned().collect();
        paths.sort();
        let after = paths.into_iter().map(|path| {
            let content = files[&path].lock().unwrap();
            let mut bytes = content.synced.clone();
            for step in &content.unsynced {
                match step {
                    Step::Write(offset, data) => {
                        for (index, sector) in data.chunks(SECTOR).enumerate() {
                            if chance() {
                                Step::Write(offset + (index * SECTOR) as u64, sector.to_vec()).apply(&mut bytes);
                            }
                        }
                    }
                    // A journalling file system has done none of it or this and all before.
                    Step::SetLen(_) if chance() => step.apply(&mut bytes),
                    Step::SetLen(_) => {}
                }
            }
            // A longer file than its synced length may have holes, a shorter one not.
            let content = Content { current: bytes.clone(), synced: bytes, ..Content::default() };
            (path, content)
        });
        let after = after.collect();
        let boot = format!("{}+", self.boot.lock().unwrap());
        Arc::new(Self::of(after, self.clock.load(Ordering::SeqCst), boot))
    }

    /// The disk after the process was killed: the kernel has everything.
    pub fn after_kill(&self) -> Arc<Self> {
        let files = self.files.lock().unwrap();
        let after = files.iter().map(|(path, content)| (path.clone(), content.lock().unwrap().clone())).collect();
        let boot = self.boot.lock().unwrap().clone();
        Arc::new(Self::of(after, self.clock.load(Ordering::SeqCst), boot))
    }

    pub fn fail_syncs(&self) {
        self.faults.sync_fails.store(true, Ordering::SeqCst);
    }

    /// Lets so many pages more be written; `None`: any number.
    pub fn limit(&self, more: Option<u64>) {
        let used: usize = self.files.lock().unwrap().values().map(|file| file.lock().unwrap().pages.len()).sum();
        self.faults.pages.store(more.map_or(0, |more| used as u64 + more), Ordering::SeqCst);
    }

    /// Says that so much is free.
    pub fn say_free(&self, bytes: u64) {
        self.faults.free.store(bytes, Ordering::SeqCst);
    }

    pub fn advance(&self, ms: i64) {
        let now = self.clock.load(Ordering::SeqCst);
        self.clock.store(now.saturating_add_signed(ms), Ordering::SeqCst);
    }

    /// Calls `act` at each point.
    pub fn at_points(&self, act: impl Fn(Point) + Send + 'static) {
        *self.faults.point.lock().unwrap() = Some(Box::new(act));
    }

    pub fn contents(&self, path: &Path) -> Vec<u8> {
        self.files.lock().unwrap()[path].lock().unwrap().current.clone()
    }

    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let content = Content { current: bytes.clone(), synced: bytes, ..Content::default() };
        self.files.lock().unwrap().insert(path.to_owned(), Arc::new(Mutex::new(content)));
    }
}

impl Faults {
    fn check(&self) -> io::Result<()> {
        if self.is_dead.load(Ordering::SeqCst) { Err(broken()) } else { Ok(()) }
    }
}

impl Environment for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        self.faults.check()?;
        let content = self.files.lock().unwrap().entry(path.to_owned()).or_default().clone();
        Ok(Box::new(Open { content, faults: self.faults.clone() }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.faults.check()?;
        Ok(self.files.lock().unwrap().contains_key(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.check()?;
        let mut files = self.files.lock().unwrap();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults.check()?;
        self.files.lock().unwrap().remove(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn free(&self, _directory: &Path) -> io::Result<u64> {
        let free = self.faults.free.load(Ordering::SeqCst);
        Ok(if free == 0 { u64::MAX } else { free })
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    fn boot(&self) -> Option<String> {
        Some(self.boot.lock().unwrap().clone())
    }

    fn reach(&self, point: Point) {
        if let Some(act) = &*self.faults.point.lock().unwrap() {
            act(point);
        }
    }
}

impl Open {
    fn step(&self, step: Step) -> io::Result<()> {
        self.faults.check()?;
        let mut content = self.content.lock().unwrap();
        if let Step::Write(offset, data) = &step {
            let pages = offset / PAGE..(offset + data.len() as u64).div_ceil(PAGE);
            let limit = self.faults.pages.load(Ordering::SeqCst);
            // Counted by file, which is near enough: the database is the only one that grows.
            let new = pages.clone().filter(|page| !content.pages.contains(page)).count();
            if limit != 0 && new > 0 && content.pages.len() as u64 + new as u64 > limit {
                // Part of it may fit in what was there before.
                let part = Step::Write(*offset, data[..data.len().min(SECTOR)].to_vec());
                part.apply(&mut content.current);
                content.unsynced.push(part);
                return Err(io::ErrorKind::StorageFull.into());
            }
            content.pages.extend(pages);
        }
        step.apply(&mut content.current);
        content.unsynced.push(step);
        Ok(())
    }
}

impl Storage for Open {
    fn length(&self) -> io::Result<u64> {
        self.faults.check()?;
        Ok(self.content.lock().unwrap().current.len() as u64)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.faults.check()?;
        let content = self.content.lock().unwrap();
        let found = content.current.get(offset as usize..offset as usize + into.len());
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step(Step::Write(offset, bytes.to_vec()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(Step::SetLen(len))
    }

    fn sync(&self) -> io::Result<()> {
        self.faults.check()?;
        if self.faults.sync_fails.load(Ordering::SeqCst) {
            return Err(broken());
        }
        let mut content = self.content.lock().unwrap();
        for step in std::mem::take(&mut content.unsynced) {
            step.apply(&mut content.synced);
        }
        Ok(())
    }
}
