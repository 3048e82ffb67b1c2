//! Many publications in few frames.

use crate::command::{Command, Part};

/// What one frame may hold. The server takes 8 MiB.
const MAX_BYTES: usize = 1 << 20;
const MAX_COMMANDS: usize = 1_024;

/// Publications on their way into frames, in order.
#[derive(Debug, Default)]
pub struct Batch {
    frames: Vec<Command>,
    len: usize,
    bytes: usize,
}

impl Batch {
    /// How many publications it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of its frames.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends what `write` appends to a frame that has room, or to a new one.
    pub(crate) fn push(&mut self, size_hint: usize, write: impl FnOnce(&mut String) -> Part) {
        self.len += 1;
        match self.frames.last_mut() {
            Some(frame) if frame.len() < MAX_COMMANDS && frame.text.len() + size_hint <= MAX_BYTES => {
                let before = frame.text.len();
                frame.text.push(',');
                let part = write(&mut frame.text);
                frame.rest.push(part);
                self.bytes += frame.text.len() - before;
            }
            _ => {
                let mut text = String::with_capacity(size_hint + 2);
                text.push('[');
                let first = write(&mut text);
                self.bytes += text.len();
                self.frames.push(Command { text, first, rest: Vec::new(), array: true });
            }
        }
    }

    /// The key of the last publication.
    pub(crate) fn last_key(&self) -> String {
        let frame = self.frames.last();
        let key = frame.and_then(|frame| frame.rest.last().unwrap_or(&frame.first).read_key(&frame.text));
        key.unwrap_or_default()
    }

    /// Frames that could not be sent.
    pub(crate) fn from_frames(mut frames: Vec<Command>) -> Self {
        let (len, bytes) =
            frames.iter().fold((0, 0), |(len, bytes), frame| (len + frame.len(), bytes + frame.text.len()));
        for frame in &mut frames {
            // Open again.
            frame.text.pop();
        }
        Self { frames, len, bytes }
    }

    /// The frames, complete.
    pub(crate) fn into_frames(mut self) -> Vec<Command> {
        for frame in &mut self.frames {
            frame.text.push(']');
        }
        self.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Audience, Publication, push_publication};
    use crate::idempotency::Keys;

    fn batch(count: u64, data: &str) -> Vec<Command> {
        let (mut batch, mut keys) = (Batch::default(), Keys::new());
        for id in 0..count {
            let publication =
                Publication { audience: Audience::Channel("c"), event: None, exclude: None, key: None, data };
            batch.push(data.len(), |text| push_publication(text, id, &publication, &mut keys));
        }
        assert_eq!(batch.len() as u64, count);
        batch.into_frames()
    }

    #[test]
    fn frames_are_json_arrays_whose_parts_know_their_place() {
        let frames = batch(3, "\"é\"");
        assert_eq!(frames.len(), 1);
        let commands: Vec<serde_json::Value> = serde_json::from_str(&frames[0].text).unwrap();
        for (part, command) in frames[0].parts().zip(commands) {
            assert_eq!(Some(part.id), command["id"].as_u64());
            assert_eq!(part.read_key(&frames[0].text).as_deref(), command["key"].as_str());
            assert_eq!(part.names.read(&frames[0].text), ["c"]);
        }
    }

    #[test]
    fn a_full_frame_is_followed_by_another() {
        assert_eq!(batch(2_500, "1").iter().map(Command::len).collect::<Vec<_>>(), [1_024, 1_024, 452]);
        let big = format!("\"{}\"", "x".repeat(MAX_BYTES / 3));
        assert_eq!(batch(5, &big).iter().map(Command::len).collect::<Vec<_>>(), [2, 2, 1]);
    }
}
