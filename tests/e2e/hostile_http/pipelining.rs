//! Many requests on one connection, sent before the first is answered.

use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use serde_json::Value;

use super::attack::{MIB, attack};
use super::wire::{answers, connect};
use crate::support::TestVault;

fn request(token: &str, method: &str, path: &str, body: &str, more: &str) -> String {
    format!(
        "{method} /v1/{path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {token}\r\nContent-Length: {}\r\n{more}\r\n{body}",
        body.len()
    )
}

#[test]
fn pipelined_requests_are_all_answered_and_in_their_order() {
    const ROUNDS: usize = 100;
    let (vault, root) = TestVault::with_kv();
    let token = root.token();
    let mut all = String::new();
    for round in 0..ROUNDS {
        let body = format!("{{\"data\":{{\"n\":{round}}}}}");
        all += &request(token, "PUT", "secret/data/a", &body, "");
        all += &request(token, "GET", "secret/data/a", "", "");
        all += &request(token, "GET", &format!("nowhere-{round}"), "", "");
    }
    all += &request(token, "GET", "sys/leader", "", "Connection: close\r\n");
    let mut stream = connect(&vault);
    stream.write_all(all.as_bytes()).expect("sent");
    let answers = answers(&mut stream);
    assert_eq!(answers.len(), ROUNDS * 3 + 1);
    for (round, answers) in answers.chunks_exact(3).enumerate() {
        let body = |at: usize| -> Value { serde_json::from_str(&answers[at].body).expect("JSON") };
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 200, 404], "{round}: {answers:?}");
        assert_eq!(body(0)["data"]["version"], round + 1);
        assert_eq!(body(1)["data"]["data"]["n"], round);
        assert!(answers[2].body.contains(&format!("nowhere-{round}\\\".")));
    }
}

#[test]
fn who_does_not_read_its_answers_is_not_answered_further() {
    // Many times what the system's buffers hold, of requests and of answers.
    const REQUESTS: usize = 20_000;
    let (vault, root) = TestVault::with_kv();
    let padding = format!("X-Padding: {}\r\n", "x".repeat(4096));
    let large = request(
        root.token(),
        "GET",
        "sys/internal/specs/openapi",
        "",
        &padding,
    );
    attack(&vault, &root, 64 * MIB, || {
        let mut stream = connect(&vault);
        let patience = Some(Duration::from_secs(5));
        stream.set_write_timeout(patience).expect("a timeout");
        let refused = (0..REQUESTS).find_map(|_| stream.write_all(large.as_bytes()).err());
        let kind = refused.expect("the server stops reading").kind();
        assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut));
    });
}
