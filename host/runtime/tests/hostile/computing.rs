//! Guests that compute for ever, wait for ever, or ask for ever.

use std::time::Duration;

use host_logical::{EngineError, EngineKind, Engines as _, Options};

use super::{Case, OUT_OF_TIME, OverLimit, Trapped, case, check};
use crate::support::{Guest, host};

const LOOPS: &str = "(loop $l (br $l))";

fn waits(case: Case) -> Case {
    let mut case = case;
    case.limits.wall = Duration::from_millis(150);
    case
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_compute_run_out_of_time() {
    const OUT: super::Verdict = OverLimit(OUT_OF_TIME);
    let start = |body: &str| format!("(start $s) (func $s {body})");
    check(vec![
        case("H01 loops", Guest::new(LOOPS), OUT),
        case("H02 loops at start", Guest::new("").functions(&start(LOOPS)), OUT),
        case(
            "H04 copies memory without end",
            Guest::new(
                "(drop (memory.grow (i32.const 600)))
                (loop $l (memory.copy (i32.const 0) (i32.const 65536) (i32.const 33554432)) (br $l))",
            ),
            OUT,
        ),
        case(
            "H05a recurses exponentially",
            Guest::new("(drop (call $wide (i32.const 60)))").functions(
                "(func $wide (param i32) (result i32)
                    (if (result i32) (i32.eqz (local.get 0))
                        (then (i32.const 1))
                        (else (i32.add
                            (call $wide (i32.sub (local.get 0) (i32.const 1)))
                            (call $wide (i32.sub (local.get 0) (i32.const 1)))))))",
            ),
            OUT,
        ),
        case(
            "H08 spins on a clock that stands still",
            Guest::new(
                "(loop $l (drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 640))) (br $l))",
            )
            .on_wasi(),
            OUT,
        ),
        case(
            "H26a loops where the host asks for memory",
            Guest::new("").realloc(LOOPS),
            OUT,
        ),
        case(
            "H28a loops after it has answered",
            Guest::new("").functions(&after_the_answer(LOOPS)),
            OUT,
        ),
    ])
    .await;
}

/// What is run when the host has taken the answer.
pub(crate) fn after_the_answer(body: &str) -> String {
    format!(r#"(func (export "cabi_post_coffer:engine/backend@0.1.0#handle") (param i32) {body})"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_nest_run_out_of_stack() {
    const OUT: super::Verdict = OverLimit("out of stack: calls nest too deep");
    check(vec![
        case(
            "H05 recurses",
            Guest::new("(drop (call $deep))")
                .functions("(func $deep (result i32) (i32.add (call $deep) (i32.const 1)))"),
            OUT,
        ),
        case(
            "H06 recurses through calls to the host",
            Guest::new("(call $deep)").functions(
                "(func $deep (drop (call $now)) (call $deep) (drop (call $now)))",
            ),
            OUT,
        ),
        case(
            "H06a recurses where the host asks for memory",
            Guest::new("").realloc(
                "(drop (call $again (local.get $size)))",
            )
            .functions("(func $again (param i32) (result i32) (i32.add (call $again (local.get 0)) (i32.const 1)))"),
            OUT,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_ask_or_wait_run_out_of_it() {
    const CALLS: super::Verdict = OverLimit("more than 65536 calls to the host");
    const WAIT: super::Verdict = OverLimit("past the deadline of the call");
    let chatty = |name, body: &str| case(name, Guest::new(body).text(b"k"), CALLS);
    check(vec![
        chatty("H07 asks for the time", "(loop $l (drop (call $now)) (br $l))"),
        chatty(
            "H07a logs nothing",
            "(loop $l (call $log (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (br $l))",
        ),
        chatty(
            "H07b reads a record",
            "(loop $l (call $get (i32.const {text.0}) (i32.const 1) (i32.const 640)) (br $l))",
        ),
        waits(case("H10 sleeps", Guest::new("(call $sleep (i32.const -1))"), WAIT)),
        waits(case(
            "H10a sleeps in naps",
            Guest::new("(loop $l (call $sleep (i32.const 1)) (br $l))"),
            WAIT,
        )),
        waits(case(
            "H10b polls",
            Guest::new(
                "(i32.store offset=16 (i32.const 704) (i32.const 1))
                (i64.store offset=24 (i32.const 704) (i64.const 600000000000))
                (drop (call $poll_oneoff (i32.const 704) (i32.const 768) (i32.const 1) (i32.const 832)))",
            )
            .on_wasi(),
            WAIT,
        )),
    ])
    .await;
}

/// Each call has its own budget: what one burnt before it trapped, the next has again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_burn_and_trap_are_not_billed_to_the_next_call() {
    let burns = "(loop $l
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 20000000))))
        (unreachable)";
    let guest = Guest::new(burns);
    let case = case("H09 burns, then traps", guest, Trapped("unreachable"));
    check(vec![case]).await;
}

/// Its limits are the host's own, ten seconds of computing and twenty in all. Here the clock of the
/// host is moved by hand.
#[tokio::test]
async fn a_guest_that_loops_while_it_describes_itself_is_ended_h03() {
    let host = host();
    let guest = Guest::new("").describe(LOOPS);
    host.register(EngineKind::Secrets, "test", "1.0.0", guest.component())
        .expect("the guest is admitted");
    let engine = host.engine(EngineKind::Secrets, "test").await;
    let engine = engine.expect("it loads").expect("it was registered");

    tokio::time::pause();
    let describing = tokio::spawn(async move { engine.describe(&Options::new()).await.map(drop) });
    for _ in 0..1000 {
        if describing.is_finished() {
            break;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    match describing.await.expect("no panic") {
        Err(EngineError::OverLimit(limit)) => assert_eq!(limit, "past the deadline of the call"),
        other => panic!("it ended as {other:?}"),
    }
}
