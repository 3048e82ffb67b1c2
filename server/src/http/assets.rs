//! The browser client, served from the binary.

use std::hash::BuildHasher;

/// A file of the browser client.
pub(super) struct Asset {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

/// What the server serves.
pub(super) const ASSETS: &[Asset] = &[
    Asset { path: "/realtime.js", text: include_str!("../../../clients/js/realtime.js") },
    Asset { path: "/realtime.global.js", text: include_str!("../../../clients/js/realtime.global.js") },
];

impl Asset {
    /// A validator that changes with the text.
    pub(super) fn etag(&self) -> String {
        format!("\"{:016x}\"", foldhash::quality::FixedState::default().hash_one(self.text))
    }
}
