//! UTF-8 that comes in pieces.

use std::str::from_utf8;

use super::decode::Violation;

/// The state of a text whose pieces are checked as they come: nothing that continues it makes a wrong beginning right
/// (RFC 6455 §8.1 lets a peer be told at once).
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character whose end has not come, and its length.
    cut: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// Checks the next piece.
    pub(super) fn check(&mut self, piece: &[u8]) -> Result<(), Violation> {
        let mut rest = piece;
        while self.len > 0 {
            let [first, later @ ..] = rest else { return Ok(()) };
            rest = later;
            self.cut[self.len] = *first;
            self.len += 1;
            match from_utf8(&self.cut[..self.len]) {
                Ok(_) => self.len = 0,
                // A character has four bytes at most, and with the fourth it is right or wrong.
                Err(error) if error.error_len().is_none() && self.len < 4 => {}
                Err(_) => return Err(Violation::Utf8),
            }
        }
        match from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                let cut = &rest[error.valid_up_to()..];
                self.len = cut.len();
                self.cut[..cut.len()].copy_from_slice(cut);
                Ok(())
            }
            Err(_) => Err(Violation::Utf8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many bytes, one at a time, it is refused; `None`: it is a beginning of something valid.
    fn refused_at(bytes: &[u8]) -> Option<usize> {
        let mut text = Utf8::default();
        bytes.iter().position(|byte| text.check(&[*byte]).is_err()).map(|index| index + 1)
    }

    #[test]
    fn a_mistake_is_found_with_the_byte_that_makes_it_one() {
        assert_eq!(refused_at("κόσμε €😀".as_bytes()), None);
        assert_eq!(refused_at(&"😀".as_bytes()[..3]), None);
        assert_eq!(refused_at(b"a\x80"), Some(2));
        assert_eq!(refused_at(b"\xc3("), Some(2));
        assert_eq!(refused_at(b"\xed\xa0\x80"), Some(2));
        assert_eq!(refused_at(b"\xf4\x90\x80\x80"), Some(2));
        assert_eq!(refused_at(b"\xf0\x9f\x98x"), Some(4));
        assert_eq!(refused_at(b"\xff"), Some(1));
    }

    #[test]
    fn it_does_not_matter_how_a_text_is_cut() {
        let text = "aé€😀".repeat(9);
        for piece in 1..text.len() {
            let mut state = Utf8::default();
            assert!(text.as_bytes().chunks(piece).all(|piece| state.check(piece).is_ok()), "in pieces of {piece}");
            assert_eq!(state.len, 0);
        }
    }
}
