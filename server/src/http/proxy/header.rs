//! The header itself, as bytes. Pure, since it is the first thing that is read of every connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Longest header that is taken, bytes. Version 1 has 107 at most; of version 2 this leaves room for 2 KiB of extras,
/// such as a client's certificate name.
pub const MAX_LENGTH: usize = 2_304;
/// §2.1: "the maximum line lengths the receiver must support", with its line end.
const MAX_LINE: usize = 107;
/// §2.2: it can begin no request and no line of version 1.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, what kind it is, which addresses follow, and how long they and the extras are.
const FIXED: usize = SIGNATURE.len() + 4;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header, perhaps.
    Incomplete,
    /// A header of this many bytes.
    Whole {
        /// Where what it stands before begins.
        length: usize,
        /// Who has connected to the proxy; `None`: the proxy itself, or it does not say.
        source: Option<SocketAddr>,
    },
    /// No header.
    Malformed(&'static str),
}

/// Reads a header of either version.
pub fn parse(bytes: &[u8]) -> Parsed {
    let begins = |start: &[u8]| start.iter().zip(bytes).all(|(a, b)| a == b);
    if begins(SIGNATURE) && !bytes.is_empty() {
        return binary(bytes);
    }
    if begins(b"PROXY ") {
        return line(bytes);
    }
    Parsed::Malformed("it begins like something else")
}

/// Version 1: one line of text.
fn line(bytes: &[u8]) -> Parsed {
    let seen = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = seen.windows(2).position(|two| two == b"\r\n") else {
        return match seen.len() {
            MAX_LINE => Parsed::Malformed("its line does not end within 107 bytes"),
            _ => Parsed::Incomplete,
        };
    };
    let length = end + 2;
    let Ok(text) = std::str::from_utf8(&bytes[..end]) else { return Parsed::Malformed("its line is no text") };
    let mut words = text.split(' ');
    let (_proxy, family) = (words.next(), words.next());
    let source = match family {
        // §2.1: whatever follows is to be ignored.
        Some("UNKNOWN") => return Parsed::Whole { length, source: None },
        Some("TCP4") => addresses::<Ipv4Addr>(words),
        Some("TCP6") => addresses::<Ipv6Addr>(words),
        _ => return Parsed::Malformed("it names neither TCP4 nor TCP6 nor UNKNOWN"),
    };
    match source {
        Some(source) => Parsed::Whole { length, source: Some(source) },
        None => Parsed::Malformed("its line has no two addresses and two ports"),
    }
}

/// Source, destination, and their ports.
fn addresses<'a, A: FromStr + Into<IpAddr>>(mut words: impl Iterator<Item = &'a str>) -> Option<SocketAddr> {
    let source = words.next()?.parse::<A>().ok()?;
    let _destination = words.next()?.parse::<A>().ok()?;
    let mut port = || words.next().filter(|word| word.bytes().all(|b| b.is_ascii_digit()))?.parse::<u16>().ok();
    let (from, _to) = (port()?, port()?);
    words.next().is_none().then(|| SocketAddr::new(source.into(), from))
}

/// Version 2: a fixed part, then addresses, then extras that nothing here needs.
fn binary(bytes: &[u8]) -> Parsed {
    let Some(&[kind, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else { return Parsed::Incomplete };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if kind >> 4 != 2 {
        return Parsed::Malformed("it is of another version than 1 and 2");
    }
    if length > MAX_LENGTH {
        return Parsed::Malformed("it is too long");
    }
    let Some(rest) = bytes.get(FIXED..length) else { return Parsed::Incomplete };
    let source = match (kind & 0xF, family) {
        // A health check of the proxy's own: what follows is to be ignored.
        (0, _) => None,
        (1, 0x11) => match rest {
            [a, b, c, d, _, _, _, _, high, low, _, _, ..] => {
                let address = Ipv4Addr::new(*a, *b, *c, *d);
                Some(SocketAddr::new(address.into(), u16::from_be_bytes([*high, *low])))
            }
            _ => return Parsed::Malformed("it is too short for two IPv4 addresses"),
        },
        (1, 0x21) => match rest.split_first_chunk::<16>() {
            Some((address, [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, high, low, _, _, ..])) => {
                Some(SocketAddr::new(Ipv6Addr::from(*address).into(), u16::from_be_bytes([*high, *low])))
            }
            _ => return Parsed::Malformed("it is too short for two IPv6 addresses"),
        },
        // §2.2: "the receiver should ignore address information" of what it does not know.
        (1, 0x00) => None,
        (1, _) => return Parsed::Malformed("it is about another kind of connection than TCP"),
        _ => return Parsed::Malformed("its command is neither LOCAL nor PROXY"),
    };
    Parsed::Whole { length, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2.
    fn v2(kind: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[kind, family], &length, rest].concat()
    }

    fn whole(length: usize, source: &str) -> Parsed {
        Parsed::Whole { length, source: Some(source.parse().unwrap()) }
    }

    const FOUR: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0xDC, 0x04, 0x01, 0xBB];

    fn valid() -> Vec<(Vec<u8>, Parsed)> {
        let six = [&[0x20, 0x01, 0x0D, 0xB8][..], &[0; 11], &[1], &[0; 16], &[0xDC, 0x04, 0x01, 0xBB]].concat();
        let extras = [&FOUR[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        let line = |text: &str| text.as_bytes().to_vec();
        let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        vec![
            (line("PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n"), whole(41, "192.0.2.1:56324")),
            (line("PROXY TCP6 2001:db8::1 ::1 56324 443\r\n"), whole(38, "[2001:db8::1]:56324")),
            (line(longest), whole(longest.len(), "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1]:65535")),
            (line("PROXY UNKNOWN\r\n"), Parsed::Whole { length: 15, source: None }),
            (line("PROXY UNKNOWN whatever it says\r\n"), Parsed::Whole { length: 32, source: None }),
            (v2(0x21, 0x11, &FOUR), whole(28, "192.0.2.1:56324")),
            (v2(0x21, 0x11, &extras), whole(34, "192.0.2.1:56324")),
            (v2(0x21, 0x21, &six), whole(52, "[2001:db8::1]:56324")),
            (v2(0x20, 0x00, &[]), Parsed::Whole { length: 16, source: None }),
            (v2(0x20, 0x11, &FOUR), Parsed::Whole { length: 28, source: None }),
            (v2(0x21, 0x00, &[1, 2, 3]), Parsed::Whole { length: 19, source: None }),
            (v2(0x21, 0x11, &[7; MAX_LENGTH - FIXED]), whole(MAX_LENGTH, "7.7.7.7:1799")),
        ]
    }

    #[test]
    fn a_header_is_read_up_to_its_end_whatever_follows() {
        for (bytes, parsed) in valid() {
            assert_eq!(parse(&bytes), parsed, "{bytes:?}");
            for follows in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01", b"PROXY UNKNOWN\r\n"] {
                assert_eq!(parse(&[&bytes, follows].concat()), parsed);
            }
        }
    }

    #[test]
    fn every_part_of_a_header_is_incomplete() {
        for (bytes, _) in valid() {
            for length in 0..bytes.len() {
                assert_eq!(parse(&bytes[..length]), Parsed::Incomplete, "{length} of {bytes:?}");
            }
        }
    }

    #[test]
    fn whatever_else_comes_is_malformed() {
        let line = |rest: &str| format!("PROXY {rest}\r\n").into_bytes();
        let cases = [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00".to_vec(),
            b"proxy TCP4 ".to_vec(),
            b"\r\n\r\n\0\r\nQUIX".to_vec(),
            line(""),
            line("TCP4"),
            line("TCP5 192.0.2.1 10.0.0.1 1 2"),
            line("TCP4 192.0.2.1 10.0.0.1 1"),
            line("TCP4 192.0.2.1 10.0.0.1 1 2 3"),
            line("TCP4 192.0.2.1 10.0.0.1 1 65536"),
            line("TCP4 192.0.2.1 10.0.0.1 +1 2"),
            line("TCP4 192.0.2.1  10.0.0.1 1 2"),
            line("TCP4 192.0.2.256 10.0.0.1 1 2"),
            line("TCP4 2001:db8::1 ::1 1 2"),
            line("TCP6 192.0.2.1 10.0.0.1 1 2"),
            line("TCP4 localhost 10.0.0.1 1 2"),
            line("TCP4 192.0.2.1 10.0.0.1 1 2\n"),
            line("TCP4 \u{1b}[2J 10.0.0.1 1 2"),
            b"PROXY TCP4 \xFF\xFF\r\n".to_vec(),
            [b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat(),
            v2(0x11, 0x11, &FOUR),
            v2(0x22, 0x11, &FOUR),
            v2(0x21, 0x11, &FOUR[..11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x12, &FOUR),
            v2(0x21, 0x31, &[0; 216]),
            v2(0x21, 0x11, &[0; MAX_LENGTH - FIXED + 1]),
            [SIGNATURE, &[0x21, 0x11, 0xFF, 0xFF]].concat(),
        ];
        for bytes in cases {
            assert!(matches!(parse(&bytes), Parsed::Malformed(_)), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn random_bytes_never_panic_and_never_claim_more_than_there_is() {
        let mut state = 7_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for _ in 0..200_000 {
            let (mut bytes, _) = valid().swap_remove(random() % 12);
            for _ in 0..random() % 4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(random() % (bytes.len() + 1));
            if let Parsed::Whole { length, .. } = parse(&bytes) {
                assert!(length <= bytes.len() && length <= MAX_LENGTH, "{bytes:?}");
            }
        }
    }
}
