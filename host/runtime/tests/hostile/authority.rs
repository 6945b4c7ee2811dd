//! Guests that say what they should not: to the client, to the log, about themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use host_logical::{Ambient, EngineKind, Engines as _, Operation, Options};

use super::{Answers, Malformed, OverLimit, Refused, case, check};
use crate::support::{Grants, Guest, host, mounted, read, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_moves_no_cursor_and_a_header_ends_no_line() {
    // Text 0 as the refusal, and as the one warning.
    let refuses = "(i32.store8 (i32.const {reply}) (i32.const 1))
        (i32.store (i32.const {error.text}) (i32.const {text.0}))
        (i32.store offset=4 (i32.const {error.text}) (i32.const {text.0.len}))";
    let header = "(i32.store (i32.const 640) (i32.const {text.0}))
        (i32.store (i32.const 644) (i32.const {text.0.len}))
        (i32.store (i32.const 648) (i32.const {text.1}))
        (i32.store (i32.const 652) (i32.const {text.1.len}))"
        .to_owned()
        + &Guest::reply_list("headers", "640", "1");
    let with = |name: &[u8], value: &[u8]| Guest::new(&header).text(name).text(value);
    check(vec![
        case(
            "H45 refuses with colours and a carriage return",
            Guest::new(refuses).text("\x1b[2Jgone\rnot\u{2028}here\u{202e}".as_bytes()),
            Refused(r"\u{1b}[2Jgone\rnot\u{2028}here\u{202e}"),
        ),
        case(
            "H45a refuses in a megabyte",
            Guest::new(
                "(drop (memory.grow (i32.const 16)))
                (memory.fill (i32.const 131072) (i32.const 0x61) (i32.const 1048576))
                (i32.store8 (i32.const {reply}) (i32.const 1))
                (i32.store (i32.const {error.text}) (i32.const 131072))
                (i32.store offset=4 (i32.const {error.text}) (i32.const 1048576))",
            ),
            Refused("aaaa…"),
        ),
        case(
            "H45b ends a header's line",
            with(b"link", b"a\r\nset-cookie: b"),
            Malformed("value of header \"link\""),
        ),
        case(
            "H45c names a header with a colon",
            with(b"link:", b"a"),
            Malformed("header name \"link:\""),
        ),
        case("H45d sends a plain header", with(b"link", b"a"), Answers),
        case(
            "H45e sends a header of nine kilobytes",
            with(b"link", &[b'a'; 9000]),
            OverLimit("a header is larger than 8192 bytes"),
        ),
    ])
    .await;
}

/// A warning is shown on terminals, as a refusal is.
#[tokio::test]
async fn a_warning_moves_no_cursor_h45() {
    let warns = "(i32.store (i32.const 640) (i32.const {text.0}))
        (i32.store (i32.const 644) (i32.const {text.0.len}))"
        .to_owned()
        + &Guest::reply_list("warnings", "640", "1");
    let guest = Guest::new(&warns).text("one\ntwo\x1b]0;title\x07".as_bytes());
    let host = host();
    let engine = mounted(&host, &guest).await;
    let answer = Grants::default().handle(&engine, read()).await;
    let warnings = answer.expect("it answers").warnings;
    assert_eq!(warnings, ["one\ntwo\\u{1b}]0;title\\u{7}"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_has_its_shape_and_its_size() {
    let status = |status: u16| {
        Guest::new(&format!(
            "(i32.store16 (i32.const {{reply.status}}) (i32.const 1))
             (i32.store16 offset=2 (i32.const {{reply.status}}) (i32.const {status}))"
        ))
    };
    let data = |text: &[u8]| {
        let body = "(i32.store8 (i32.const {reply.data}) (i32.const 1))
            (i32.store offset=4 (i32.const {reply.data}) (i32.const {text.0}))
            (i32.store offset=8 (i32.const {reply.data}) (i32.const {text.0.len}))";
        Guest::new(body).text(text)
    };
    let deep = [[b'['; 200], [b']'; 200]].concat();
    let deep = [br#"{"a":"#.as_slice(), &deep, b"}"].concat();
    let some = |field: &str| {
        Guest::new(&format!(
            "(i32.store8 (i32.const {{reply.{field}}}) (i32.const 1))"
        ))
    };
    check(vec![
        case(
            "H40 answers status 101",
            status(101),
            Malformed("status 101"),
        ),
        case(
            "H40a answers status 600",
            status(600),
            Malformed("status 600"),
        ),
        case(
            "H40b answers an array for data",
            data(b"[]"),
            Malformed("`data` is JSON, but no object"),
        ),
        case(
            "H40c answers half an object",
            data(br#"{"a":"#),
            Malformed("`data` is not JSON"),
        ),
        case(
            "H40d answers data in Latin-1",
            data(b"{\"a\":\"\xe9\"}"),
            Malformed("`data` is not JSON"),
        ),
        case(
            "H40e nests 200 deep",
            data(&deep),
            Malformed("`data` is nested deeper than 100"),
        ),
        case(
            "H40f leases with nothing inside",
            some("lease"),
            Malformed("`internal` is not JSON"),
        ),
        case(
            "H40g logs in with nothing inside",
            some("auth"),
            Malformed("`internal` is not JSON"),
        ),
        case(
            "H40h warns 33 times",
            Guest::new(&Guest::reply_list("warnings", "131072", "33")),
            OverLimit("33 warnings, of 32 at most"),
        ),
    ])
    .await;
}

/// What it describes lies below its mount, whatever it is called there.
#[tokio::test]
async fn no_path_is_described_outside_the_mount_h44() {
    let host = host();
    let described = async |pattern: &str| {
        let guest = Guest::new("")
            .describe(
                "(i32.store (i32.const {pattern}) (i32.const {text.0}))
                (i32.store offset=4 (i32.const {pattern}) (i32.const {text.0.len}))",
            )
            .text(pattern.as_bytes());
        let engine = mounted(&host, &guest).await;
        engine.describe(&Options::new()).await.map(drop)
    };
    for (pattern, why) in [
        ("../sys/mounts", r#"segment "..""#),
        ("/sys/mounts", r#"segment """#),
        ("a/../../sys/{path...}", r#"segment "..""#),
        ("{..}/sys", r#"parameter "{..}""#),
    ] {
        let refused = described(pattern).await.expect_err(pattern).to_string();
        assert!(refused.contains(why), "{pattern}: {refused}");
    }
    // One may have a `sys` of its own.
    described("sys/{path...}")
        .await
        .expect("it is below the mount");
}

/// Chance that differs at every call.
struct Dice(AtomicU8);

#[async_trait]
impl Ambient for Dice {
    fn now_millis(&self) -> u64 {
        0
    }

    fn fill_random(&self, buf: &mut [u8]) {
        buf.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }

    async fn sleep(&self, _: Duration) {}
}

/// Chance that was baked in when a component was made (a snapshot of an interpreter whose generator
/// was already seeded) is the same in every instance. That is what gives it away: fresh instances
/// that say the same where the host's dice do not.
#[tokio::test]
async fn baked_in_randomness_is_told_by_two_fresh_instances() {
    let answers_sixteen_letters = "(i32.store8 (i32.const {reply.data}) (i32.const 1))
        (i32.store offset=4 (i32.const {reply.data}) (i32.const {text.0}))
        (i32.store offset=8 (i32.const {reply.data}) (i32.const {text.0.len}))";
    // The byte at 640, as a letter, in text 0.
    let says = "(i32.store8 offset=6 (i32.const {text.0})
        (i32.add (i32.const 97) (i32.and (i32.load8_u (i32.const 640)) (i32.const 15))))";
    let baked = "(i32.store8 (i32.const 640) (i32.rem_u (i32.mul (global.get $seed) (i32.const 16807)) (i32.const 127)))
        (global.set $seed (i32.load8_u (i32.const 640)))";
    let honest = "(call $random (i32.const 16) (i32.const 652))
        (i32.store8 (i32.const 640) (i32.load8_u (i32.load (i32.const 652))))";
    let seed = "(global $seed (mut i32) (i32.const 42))";
    let host = host();
    let mut same = Vec::new();
    for (name, draws) in [("baked", baked), ("honest", honest)] {
        let guest = Guest::new(&format!("{draws} {says} {answers_sixteen_letters}"))
            .functions(seed)
            .text(br#"{"a":"?"}"#);
        host.register(EngineKind::Secrets, name, "1.0.0", guest.component())
            .expect("the guest is admitted");
        let engine = host.engine(EngineKind::Secrets, name).await;
        let engine = engine.expect("it loads").expect("it was registered");
        let dice: Arc<dyn Ambient> = Arc::new(Dice(AtomicU8::new(0)));
        let mut answers = Vec::new();
        for _ in 0..2 {
            let mut imports = Grants::default().imports();
            imports.ambient = Arc::clone(&dice);
            let mut call = engine.open(imports).await.expect("it opens");
            let answer = call.handle(request(Operation::Read, "dice")).await;
            answers.push(answer.expect("it answers").data.expect("it has data"));
        }
        same.push(answers[0].get() == answers[1].get());
    }
    assert_eq!(same, [true, false]);
}
