//! HTTP/2, frame by frame: floods that cost their sender nothing, and frames that break the rules.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use rustls::RootCertStore;

use super::attack::{KIB, MIB, attack};
use super::tls::{TlsStream, handshake, vault};
use super::wire::timed_out;
use crate::support::TestVault;

/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Flags.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What the server may say at the end of a connection.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Streams at a time that the server takes on one connection.
const MOST_STREAMS: usize = 128;

/// What a flood may make the server's memory grow by: its buffers for one connection, and room.
const FLOOD_BYTES: u64 = 32 * MIB;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A header that the tables know nothing of, and that they do not keep.
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        assert!(text.len() < 127, "one byte for the length");
        block.push(text.len() as u8);
        block.extend_from_slice(text.as_bytes());
    }
    block
}

/// The head of a request for `sys/leader`.
fn head(method: &str) -> Vec<u8> {
    head_for(method, "/v1/sys/leader")
}

fn head_for(method: &str, path: &str) -> Vec<u8> {
    [
        header(":method", method),
        header(":scheme", "https"),
        header(":authority", "localhost"),
        header(":path", path),
    ]
    .concat()
}

fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET"))
}

/// A connection that has begun.
fn begin(vault: &TestVault, trusted: &RootCertStore) -> TlsStream {
    let mut stream = handshake(vault, trusted, "h2");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    stream.write_all(preface).expect("sent");
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).expect("sent");
    stream
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// By GOAWAY, with its error.
    Told(u32),
    /// Without a word, or it was lost when the server closed over what it had not read.
    Closed,
    /// The server neither reads nor ends it: it waits until its own words are read.
    Full,
    /// It goes on.
    Open,
}

/// Sends the same over and over, `times` at most, and never reads: then, what the end was.
fn flood(stream: &mut TlsStream, times: usize, mut next: impl FnMut(usize) -> Vec<u8>) -> End {
    let patience = Some(Duration::from_secs(5));
    stream.sock.set_write_timeout(patience).expect("a timeout");
    for time in 0..times {
        match stream.write_all(&next(time)) {
            Ok(()) => {}
            Err(err) if timed_out(&err) => return End::Full,
            Err(_) => return last_words(stream),
        }
    }
    // Whether it is still there: it answers a ping, and a connection that has ended does not.
    match stream.write_all(&frame(PING, 0, 0, LAST)) {
        Err(err) if timed_out(&err) => End::Full,
        _ => last_words(stream),
    }
}

/// What is in the last ping.
const LAST: &[u8] = b"the last";

/// Reads to the end, or to the answer of the last ping.
fn last_words(stream: &mut TlsStream) -> End {
    while let Some(said) = next_frame(stream) {
        match (said.kind, said.payload.get(4..8)) {
            (GO_AWAY, Some(code)) => {
                let code: [u8; 4] = code.try_into().expect("four bytes");
                // Without an error it only says that there will be an end.
                if code != [0; 4] {
                    return End::Told(u32::from_be_bytes(code));
                }
            }
            (PING, _) if said.payload == LAST => return End::Open,
            _ => {}
        }
    }
    End::Closed
}

/// What the server sends.
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The next, or none when the connection is closed. A server that says nothing hangs.
fn next_frame(stream: &mut TlsStream) -> Option<Frame> {
    let mut head = [0; 9];
    read(stream, &mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    read(stream, &mut payload)?;
    Some(Frame {
        kind: head[3],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        payload,
    })
}

fn read(stream: &mut TlsStream, bytes: &mut [u8]) -> Option<()> {
    let read = stream.read_exact(bytes);
    if let Err(err) = &read {
        assert!(!timed_out(err), "it hangs");
    }
    read.ok()
}

/// Floods one connection, which must end in one of the `expected` ways.
fn check(expected: &[End], times: usize, next: impl FnMut(usize) -> Vec<u8>) {
    let (vault, root, trusted) = vault();
    attack(&vault, &root, FLOOD_BYTES, || {
        let mut stream = begin(&vault, &trusted);
        let end = flood(&mut stream, times, next);
        assert!(expected.contains(&end), "{end:?}");
    });
    serves(&vault, &trusted);
}

/// A connection with good manners is served.
fn serves(vault: &TestVault, trusted: &RootCertStore) {
    let mut stream = begin(vault, trusted);
    stream.write_all(&request(1)).expect("sent");
    assert_eq!(first_word_on(&mut stream, 1), Word::Served);
}

/// Ids of streams that a client opens.
fn odd(time: usize) -> u32 {
    time as u32 * 2 + 1
}

#[test]
fn a_rapid_reset_ends_the_connection() {
    // CVE-2023-44487.
    let ends = [End::Told(ENHANCE_YOUR_CALM), End::Closed];
    check(&ends, 100_000, |time| {
        let cancel = 8u32.to_be_bytes();
        [request(odd(time)), frame(RST_STREAM, 0, odd(time), &cancel)].concat()
    });
}

#[test]
fn making_the_server_reset_ends_the_connection() {
    // CVE-2025-8671: each stream is broken by a window of no width.
    let ends = [End::Told(ENHANCE_YOUR_CALM), End::Closed];
    check(&ends, 100_000, |time| {
        let none = 0u32.to_be_bytes();
        let open = frame(HEADERS, END_HEADERS, odd(time), &head("POST"));
        [open, frame(WINDOW_UPDATE, 0, odd(time), &none)].concat()
    });
}

#[test]
fn a_head_without_an_end_ends_the_connection() {
    // CVE-2024-27316 and its like.
    let ends = [
        End::Told(ENHANCE_YOUR_CALM),
        End::Told(COMPRESSION_ERROR),
        End::Told(PROTOCOL_ERROR),
        End::Closed,
    ];
    let filling = header("x-filling", &"a".repeat(100)).repeat(100);
    check(&ends, 50_000, |time| match time {
        0 => frame(HEADERS, END_STREAM, 1, &head("GET")),
        _ => frame(CONTINUATION, 0, 1, &filling),
    });
}

#[test]
fn a_head_of_empty_frames_ends_the_connection() {
    let ends = [
        End::Told(ENHANCE_YOUR_CALM),
        End::Told(PROTOCOL_ERROR),
        End::Closed,
    ];
    check(&ends, 200_000, |time| match time {
        0 => frame(HEADERS, END_STREAM, 1, &head("GET")),
        _ => frame(CONTINUATION, 0, 1, &[]),
    });
}

#[test]
fn a_flood_of_settings_or_pings_does_not_fill_memory() {
    // CVE-2019-9512 and 9515: each asks for an answer, and none is read.
    let ends = || [End::Told(ENHANCE_YOUR_CALM), End::Closed, End::Full];
    check(&ends(), 2_000_000, |_| frame(SETTINGS, 0, 0, &[]));
    check(&ends(), 2_000_000, |_| frame(PING, 0, 0, b"an echo."));
}

#[test]
fn a_flood_of_empty_data_ends_the_connection() {
    // CVE-2019-9518.
    let ends = [End::Told(ENHANCE_YOUR_CALM), End::Closed];
    check(&ends, 1_000_000, |time| match time {
        0 => frame(HEADERS, END_HEADERS, 1, &head("POST")),
        _ => frame(DATA, 0, 1, &[]),
    });
}

#[test]
fn more_streams_than_may_be_are_refused() {
    // Open and never finished, as uploads that wait: each over the limit is refused, and no other.
    const MORE: usize = 50;
    let (vault, root, trusted) = vault();
    attack(&vault, &root, FLOOD_BYTES, || {
        let mut stream = begin(&vault, &trusted);
        for time in 0..MOST_STREAMS + MORE {
            stream.write_all(&upload(time)).expect("sent");
        }
        stream.write_all(&frame(PING, 0, 0, LAST)).expect("sent");
        let mut refused = Vec::new();
        while let Some(said) = next_frame(&mut stream) {
            match said.kind {
                RST_STREAM => {
                    assert_eq!(said.payload, REFUSED_STREAM.to_be_bytes());
                    refused.push(said.stream);
                }
                HEADERS => panic!("stream {} is answered", said.stream),
                PING => break,
                _ => {}
            }
        }
        let over: Vec<u32> = (MOST_STREAMS..MOST_STREAMS + MORE).map(odd).collect();
        assert_eq!(refused, over);
    });
    serves(&vault, &trusted);
    // Many refusals are the end.
    check(&[End::Told(ENHANCE_YOUR_CALM), End::Closed], 2_000, upload);
}

/// A request whose body never comes.
fn upload(time: usize) -> Vec<u8> {
    let head = head_for("POST", "/v1/secret/data/a");
    frame(HEADERS, END_HEADERS, odd(time), &head)
}

#[test]
fn a_head_that_unpacks_to_much_is_refused() {
    // Kept once in the table, then named by one byte, over and over.
    let (vault, root, trusted) = vault();
    attack(&vault, &root, FLOOD_BYTES, || {
        let mut stream = begin(&vault, &trusted);
        let large = "a".repeat(4_000);
        // A literal that the table keeps; its length of 4,000 in HPACK's own way.
        let mut kept = vec![0x40, 1, b'x', 0x7f];
        let mut rest = large.len() - 0x7f;
        while rest >= 0x80 {
            kept.push((rest % 0x80 + 0x80) as u8);
            rest /= 0x80;
        }
        kept.push(rest as u8);
        kept.extend_from_slice(large.as_bytes());
        // 62 is the entry that came last: 4 KiB for each byte, 40 MiB for each head.
        let bomb = [head("GET"), kept, vec![0x80 | 62; 10 * KIB as usize]].concat();
        let sent = frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
        stream.write_all(&sent).expect("sent");
        assert_eq!(first_word_on(&mut stream, 1), Word::Ended);
    });
    serves(&vault, &trusted);
}

#[test]
fn a_flood_of_priorities_and_windows_does_not_fill_memory() {
    let ends = || [End::Told(FLOW_CONTROL_ERROR), End::Closed, End::Open];
    let priority = [0, 0, 0, 1, 16];
    check(&ends(), 500_000, |time| {
        frame(PRIORITY, 0, odd(time % 1_000_000) + 2, &priority)
    });
    let wide = 0x7fff_ffffu32.to_be_bytes();
    check(&ends(), 500_000, |_| frame(WINDOW_UPDATE, 0, 0, &wide));
}

#[test]
fn frames_that_break_the_rules_end_the_connection() {
    let get = head("GET");
    let whole = END_HEADERS | END_STREAM;
    let four = 8u32.to_be_bytes();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("data on no stream", frame(DATA, 0, 0, b"x")),
        ("data on a stream that is not open", frame(DATA, 0, 1, b"x")),
        ("a head on no stream", frame(HEADERS, whole, 0, &get)),
        (
            "a head on the server's stream",
            frame(HEADERS, whole, 2, &get),
        ),
        (
            "a continuation of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &get),
        ),
        ("a reset of no stream", frame(RST_STREAM, 0, 0, &four)),
        (
            "a reset of a stream that is not open",
            frame(RST_STREAM, 0, 1, &four),
        ),
        (
            "a promise of a client",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
        ),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
        ("settings of half a pair", frame(SETTINGS, 0, 0, &[0; 5])),
        (
            "an answer to settings with some",
            frame(SETTINGS, 1, 0, &[0; 6]),
        ),
        ("a ping of seven bytes", frame(PING, 0, 0, &[0; 7])),
        ("a ping of a stream", frame(PING, 0, 1, &[0; 8])),
        (
            "a window of three bytes",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
        ),
        ("a window of no width", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        (
            "a window too wide",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        ),
        ("a frame beyond measure", frame(DATA, 0, 1, &[0; 20_000])),
        (
            "an entry that no table has",
            frame(HEADERS, whole, 1, &[0x80 | 100]),
        ),
        (
            "a head cut short",
            frame(HEADERS, whole, 1, &get[..get.len() - 3]),
        ),
        (
            "more padding than frame",
            frame(HEADERS, whole | 8, 1, &[200, 0]),
        ),
        (
            "a ping within a head",
            [
                frame(HEADERS, END_STREAM, 1, &get),
                frame(PING, 0, 0, &[0; 8]),
            ]
            .concat(),
        ),
        (
            "a stream lower than the last",
            [request(3), request(1)].concat(),
        ),
        ("a head twice", [request(1), request(1)].concat()),
    ];
    let (vault, root, trusted) = vault();
    attack(&vault, &root, FLOOD_BYTES, || {
        let mut wrong = String::new();
        for (name, bytes) in cases {
            let mut stream = begin(&vault, &trusted);
            let end = flood(&mut stream, 1, |_| bytes.clone());
            if !matches!(end, End::Told(_) | End::Closed) {
                wrong += &format!("{name}: {end:?}\n");
            }
        }
        assert!(wrong.is_empty(), "\n{wrong}");
    });
    serves(&vault, &trusted);
}

#[test]
fn heads_that_break_the_rules_are_reset_and_never_served() {
    // What HTTP/2 forbids because HTTP/1 would read it as framing, and what is there twice.
    let with = |more: &[(&str, &str)]| {
        let more = more.iter().map(|(name, value)| header(name, value));
        [head("GET")]
            .into_iter()
            .chain(more)
            .flatten()
            .collect::<Vec<u8>>()
    };
    let cases = [
        ("a coding", with(&[("transfer-encoding", "chunked")])),
        ("a connection's own", with(&[("connection", "close")])),
        ("an upgrade", with(&[("upgrade", "h2c")])),
        ("capitals", with(&[("X-Capital", "x")])),
        ("a line end in a value", with(&[("x", "a\r\nx: b")])),
        ("NUL in a value", with(&[("x", "a\0b")])),
        ("a blank in a name", with(&[("x y", "a")])),
        ("a colon in a name", with(&[("x:y", "a")])),
        ("no name", with(&[("", "a")])),
        ("two paths", with(&[(":path", "/v1/sys/leader")])),
        (
            "a path after a header",
            [with(&[("x", "a")]), header(":path", "/")].concat(),
        ),
        ("a status", with(&[(":status", "200")])),
        ("no path", header(":method", "GET")),
        ("a length that is wrong", with(&[("content-length", "5")])),
    ];
    let (vault, root, trusted) = vault();
    attack(&vault, &root, FLOOD_BYTES, || {
        let mut wrong = String::new();
        for (name, block) in cases {
            let mut stream = begin(&vault, &trusted);
            let bytes = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
            stream.write_all(&bytes).expect("sent");
            match first_word_on(&mut stream, 1) {
                Word::Refused | Word::Ended => {}
                Word::Served => wrong += &format!("{name}: it was served\n"),
            }
        }
        assert!(wrong.is_empty(), "\n{wrong}");
        // The same head without anything wrong in it is answered: the cases above prove something.
        let mut stream = begin(&vault, &trusted);
        stream.write_all(&request(1)).expect("sent");
        assert_eq!(first_word_on(&mut stream, 1), Word::Served);
    });
}

/// What the server says of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    /// 200.
    Served,
    /// It is reset, or answered with another status.
    Refused,
    /// The connection is closed.
    Ended,
}

fn first_word_on(stream: &mut TlsStream, id: u32) -> Word {
    /// Status 200, as the static table has it.
    const OK: u8 = 0x88;
    while let Some(said) = next_frame(stream) {
        match said.kind {
            HEADERS if said.stream == id && said.payload.first() == Some(&OK) => {
                return Word::Served;
            }
            HEADERS | RST_STREAM if said.stream == id => return Word::Refused,
            _ => {}
        }
    }
    Word::Ended
}
