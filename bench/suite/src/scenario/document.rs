//! JSON as applications send it: keys that repeat, values that hardly do.

use std::fmt::Write;

const ORDERS: usize = 32;
const STATES: [&str; 4] = ["received", "in preparation", "ready", "delivered"];

/// The same template with a list of orders, about 3.5 KB, beside the payload.
pub(super) fn around_payload(template: &str) -> String {
    template.replace(r#""{p}""#, &format!(r#"{{"stamp":"{{p}}","orders":[{}]}}"#, orders()))
}

/// Always the same, so that runs can be compared (a linear congruential generator).
fn orders() -> String {
    let mut state = 42_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut out = String::new();
    for number in 0..ORDERS {
        let comma = if number == 0 { "" } else { "," };
        let (id, table, cents) = (random(1_000_000), random(60), random(20_000));
        let (minute, second, word) = (random(60), random(60), STATES[random(4) as usize]);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            r#"{comma}{{"id":{id},"table":{table},"total":{}.{:02},"status":"{word}","updatedAt":"2026-01-01T12:{minute:02}:{second:02}Z","paid":{}}}"#,
            cents / 100,
            cents % 100,
            random(2) == 1,
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_json_of_some_kibibytes() {
        let text = around_payload(r#"{"channel":"c","data":"{p}"}"#);
        assert!((3_000..6_000).contains(&text.len()), "{} bytes", text.len());
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["data"]["orders"].as_array().map(Vec::len), Some(ORDERS));
        assert_eq!(value["data"]["stamp"], "{p}");
    }
}
