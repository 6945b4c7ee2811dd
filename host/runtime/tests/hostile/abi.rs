//! Guests that lie about types: what the canonical ABI does not allow never becomes a value of the
//! host, and what is only odd harms the guest alone.

use host_logical::{EngineKind, Engines as _};

use super::computing::after_the_answer;
use super::{Answers, Malformed, Trapped, case, check};
use crate::support::{Grants, Guest, host, read};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_is_not_utf_8_is_no_text() {
    const NO_TEXT: super::Verdict = Malformed("utf-8");
    let key = "(call $get (i32.const {text.0}) (i32.const {text.0.len}) (i32.const 640))";
    let get = |bytes: &[u8]| Guest::new(key).text(bytes);
    let warning = "(i32.store (i32.const 640) (i32.const {text.0}))
        (i32.store (i32.const 644) (i32.const {text.0.len}))"
        .to_owned()
        + &Guest::reply_list("warnings", "640", "1");
    let refusal = "(i32.store8 (i32.const {reply}) (i32.const 1))
        (i32.store (i32.const {error.text}) (i32.const {text.0}))
        (i32.store offset=4 (i32.const {error.text}) (i32.const {text.0.len}))";
    check(vec![
        case(
            "H21 asks for a key of two stray bytes",
            get(b"\xff\xff"),
            NO_TEXT,
        ),
        case("H21a of a NUL in two bytes", get(b"\xc0\x80"), NO_TEXT),
        case("H21b of half a surrogate", get(b"\xed\xa0\x80"), NO_TEXT),
        case("H21c of half a character", get(b"\xe2\x82"), NO_TEXT),
        case(
            "H21d warns in it",
            Guest::new(&warning).text(b"a\xff"),
            NO_TEXT,
        ),
        case(
            "H21e refuses in it",
            Guest::new(refusal).text(b"a\xff"),
            NO_TEXT,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_aligned_or_no_case_is_not_read() {
    check(vec![
        case(
            "H22 answers at an odd address",
            Guest::new("(return (i32.const 1025))"),
            Malformed("not aligned"),
        ),
        case(
            "H22a answers a list at an odd address",
            Guest::new(&Guest::reply_list("warnings", "641", "1")),
            Malformed("not aligned"),
        ),
        case(
            "H22b wants its result at an odd address",
            Guest::new("(call $get (i32.const 640) (i32.const 1) (i32.const 641))"),
            Malformed("not aligned"),
        ),
        case(
            "H23 answers neither ok nor error",
            Guest::new("(i32.store8 (i32.const {reply}) (i32.const 2))"),
            Malformed("invalid"),
        ),
        case(
            "H23a answers neither none nor some",
            Guest::new("(i32.store8 (i32.const {reply.data}) (i32.const 2))"),
            Malformed("invalid"),
        ),
        case(
            "H23b answers an error that there is not",
            Guest::new(
                "(i32.store8 (i32.const {reply}) (i32.const 1))
                (i32.store8 (i32.const {error}) (i32.const 200))",
            ),
            Malformed("unexpected discriminant: 200"),
        ),
        case(
            "H23c logs at a level that there is not",
            Guest::new(
                "(call $log (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
            ),
            Malformed("unexpected discriminant: 9"),
        ),
    ])
    .await;
}

/// The canonical ABI reads whatever is not zero as true; the WIT has no `char` that could be wrong.
#[tokio::test]
async fn a_bool_of_all_ones_is_true_h24() {
    let guest = Guest::new("").exists("(i32.store8 offset=8 (i32.const {reply}) (i32.const 255))");
    let host = host();
    host.register(EngineKind::Secrets, "test", "1.0.0", guest.component())
        .expect("the guest is admitted");
    let engine = host.engine(EngineKind::Secrets, "test").await;
    let engine = engine.expect("it loads").expect("it was registered");
    let mut call = Grants::default().open(&engine).await.expect("it opens");
    assert!(call.exists(&read()).await.expect("it answers"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_that_a_guest_gives_to_the_host_is_its_own() {
    let gives = |address: &str| Guest::new("").realloc(&format!("(return (i32.const {address}))"));
    check(vec![
        // Address 0 is memory like any other: the guest's request lies over itself.
        case("H25 gives the null address", gives("0"), Answers),
        case(
            "H25a gives the same memory each time",
            gives("131072"),
            Answers,
        ),
        case(
            "H25b gives the end of its memory",
            gives("262136"),
            Malformed("beyond end of memory"),
        ),
        case(
            "H25c gives what is none of its memory",
            gives("-16"),
            Malformed("beyond end of memory"),
        ),
        case(
            "H25d gives an odd address",
            gives("131073"),
            Malformed("not aligned"),
        ),
        case(
            "H26 traps",
            Guest::new("").realloc("(unreachable)"),
            Trapped("unreachable"),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_calls_the_host_when_it_is_its_turn() {
    const NOT_NOW: super::Verdict = Trapped("cannot leave component instance");
    let asks = "(drop (call $now))";
    check(vec![
        case(
            "H27 where the host asks for memory",
            Guest::new("").realloc(asks),
            NOT_NOW,
        ),
        case(
            "H27a after it has answered",
            Guest::new("").functions(&after_the_answer(asks)),
            NOT_NOW,
        ),
        case(
            "H28 traps after it has answered",
            Guest::new("").functions(&after_the_answer("(unreachable)")),
            Trapped("unreachable"),
        ),
    ])
    .await;
}
