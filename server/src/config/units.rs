//! Durations and sizes with their units, as people write them: `"25s"`, `"64KiB"`.

use std::time::Duration;

const DURATIONS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZES: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a duration; the error completes "… is not a duration".
pub(super) fn duration(text: &str) -> Option<Duration> {
    read(text, DURATIONS).map(Duration::from_millis)
}

/// Reads a duration as the configuration has it; the error says how to write it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration(text)
        .ok_or_else(|| format!("{text:?} is not a duration; write a number with ms, s, m, h or d, as in \"1h\""))
}

/// Writes a duration that `duration()` reads.
pub fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), DURATIONS)
}

/// Reads a size in bytes.
pub(super) fn size(text: &str) -> Option<usize> {
    read(text, SIZES).and_then(|bytes| usize::try_from(bytes).ok())
}

/// Writes a size that [`size`] reads.
pub(super) fn show_size(bytes: usize) -> String {
    show(bytes as u64, SIZES)
}

fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn show(amount: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().find(|(_, factor)| amount.is_multiple_of(*factor) && amount >= *factor);
    match whole.or(units.last()) {
        Some((unit, factor)) => format!("{}{unit}", amount / factor),
        None => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit_and_written_with_the_largest() {
        for (text, ms, written) in [
            ("25s", 25_000, "25s"),
            ("90s", 90_000, "90s"),
            ("60s", 60_000, "1m"),
            ("1500ms", 1500, "1500ms"),
            ("0s", 0, "0ms"),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
            assert_eq!(show_duration(Duration::from_millis(ms)), written);
        }
        for text in ["25", "s", "", "25 s", "-1s", "1.5s", "1S", "1min", "99999999999999999999s", "999999999999999999d"]
        {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_binary_and_nothing_is_guessed() {
        for (text, bytes, written) in
            [("64KiB", 65_536, "64KiB"), ("1024KiB", 1 << 20, "1MiB"), ("1000B", 1000, "1000B")]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
            assert_eq!(show_size(bytes), written);
        }
        for text in ["64", "64KB", "64k", "1.5MiB", "99999999999GiB"] {
            assert_eq!(size(text), None, "{text:?}");
        }
    }
}
