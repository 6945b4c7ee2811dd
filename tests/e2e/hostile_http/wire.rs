//! HTTP/1 by hand.

use std::io::{Error, ErrorKind, Read as _};
use std::net::TcpStream;

use super::attack::PATIENCE;
use crate::support::TestVault;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// A connection that panics rather than waits for ever.
pub(super) fn connect(vault: &TestVault) -> TcpStream {
    patient(TcpStream::connect(vault.address()).expect("it listens"))
}

/// The same of one that is there already.
pub(super) fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// All answers until the server closes the connection, which it must.
pub(super) fn answers(stream: &mut TcpStream) -> Vec<Answer> {
    let bytes = until_closed(stream);
    let mut rest = &bytes[..];
    let mut answers = Vec::new();
    while let Some((answer, after)) = first_answer(rest) {
        answers.push(answer);
        rest = after;
    }
    let rest = String::from_utf8_lossy(rest);
    assert!(rest.is_empty(), "no HTTP: {rest:?}, after {answers:?}");
    answers
}

/// All bytes until the server closes the connection. A reset closes it too: what it had to say
/// has come before.
pub(super) fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(err) if timed_out(&err) => {
            panic!("it hangs, after {:?}", String::from_utf8_lossy(&bytes))
        }
        _ => bytes,
    }
}

/// Whether the other side let the time pass, and the connection is there still.
pub(super) fn timed_out(err: &Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// One answer of a connection that stays open.
pub(super) fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let mut some = [0; 4096];
    loop {
        let count = stream.read(&mut some).expect("an answer");
        assert!(count > 0, "it closed the connection");
        bytes.extend_from_slice(&some[..count]);
        if let Some((answer, _)) = first_answer(&bytes) {
            return answer;
        }
    }
}

/// The first whole answer of `bytes`, and what follows it.
fn first_answer(bytes: &[u8]) -> Option<(Answer, &[u8])> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().expect("a length"));
    let body = bytes.get(end..end + length)?;
    let body = String::from_utf8_lossy(body).into_owned();
    Some((Answer { status, body }, &bytes[end + length..]))
}
