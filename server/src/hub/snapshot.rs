//! What a clean stop leaves of the histories in memory, so that the next start goes on with them under the same epoch.
//!
//! The file is deleted as it is loaded, before anything is published: were it loaded twice, offsets would be used again.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use realtime_protocol::{ChannelName, ConnectionId, EventName, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::entry::Keep;
use super::keys::{SavedKey, fingerprint};
use super::{Exclusion, Hub, Incoming, Kept, Payload, Publication, Stream, StreamName};

const FORMAT: u32 = 1;

#[derive(Deserialize, Serialize)]
struct Header {
    format: u32,
    epoch: String,
    /// No stream that was freed had an offset above this.
    floor: u64,
}

#[derive(Deserialize, Serialize)]
enum Line {
    Stream {
        channel: Option<String>,
        user: Option<String>,
        offset: u64,
        base: u64,
        items: Vec<SavedItem>,
    },
    Key(SavedKey),
    /// The last line, without which the file is not whole: what all lines before it come to.
    End(u64),
}

#[derive(Deserialize, Serialize)]
struct SavedItem {
    offset: u64,
    at: u64,
    event: Option<String>,
    #[serde(default)]
    user: Option<String>,
    data: Box<RawValue>,
    exclude: Option<String>,
    id: Option<String>,
}

/// Why a snapshot could not be loaded.
#[derive(Debug)]
pub enum SnapshotError {
    /// It cannot be read or removed.
    Io(io::Error),
    /// It is not what a server writes.
    Broken,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Broken => f.write_str("it is damaged, or of another version"),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Hub {
    /// Writes everything that is kept in memory to `path`. Nothing may be published any more.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let unfinished = path.with_extension("new");
        // Publications may be confidential.
        let private = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        let mut file = Lines { file: BufWriter::new(private), sum: 0 };
        let floor = (0..Self::STRIPES).map(|stripe| self.lock(stripe).floor).max().unwrap_or(0);
        file.write(&Header { format: FORMAT, epoch: self.epochs.memory.to_string(), floor })?;
        for stripe in 0..Self::STRIPES {
            for entry in &self.lock(stripe).entries {
                let Keep::InMemory(history) = &entry.keep else { continue };
                let (channel, user) = match &entry.stream.name {
                    StreamName::Channel(channel) => (Some(channel.to_string()), None),
                    StreamName::User(user) => (None, Some(user.to_string())),
                };
                let items = history.from(0).filter_map(|publication| saved(publication)).collect();
                let line = Line::Stream { channel, user, offset: entry.offset, base: entry.base, items };
                file.write(&line)?;
            }
        }
        for key in self.keys.saved(self.now()) {
            file.write(&Line::Key(key))?;
        }
        let sum = file.sum;
        file.write(&Line::End(sum))?;
        file.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync_directory(path)
    }

    /// Takes over what [`Self::save`] has written to `path`, if it has, and removes the file. On failure nothing is taken
    /// over, and a new life begins.
    pub fn load(&mut self, path: &Path) -> Result<usize, SnapshotError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let read = read(file);
        fs::remove_file(path)?;
        sync_directory(path)?;
        let (header, lines) = read?;
        self.epochs.memory = header.epoch.into();
        for stripe in &mut self.stripes {
            stripe.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).floor = header.floor;
        }
        let mut streams = 0;
        for line in lines {
            match line {
                Line::Stream { channel, user, offset, base, items } => {
                    let name = match (channel, user) {
                        (Some(channel), _) => ChannelName::parse(&channel).map(StreamName::Channel),
                        (None, user) => UserId::parse(&user.unwrap_or_default()).map(StreamName::User),
                    };
                    if let Ok(name) = name {
                        self.restore_stream(Stream::new(name), offset, base, items);
                        streams += 1;
                    }
                }
                Line::Key(key) => self.keys.restore(&key),
                Line::End(_) => {}
            }
        }
        Ok(streams)
    }

    fn restore_stream(&self, stream: Stream, offset: u64, base: u64, items: Vec<SavedItem>) {
        let hash = self.hasher.hash_one(&stream);
        let mut stripe = self.stripe(hash);
        let entry = self.enter(&mut stripe, hash, stream);
        // The rules may have changed with the restart.
        let Keep::InMemory(history) = &mut entry.keep else { return };
        (entry.offset, entry.base) = (offset, base);
        for item in items {
            history.push(Arc::new(item.into_publication(&entry.stream)));
        }
        self.kept.fetch_add(history.bytes(), Ordering::Relaxed);
    }
}

fn saved(publication: &Publication) -> Option<SavedItem> {
    let (payload, kept) = (publication.payload()?, publication.kept()?);
    Some(SavedItem {
        offset: publication.offset,
        at: kept.at,
        event: payload.event.as_ref().map(ToString::to_string),
        user: payload.user.as_ref().map(ToString::to_string),
        data: payload.data.clone(),
        exclude: publication.exclude.map(|exclusion| exclusion.id.to_string()),
        id: publication.id().map(str::to_owned),
    })
}

impl SavedItem {
    fn into_publication(self, stream: &Arc<Stream>) -> Publication {
        let exclude = self.exclude.as_deref().and_then(ConnectionId::parse).map(|id| Exclusion { id, place: None });
        let event = self.event.as_deref().and_then(|event| EventName::parse(event).ok());
        let user = self.user.as_deref().and_then(|user| UserId::parse(user).ok());
        let payload = Arc::new(Payload { event, data: self.data, user });
        let incoming = Incoming { payload, exclude: None, id: self.id.map(Into::into) };
        Publication::new(stream.clone(), self.offset, exclude, incoming, Some(Kept { at: self.at, prev: None }))
    }
}

/// Lines that are added up while they are written, so that damage is noticed.
struct Lines {
    file: BufWriter<File>,
    sum: u64,
}

impl Lines {
    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(line)?;
        self.sum = add_up(self.sum, &text);
        self.file.write_all(text.as_bytes())?;
        self.file.write_all(b"\n")
    }
}

fn add_up(sum: u64, line: &str) -> u64 {
    fingerprint(&[&sum.to_be_bytes(), line.as_bytes()])
}

fn read(file: File) -> Result<(Header, Vec<Line>), SnapshotError> {
    let mut lines = BufReader::new(file).lines();
    let first = lines.next().ok_or(SnapshotError::Broken)??;
    let header: Header = serde_json::from_str(&first).map_err(|_| SnapshotError::Broken)?;
    if header.format != FORMAT {
        return Err(SnapshotError::Broken);
    }
    let (mut read, mut sum, mut before) = (Vec::new(), add_up(0, &first), 0);
    for line in lines {
        let line = line?;
        (before, sum) = (sum, add_up(sum, &line));
        read.push(serde_json::from_str(&line).map_err(|_| SnapshotError::Broken)?);
    }
    match read.last() {
        Some(Line::End(sum)) if *sum == before => Ok((header, read)),
        _ => Err(SnapshotError::Broken),
    }
}

/// Makes a change of names in the file's directory survive a power failure.
fn sync_directory(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}
