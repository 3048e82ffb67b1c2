//! The log: one line per event, on stderr or in a file, as text or JSON.
//!
//! Much of what is logged was sent by strangers. Whatever a value holds, it never breaks a line or steers a terminal:
//! the finished line is escaped as a whole, so that no caller can forget to.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, error};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use crate::config::{Config, LogFormat, LogLevel};

/// The log of this process, for as long as it runs.
#[derive(Clone, Debug)]
pub struct Log(Arc<Sink>);

#[derive(Debug)]
enum Sink {
    Stderr,
    File { path: PathBuf, file: Mutex<File> },
}

/// Sends everything that is logged from now on where the configuration says. The error names the file.
pub fn init(config: &Config) -> io::Result<Log> {
    let log = Log::open(config.log_file.as_deref())?;
    let subscriber = log.subscriber(config.log_format, config.log_level);
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(log)
}

impl Log {
    fn open(path: Option<&Path>) -> io::Result<Self> {
        let sink = match path {
            None => Sink::Stderr,
            Some(path) => Sink::File { path: path.to_owned(), file: Mutex::new(append_to(path)?) },
        };
        Ok(Self(Arc::new(sink)))
    }

    /// Opens the log file anew, after logrotate has moved it. On an error, logging goes on in the old one.
    pub fn reopen(&self) -> io::Result<()> {
        if let Sink::File { path, file } = &*self.0 {
            let new = append_to(path)?;
            // A file handle is never half-replaced, so a poisoned lock guards nothing broken.
            *file.lock().unwrap_or_else(PoisonError::into_inner) = new;
        }
        Ok(())
    }

    /// Whether lines go to a file, and so not to who started the process.
    pub fn is_file(&self) -> bool {
        matches!(*self.0, Sink::File { .. })
    }

    fn subscriber(&self, format: LogFormat, level: LogLevel) -> Box<dyn Subscriber + Send + Sync> {
        let level = match level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        };
        // Libraries tell of starts and stops that are none of the operator's business.
        let targets = Targets::new().with_target("realtime_server", level).with_default(level.min(LevelFilter::WARN));
        let layer = tracing_subscriber::fmt::layer()
            .with_target(false)
            .with_ansi(false)
            .with_writer(LineWriter { sink: self.0.clone(), format });
        match format {
            LogFormat::Text => Box::new(tracing_subscriber::registry().with(layer.with_filter(targets))),
            LogFormat::Json => {
                let layer = layer.json().flatten_event(true).with_current_span(false).with_span_list(false);
                Box::new(tracing_subscriber::registry().with(layer.with_filter(targets)))
            }
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot open the log file {}: {error}", path.display())))
}

/// A panic is a fault of the server: its line belongs where the others are.
fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    error!(place, thread = thread.name().unwrap_or("unnamed"), "panic: {message}");
}

/// Longest line, bytes before escaping. What is repeated of strangers is bounded where it is said; this holds whatever
/// was forgotten there.
const MAX_LINE: usize = 8 << 10;
/// What is left of a text in a line of JSON that was longer.
const MAX_TEXT: usize = 1 << 10;

/// `text`, or its beginning and how much more there was.
fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(most);
    Cow::Owned(format!("{}… ({} bytes more)", &text[..end], text.len() - end))
}

/// The same for a line of JSON, which must stay JSON.
fn shortened_json(line: &str) -> Cow<'_, str> {
    if line.len() <= MAX_LINE {
        return Cow::Borrowed(line);
    }
    let Ok(mut fields) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line) else {
        return Cow::Owned(format!("{{\"message\":\"a line of {} bytes was no JSON\"}}", line.len()));
    };
    for value in fields.values_mut() {
        if let serde_json::Value::String(text) = value {
            *text = shortened(text, MAX_TEXT).into_owned();
        }
    }
    Cow::Owned(serde_json::Value::Object(fields).to_string())
}

/// Writes lines, each whole and escaped.
struct LineWriter {
    sink: Arc<Sink>,
    format: LogFormat,
}

struct Line<'a>(&'a LineWriter);

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

impl Write for Line<'_> {
    /// `line` is one event: the formatter writes it in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut safe = match self.0.format {
            LogFormat::Text => escaped(&shortened(text, MAX_LINE)).into_owned(),
            LogFormat::Json => escaped_in_json(&shortened_json(text)).into_owned(),
        };
        safe.push('\n');
        match &*self.0.sink {
            Sink::Stderr => io::stderr().lock().write_all(safe.as_bytes())?,
            Sink::File { file, .. } => {
                file.lock().unwrap_or_else(PoisonError::into_inner).write_all(safe.as_bytes())?;
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `text` with everything escaped that breaks lines, steers terminals or turns the direction of writing.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape_by(text, |c, safe| safe.extend(c.escape_default()))
}

/// The same for finished JSON, where such characters stand in strings only.
fn escaped_in_json(text: &str) -> Cow<'_, str> {
    escape_by(text, |c, safe| {
        // All of them have four digits at most; writing to a string cannot fail.
        let _ = write!(safe, "\\u{:04x}", u32::from(c));
    })
}

fn escape_by(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) { escape(c, &mut safe) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;
    use tracing::{debug, info, warn};

    use super::*;

    /// What `act` logs into a file.
    fn logged(format: LogFormat, level: LogLevel, act: impl FnOnce(&Log, &Path)) -> String {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("server.log");
        let log = Log::open(Some(&path)).unwrap();
        tracing::subscriber::with_default(log.subscriber(format, level), || act(&log, &path));
        fs::read_to_string(path).unwrap()
    }

    const HOSTILE: &str = "a\nERROR forged\r\u{1b}[2J\u{7f}\u{85}\u{2028}\u{202e}é";

    #[test]
    fn no_value_breaks_a_text_line_or_steers_a_terminal() {
        let text = logged(LogFormat::Text, LogLevel::Info, |_, _| {
            warn!(origin = HOSTILE, "refused {HOSTILE}");
            warn!(origin = %HOSTILE, "second");
        });
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert!(!text.trim_end().replace('\n', "").contains(is_unsafe), "{text:?}");
        assert!(text.contains('é'), "harmless characters stay readable: {text}");
    }

    #[test]
    fn json_lines_are_json_and_hold_the_values_as_they_were() {
        let text = logged(LogFormat::Json, LogLevel::Info, |_, _| warn!(origin = HOSTILE, "refused"));
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.trim_end().contains(is_unsafe), "{text:?}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["message"], &line["level"]), (&"refused".into(), &"WARN".into()));
        assert_eq!(line["origin"], HOSTILE);
    }

    #[test]
    fn a_long_value_is_cut_off_and_json_stays_json() {
        let long = format!("{}\n\u{1b}", "é\"".repeat(100_000));
        let text = logged(LogFormat::Text, LogLevel::Info, |_, _| warn!(value = %long, "refused"));
        assert!(text.lines().count() == 1 && text.len() < MAX_LINE + 100, "{}", text.len());
        assert!(text.contains(" bytes more)"), "{text}");
        let text = logged(LogFormat::Json, LogLevel::Info, |_, _| warn!(value = %long, "refused {long}"));
        assert!(text.lines().count() == 1 && text.len() < MAX_LINE, "{}", text.len());
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(line["message"].as_str().unwrap().ends_with(" bytes more)"), "{line}");
        assert_eq!(line["level"], "WARN");
        let whole = "x".repeat(MAX_LINE - 500);
        let text = logged(LogFormat::Json, LogLevel::Info, |_, _| warn!("{whole}"));
        assert!(text.contains(&whole));
    }

    #[test]
    fn lines_below_the_level_are_left_out() {
        let text = logged(LogFormat::Text, LogLevel::Warn, |_, _| {
            info!("quiet");
            warn!("loud");
        });
        assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
        let text = logged(LogFormat::Text, LogLevel::Debug, |_, _| {
            debug!("ours");
            debug!(target: "hyper", "theirs");
        });
        assert!(text.contains("ours") && !text.contains("theirs"), "{text}");
    }

    #[test]
    fn a_reopened_log_goes_on_in_a_new_file() {
        let text = logged(LogFormat::Text, LogLevel::Info, |log, path| {
            info!("before");
            let moved = path.with_extension("1");
            fs::rename(path, &moved).unwrap();
            info!("still in the moved file");
            log.reopen().unwrap();
            info!("after");
            assert_eq!(fs::read_to_string(moved).unwrap().lines().count(), 2);
        });
        assert!(text.contains("after") && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_is_named() {
        let error = Log::open(Some(Path::new("/nonexistent/dir/server.log"))).unwrap_err().to_string();
        assert!(error.starts_with("cannot open the log file /nonexistent/dir/server.log: "), "{error}");
    }
}
