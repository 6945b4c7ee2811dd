//! Those who take their time: each has a deadline, whatever it sends meanwhile.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::attack::{MIB, PATIENCE, attack};
use super::tls;
use super::wire::{answers, connect, until_closed};
use crate::support::{Client, TestVault};

/// Slow senders at a time.
const CROWD: usize = 100;

/// Sends each of `streams` one more byte now and then until the server has closed it.
fn dribble(streams: &mut [TcpStream], byte: &[u8]) {
    let began = Instant::now();
    let mut open: Vec<&mut TcpStream> = streams.iter_mut().collect();
    for stream in &open {
        stream.set_nonblocking(true).expect("a mode");
    }
    while !open.is_empty() {
        assert!(began.elapsed() < PATIENCE, "{} are still there", open.len());
        // What the server closed takes one byte more, answers with a reset, and takes no other.
        open.retain_mut(|stream| stream.write_all(byte).is_ok());
        std::thread::sleep(Duration::from_millis(250));
    }
    for stream in streams {
        stream.set_nonblocking(false).expect("a mode");
    }
}

fn crowd(vault: &TestVault, begin: &[u8]) -> Vec<TcpStream> {
    let connected = std::iter::repeat_with(|| {
        let mut stream = connect(vault);
        stream.write_all(begin).expect("sent");
        stream
    });
    connected.take(CROWD).collect()
}

fn send_headers_byte_by_byte(vault: &TestVault) {
    let begin = b"GET /v1/sys/leader HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    dribble(&mut crowd(vault, begin), b"a");
}

fn send_a_body_byte_by_byte(vault: &TestVault, root: &Client) {
    let begin = format!(
        "POST /v1/secret/data/a HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {}\r\nContent-Length: 1000000\r\n\r\n{{",
        root.token()
    );
    // What the server says before it closes would be lost to whoever goes on sending.
    let mut quiet = crowd(vault, begin.as_bytes());
    let mut slow = crowd(vault, begin.as_bytes());
    dribble(&mut slow, b" ");
    for stream in &mut quiet {
        let statuses: Vec<u16> = answers(stream).iter().map(|it| it.status).collect();
        assert_eq!(statuses, [408]);
    }
}

fn never_finish_a_handshake(vault: &TestVault) {
    // A record that promises 512 bytes of a hello, and the first of them.
    let half: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let mut all = Vec::new();
    for begin in [b"", half] {
        for _ in 0..CROWD {
            let mut stream = tls::connect(vault);
            stream.write_all(begin).expect("sent");
            all.push(stream);
        }
    }
    for stream in &mut all {
        assert!(until_closed(stream).is_empty(), "it has nothing to say");
    }
}

#[test]
fn who_is_slow_with_headers_bodies_or_handshakes_is_cut_off() {
    let (vault, root, _) = tls::vault();
    attack(&vault, &root, 48 * MIB, || {
        // Side by side: all that each does is wait.
        std::thread::scope(|scope| {
            scope.spawn(|| send_headers_byte_by_byte(&vault));
            scope.spawn(|| send_a_body_byte_by_byte(&vault, &root));
            scope.spawn(|| never_finish_a_handshake(&vault));
        });
    });
    assert_eq!(root.get("secret/data/a").status, 404, "nothing was written");
}
