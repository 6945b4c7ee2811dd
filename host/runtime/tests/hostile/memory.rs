//! Guests that hoard memory, their own or the host's.

use super::{Answers, Malformed, NotAdmitted, NotLoaded, OverLimit, case, check, raw_case};
use crate::support::Guest;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_grow_stop_at_their_limit() {
    const MORE: super::Verdict = OverLimit("more memory than 67108864 bytes");
    let start = |body: &str| format!("(start $s) (func $s {body})");
    // Until it is denied, a page at a time; each page is written to, so that it is really there.
    let grows = "(loop $l
            (local.set $i (memory.grow (i32.const 1)))
            (if (i32.ne (local.get $i) (i32.const -1)) (then
                (memory.fill (i32.mul (local.get $i) (i32.const 65536)) (i32.const 0xca) (i32.const 65536))
                (br $l))))";
    let table = "(table $t 1 funcref)";
    check(vec![
        case(
            "H11 takes all at start",
            Guest::new("").functions(&start(
                "(if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then (unreachable)))",
            )),
            MORE,
        ),
        case("H12 grows, and takes no for an answer", Guest::new(grows), Answers),
        case(
            "H12a grows, and aborts",
            Guest::new(&format!("{grows} (unreachable)")),
            MORE,
        ),
        case(
            "H13 grows a table at once",
            Guest::new(
                "(if (i32.ne (table.grow $t (ref.null func) (i32.const -1)) (i32.const -1)) (then (unreachable)))",
            )
            .functions(table),
            Answers,
        ),
        case(
            "H13a grows a table bit by bit",
            Guest::new(
                "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
                (if (i32.gt_u (table.size $t) (i32.const 100000)) (then (unreachable)))",
            )
            .functions(table),
            Answers,
        ),
        case("H14 begins with more than it may have", Guest::new("").memory("2000"), MORE),
        case(
            "H14a begins with more than any may have",
            Guest::new("").memory("5000"),
            NotLoaded("exceeds the limit"),
        ),
        case(
            "H14b begins with all there is",
            Guest::new("").memory("65536"),
            NotLoaded("exceeds the limit"),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_of_many_parts_fit_or_are_not_loaded() {
    const PARTS: &str = "it has more than 256 modules and components inside";
    let globals: String = (0..1000)
        .map(|n| format!("(global (mut i64) (i64.const {n}))"))
        .collect();
    let memories = "(memory 1)".repeat(10);
    let tables = "(table 1 funcref)".repeat(100);
    check(vec![
        case(
            "H15 has 1,000 globals",
            Guest::new("").functions(&globals),
            Answers,
        ),
        case(
            "H15a has ten memories",
            Guest::new("").functions(&memories),
            NotLoaded("exceeds the per-instance limit of 1"),
        ),
        case(
            "H15b has a hundred tables",
            Guest::new("").functions(&tables),
            NotLoaded("exceeds the per-instance limit of 16"),
        ),
        raw_case(
            "H15c has 1,000 instances",
            engine_with(&instances(1000)),
            NotLoaded("limit"),
        ),
        raw_case("H15d nests 300 components", nested(300), NotAdmitted(PARTS)),
        raw_case(
            "H15e has 300 modules",
            engine_with(&"(core module)".repeat(300)),
            NotAdmitted(PARTS),
        ),
        raw_case(
            "H15f nests 200 components",
            nested(200),
            NotLoaded("does not export"),
        ),
    ])
    .await;
}

/// A component with `parts`, and the names that an engine exports.
fn engine_with(parts: &str) -> Vec<u8> {
    let text = format!(
        r#"(component {parts} (instance $i)
            (export "coffer:engine/metadata@0.1.0" (instance $i))
            (export "coffer:engine/backend@0.1.0" (instance $i)))"#
    );
    wat::parse_str(text).expect("the component is valid text")
}

fn instances(count: usize) -> String {
    "(core module $m)".to_owned() + &"(core instance (instantiate $m))".repeat(count)
}

/// Built from the inside out: no writer of text nests as deep.
fn nested(depth: usize) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    const COMPONENT_SECTION: u8 = 4;
    let mut length = HEADER.len();
    let mut prefixes = Vec::new();
    for _ in 0..depth {
        let mut prefix = vec![COMPONENT_SECTION];
        let mut rest = length;
        while rest >= 0x80 {
            prefix.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        prefix.push(rest as u8);
        length += HEADER.len() + prefix.len();
        prefixes.push(prefix);
    }
    let mut wasm = HEADER.to_vec();
    for prefix in prefixes.iter().rev() {
        wasm.extend_from_slice(prefix);
        wasm.extend_from_slice(HEADER);
    }
    // What an engine exports stands after the nest, in the outermost.
    wasm.extend_from_slice(&engine_with("")[HEADER.len()..]);
    wasm
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_make_the_host_copy_are_stopped() {
    const AT_ONCE: super::Verdict =
        OverLimit("more than 33554432 bytes handed to the host at once");
    const BEYOND: super::Verdict = Malformed("out of bounds");
    // 4,000 texts, all of them the same 60,000 bytes.
    let alias = "(loop $l
            (i32.store offset=65536 (local.get $i) (i32.const 131072))
            (i32.store offset=65540 (local.get $i) (i32.const 60000))
            (local.set $i (i32.add (local.get $i) (i32.const 8)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 32000))))";
    // The same as pairs, 2,000 of them.
    let fields = format!(
        "{alias} (call $log (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 65536) (i32.const 2000))"
    );
    let many =
        format!("{alias} (call $get-many (i32.const 65536) (i32.const 4000) (i32.const 640))");
    let warns = alias.to_owned() + &Guest::reply_list("warnings", "65536", "4000");
    let whole = "(drop (memory.grow (i32.const 700)))
        (call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 40000000) (i32.const 640))";
    let secret = "(drop (memory.grow (i32.const 20)))
        (drop (call $from-bytes (i32.const 0) (i32.const 1048577)))";
    check(vec![
        case(
            "H16 answers four gigabytes",
            Guest::new(&Guest::reply_list("warnings", "65536", "-1")),
            BEYOND,
        ),
        case(
            "H16a has four gigabytes written",
            Guest::new("(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 640))"),
            BEYOND,
        ),
        case(
            "H17 answers a list that ends after its memory",
            Guest::new(&Guest::reply_list("warnings", "262136", "2")),
            BEYOND,
        ),
        case(
            "H17a answers beyond its memory",
            Guest::new("(return (i32.const 262136))"),
            BEYOND,
        ),
        case(
            "H17b wants its result beyond its memory",
            Guest::new("(call $get (i32.const 0) (i32.const 1) (i32.const 262136))"),
            BEYOND,
        ),
        case("H18 answers one text 4,000 times", Guest::new(&warns), AT_ONCE),
        case("H18a asks for one key 4,000 times", Guest::new(&many), AT_ONCE),
        case(
            "H36 asks for 100,000 keys in one crossing",
            Guest::new(
                "(drop (memory.grow (i32.const 20)))
                (loop $l
                    (i32.store offset=131076 (local.get $i) (i32.const 1))
                    (local.set $i (i32.add (local.get $i) (i32.const 8)))
                    (br_if $l (i32.lt_u (local.get $i) (i32.const 800000))))
                (call $get-many (i32.const 131072) (i32.const 100000) (i32.const 640))",
            ),
            OverLimit("more than 65536 calls to the host"),
        ),
        case("H18b logs one text 4,000 times", Guest::new(&fields), AT_ONCE),
        case("H35 has 40 MB written at once", Guest::new(whole), AT_ONCE),
        case(
            "H35a hides more than a secret holds",
            Guest::new(secret),
            OverLimit("a secret is at most 1048576 bytes"),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_hoard_or_misuse_handles_are_stopped() {
    const UNKNOWN: super::Verdict = Malformed("unknown handle index");
    let made = "(local.set $i (call $from-bytes (i32.const 0) (i32.const 16)))";
    check(vec![
        case(
            "H19 holds handles without end",
            Guest::new(&format!("(loop $l {made} (br $l))")),
            OverLimit("more than 512 handles"),
        ),
        case(
            "H19a makes and drops them without end",
            Guest::new(&format!(
                "(loop $l {made} (call $drop-secret (local.get $i)) (br $l))"
            )),
            OverLimit("more than 65536 calls to the host"),
        ),
        case(
            "H20 drops one twice",
            Guest::new(&format!(
                "{made} (call $drop-secret (local.get $i)) (call $drop-secret (local.get $i))"
            )),
            UNKNOWN,
        ),
        case(
            "H20a uses one that it dropped",
            Guest::new(&format!(
                "{made} (call $drop-secret (local.get $i)) (drop (call $length (local.get $i)))"
            )),
            UNKNOWN,
        ),
        case(
            "H20b makes one up",
            Guest::new("(drop (call $length (i32.const 77)))"),
            UNKNOWN,
        ),
        case(
            "H20c makes up the last there could be",
            Guest::new("(drop (call $length (i32.const -1)))"),
            UNKNOWN,
        ),
    ])
    .await;
}
