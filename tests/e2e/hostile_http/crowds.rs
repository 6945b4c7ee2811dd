//! Many at a time: idle, hasty, or each with as much as a request may hold.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use socket2::SockRef;

use super::attack::{KIB, MIB, attack, connections, memory, read_as_witness, turn};
use super::wire::{answer, answers, connect};
use crate::support::{Client, TestVault, say, wait_until};

/// Connections that a server takes at most.
const MOST: usize = 10_000;

/// Open files that tests and server need for other things.
const OTHER_FILES: usize = 500;

/// Opens the limit of this process as far as the system lets, and says how many connections a
/// server that does the same will take.
fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, all).expect("what is allowed anyway");
    let files = limit.maximum.map_or(usize::MAX, |it| it as usize);
    let most = MOST.min(files - OTHER_FILES);
    if most < MOST {
        say(&format!(
            "the limit of open files allows {most} of {MOST} connections"
        ));
    }
    most
}

/// Connections that have been of use once, and may be again. Many at a time, so that all are there
/// before the first has been idle for too long.
fn idle(vault: &TestVault, count: usize) -> Vec<TcpStream> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let begin = all.len();
        for _ in 0..(count - begin).min(500) {
            let mut stream = connect(vault);
            let request = b"GET /v1/sys/leader HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(request).expect("sent");
            all.push(stream);
        }
        for stream in &mut all[begin..] {
            assert_eq!(answer(stream).status, 200);
        }
    }
    all
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_keep_nobody_out() {
    let _turn = turn();
    let most = most_connections();
    let (vault, root) = TestVault::with_kv();
    let before = memory(&vault);
    attack(&vault, &root, 40 * KIB * most as u64, || {
        // Below the server's limit all stay.
        let held = idle(&vault, most - 100);
        let grown = memory(&vault).saturating_sub(before);
        assert!(connections(&vault) >= held.len());
        let each = grown / held.len() as u64;
        assert!(each <= 32 * KIB, "{each} bytes for each connection");
        // Beyond it they make room for each other, and for those who have something to ask.
        let more = idle(&vault, 300);
        for _ in 0..10 {
            read_as_witness(&vault, &root);
        }
        drop((held, more));
    });
}

#[test]
fn a_flood_of_resets_leaves_nothing_behind() {
    let (vault, root) = TestVault::with_kv();
    let whole = format!(
        "GET /v1/secret/data/witness HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {}\r\n\r\n",
        root.token()
    );
    let body = format!(
        "PUT /v1/secret/data/a HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {}\r\nContent-Length: 1000\r\n\r\n{{",
        root.token()
    );
    attack(&vault, &root, 32 * MIB, || {
        for _ in 0..1_000 {
            for begin in ["", "GET /v1/sys", &whole, &whole.repeat(5), &body] {
                let mut stream = connect(&vault);
                stream.write_all(begin.as_bytes()).expect("sent");
                // Closed by a reset, whatever is on its way.
                let socket = SockRef::from(&stream);
                socket.set_linger(Some(Duration::ZERO)).expect("an option");
            }
        }
    });
    assert_eq!(root.get("secret/data/a").status, 404, "nothing was written");
}

/// The largest body there may be, as JSON for KV.
fn largest_body() -> Vec<u8> {
    let (begin, end) = (&b"{\"data\":{\"k\":\""[..], &b"\"}}"[..]);
    let filling = vec![b'x'; 32 * MIB as usize - begin.len() - end.len()];
    [begin, &filling, end].concat()
}

/// What the answer of each of 64 clients says who send the largest body at the same time, every
/// other one without a token. 0 where the answer is lost: the server does not read what it refused.
fn many_largest(vault: &TestVault, root: &Client) -> Vec<u16> {
    let body = largest_body();
    let send = |token: &str| {
        let head = format!(
            "PUT /v1/secret/data/large HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {token}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = connect(vault);
        stream.write_all(head.as_bytes()).expect("sent");
        // Who finds no room is told so, and not read to its end.
        let _ = stream.write_all(&body);
        answers(&mut stream)
            .first()
            .map_or(0, |answer| answer.status)
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..64)
            .map(|at| match at % 2 {
                0 => scope.spawn(|| send(root.token())),
                _ => scope.spawn(|| send("stranger")),
            })
            .collect();
        let told = clients.into_iter().map(|it| it.join().expect("no hang"));
        told.collect()
    })
}

#[test]
fn many_of_the_largest_bodies_at_a_time_do_not_fill_memory() {
    let _turn = turn();
    let (vault, root) = TestVault::with_kv();
    // The 512 MiB that there are for bodies, and as much for what was parsed of them.
    attack(&vault, &root, 1024 * MIB, || {
        let told = many_largest(&vault, &root);
        // More than an engine takes, no token, no room, and none in time on a machine that is busy.
        let known = |status: &u16| [400, 403, 503, 408, 0].contains(status);
        assert!(told.iter().all(known), "{told:?}");
        // Some had room, so that there was none for others.
        let count = |statuses: &[u16]| told.iter().filter(|it| statuses.contains(it)).count();
        assert!(count(&[400, 403]) > 0, "{told:?}");
        assert!(count(&[503]) > 0, "{told:?}");
    });
    // What was taken for the bodies is given back.
    wait_until("a large body is taken again", || {
        let value = "x".repeat(1 << 20);
        let body = json!({"data": {"k": value}});
        root.put("secret/data/large", body).status == 200
    });
}
