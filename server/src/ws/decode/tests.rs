use super::*;

const LIMITS: Limits = Limits { max_message: 1000, deflate: false, binary: false };

/// A client frame; `first` is FIN, reserved bits and opcode.
fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..126) => out.push(0x80 | short as u8),
        Ok(medium) => {
            out.push(0x80 | 126);
            out.extend(medium.to_be_bytes());
        }
        Err(_) => {
            out.push(0x80 | 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    out.extend(mask);
    out.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]));
    out
}

/// Feeds `bytes` in pieces and tells what came out.
fn run(bytes: &[u8], piece: usize) -> Result<Vec<String>, Violation> {
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    for piece in bytes.chunks(piece) {
        let flow = decoder.decode(&mut piece.to_vec(), LIMITS, &mut |event| {
            seen.push(format!("{event:?}"));
            ControlFlow::Continue(())
        })?;
        if flow.is_break() {
            break;
        }
    }
    Ok(seen)
}

#[test]
fn messages_arrive_whole_however_the_bytes_are_cut() {
    let mut bytes = client(0x81, b"hello");
    bytes.extend(client(0x01, b"frag"));
    bytes.extend(client(0x89, b"p"));
    bytes.extend(client(0x80, &b"ment".repeat(50)));
    bytes.extend(client(0x88, &[3, 232]));
    let whole = run(&bytes, bytes.len()).unwrap();
    assert_eq!(whole[0], "Text(\"hello\")");
    assert_eq!(whole[1], "Ping([112])");
    assert!(whole[2].starts_with("Text(\"fragmentment"));
    assert_eq!(whole[3], "Close(true)");
    for piece in 1..40 {
        assert_eq!(run(&bytes, piece).unwrap(), whole, "in pieces of {piece}");
    }
}

#[test]
fn nothing_is_kept_once_a_message_is_whole() {
    let mut decoder = Decoder::default();
    for byte in client(0x81, b"hello") {
        let _ = decoder.decode(&mut [byte], LIMITS, &mut |_| ControlFlow::Continue(())).unwrap();
    }
    assert_eq!(decoder.unfinished_since(0), None);
}

#[test]
fn what_the_rfc_forbids_is_a_protocol_error() {
    let unmasked = vec![0x81, 1, b'x'];
    let one_byte_close = client(0x88, &[3]);
    let long_ping = client(0x89, &[0; 126]);
    for (what, bytes) in [
        ("unmasked", unmasked),
        ("reserved bit", client(0xC1, b"x")),
        ("reserved opcode", client(0x83, b"x")),
        ("reserved control", client(0x8B, b"x")),
        ("fragmented ping", client(0x09, b"x")),
        ("long ping", long_ping),
        ("continuation of nothing", client(0x80, b"x")),
        ("message inside a message", [client(0x01, b"a"), client(0x81, b"b")].concat()),
        ("close of one byte", one_byte_close),
        ("close code 1005", client(0x88, &1005u16.to_be_bytes())),
        ("close code 999", client(0x88, &999u16.to_be_bytes())),
    ] {
        for piece in [1, 3, 1000] {
            let refused = matches!(run(&bytes, piece), Err(Violation::Protocol(_)));
            assert!(refused, "{what} in pieces of {piece}");
        }
    }
}

#[test]
fn too_big_is_refused_by_the_header_alone() {
    let header = [0x81, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    assert_eq!(run(&header, 100), Err(Violation::TooBig));
    assert_eq!(run(&client(0x81, &[b'x'; 1001])[..8], 100), Err(Violation::TooBig));
    assert!(run(&client(0x81, &[b'x'; 1000]), 100).is_ok());
    let fragments = [client(0x01, &[b'x'; 600]), client(0x80, &[b'x'; 401])].concat();
    assert_eq!(run(&fragments, 2000), Err(Violation::TooBig));
}

#[test]
fn binary_and_broken_utf8_have_codes_of_their_own() {
    assert_eq!(run(&client(0x82, b"x"), 100), Err(Violation::Binary));
    assert_eq!(run(&client(0x81, &[0xff]), 100), Err(Violation::Utf8));
    assert_eq!(run(&client(0x88, &[3, 232, 0xff]), 100), Err(Violation::Utf8));
}

/// After how many pieces text that is not UTF-8 is refused.
fn refused_after(pieces: &[&[u8]]) -> Option<usize> {
    let mut decoder = Decoder::default();
    let mut decode = |piece: &[u8]| decoder.decode(&mut piece.to_vec(), LIMITS, &mut |_| ControlFlow::Continue(()));
    pieces.iter().position(|piece| decode(piece) == Err(Violation::Utf8)).map(|index| index + 1)
}

#[test]
fn text_that_is_wrong_already_is_not_waited_for() {
    // Beyond the last code point, behind a character that is cut and one that is whole.
    let (start, wrong, end) = (&b"\xce\xba\xe1\xbd"[..], &b"\xb9\xf4\x90\x80\x80"[..], &b"edited"[..]);
    let fragments = [client(0x01, start), client(0x00, wrong), client(0x80, end)];
    let fragments: Vec<&[u8]> = fragments.iter().map(Vec::as_slice).collect();
    assert_eq!(refused_after(&fragments), Some(2), "in fragments");
    let frame = client(0x81, &[start, wrong, end].concat());
    let (head, body) = frame.split_at(6);
    assert_eq!(refused_after(&[head, &body[..4], &body[4..7], &body[7..]]), Some(3), "in pieces of one frame");
    let last = client(0x80, &[wrong, end].concat());
    assert_eq!(refused_after(&[fragments[0], &last[..9], &last[9..]]), Some(2), "in pieces of the last fragment");
}

#[test]
fn binary_messages_are_for_who_takes_them() {
    let limits = Limits { binary: true, ..LIMITS };
    let bytes = [client(0x82, &[0xff]), client(0x02, b"a"), client(0x80, &[0xfe])].concat();
    for piece in 1..bytes.len() {
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for piece in bytes.chunks(piece) {
            let _ = decoder.decode(&mut piece.to_vec(), limits, &mut |event| {
                seen.push(format!("{event:?}"));
                ControlFlow::Continue(())
            });
        }
        assert_eq!(seen, ["Binary([255])", "Binary([97, 254])"], "in pieces of {piece}");
    }
}
