//! What one receiver gets of a publication.

use realtime_protocol::ConnectionId;

use crate::directory::Tag;
use crate::hub::Publication;

/// What one receiver gets of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Nothing at all.
    Nothing,
    /// Its frame.
    Whole,
    /// Its offset only: who follows offsets must not take the one that it does not get for lost.
    Position,
}

impl Share {
    /// Of a live subscriber, which wants everything from `next` on and has this slot and tag.
    pub fn live(publication: &Publication, next: u64, slot: u32, tag: Tag) -> Self {
        if !publication.is_presence() && publication.offset < next {
            return Self::Nothing;
        }
        let excluded = publication.exclude.and_then(|exclusion| exclusion.place);
        match (excluded.is_some_and(|place| place.slot == slot && place.tag == tag), publication.kept()) {
            (false, _) => Self::Whole,
            (true, None) => Self::Nothing,
            (true, Some(_)) => Self::Position,
        }
    }

    /// Of who gets it from the history, is known by `own`, and was by `previous`.
    pub fn kept(publication: &Publication, own: ConnectionId, previous: &[ConnectionId]) -> Self {
        let is_excluded =
            publication.exclude.is_some_and(|exclusion| exclusion.id == own || previous.contains(&exclusion.id));
        if is_excluded { Self::Position } else { Self::Whole }
    }
}
