//! Components that are not let in: what they want, what they lack, and what they are made of.

use wit_component::StringEncoding;

use super::{Answers, Case, NotAdmitted, NotLoaded, Verdict, case, check, raw_case};
use crate::support::Guest;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_are_utf_8_and_no_other() {
    let with = |encoding| Guest::new("").encoding(encoding);
    check(vec![
        case(
            "H29 writes UTF-16",
            with(StringEncoding::UTF16),
            NotAdmitted("its texts are UTF-16"),
        ),
        case(
            "H29a writes Latin-1 or UTF-16",
            with(StringEncoding::CompactUTF16),
            NotAdmitted("its texts are Latin-1 or UTF-16"),
        ),
        case("H29b writes UTF-8", with(StringEncoding::UTF8), Answers),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_granted_is_refused_by_name_with_the_fix() {
    let wants = |name: &'static str, import: &str, says: &'static str| {
        let text = format!(
            r#"(component (import "{import}" (instance)) (instance $i)
                (export "coffer:engine/metadata@0.1.0" (instance $i))
                (export "coffer:engine/backend@0.1.0" (instance $i)))"#
        );
        let component = wat::parse_str(text).expect("the component is valid text");
        raw_case(name, component, NotAdmitted(says))
    };
    check(vec![
        wants(
            "H30 wants sockets",
            "wasi:sockets/tcp@0.2.6",
            "it imports wasi:sockets/tcp@0.2.6, which no engine is given: build it without",
        ),
        wants(
            "H30a wants HTTP",
            "wasi:http/outgoing-handler@0.2.6",
            "it imports wasi:http/outgoing-handler@0.2.6, which no engine is given: build it without",
        ),
        wants(
            "H30b wants a WASI to come",
            "wasi:cli/environment@0.3.0",
            "it imports wasi:cli/environment@0.3.0, which no engine is given",
        ),
        wants(
            "H30c wants to read secrets",
            "coffer:engine/reveal@0.1.0",
            "it imports coffer:engine/reveal@0.1.0, which this host does not offer yet: build it against a world without reveal",
        ),
        wants(
            "H30d wants another version",
            "coffer:engine/storage@0.2.0",
            "it imports coffer:engine/storage@0.2.0, and this host speaks version 0.1: build it against",
        ),
        wants(
            "H30e wants what nobody knows",
            "shell",
            "it imports shell, which this host does not know",
        ),
        wants(
            "H30f dresses up as ours",
            "coffer:engine-evil/storage@0.1.0",
            "it imports coffer:engine-evil/storage@0.1.0, which this host does not know",
        ),
    ])
    .await;
}

/// Names pass at the border, types when it is linked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_or_of_another_type_is_not_mounted() {
    let component = |text: &str| wat::parse_str(text).expect("the component is valid text");
    // `handle` takes nothing and answers nothing.
    let mistyped = r#"(component
        (core module $m (func (export "f")))
        (core instance $c (instantiate $m))
        (func $f (canon lift (core func $c "f")))
        (instance $metadata (export "describe" (func $f)))
        (instance $backend
            (export "initialize" (func $f)) (export "exists" (func $f)) (export "handle" (func $f)))
        (export "coffer:engine/metadata@0.1.0" (instance $metadata))
        (export "coffer:engine/backend@0.1.0" (instance $backend)))"#;
    let hollow = r#"(component (instance $i)
        (export "coffer:engine/metadata@0.1.0" (instance $i))
        (export "coffer:engine/backend@0.1.0" (instance $i)))"#;
    let half = r#"(component (instance $i) (export "coffer:engine/metadata@0.1.0" (instance $i)))"#;
    // The name of an import that we have, with a function in it that we do not.
    let mistaken = r#"(component
        (import "coffer:engine/ambient@0.1.0" (instance (export "format-disk" (func))))
        (instance $i)
        (export "coffer:engine/metadata@0.1.0" (instance $i))
        (export "coffer:engine/backend@0.1.0" (instance $i)))"#;
    check(vec![
        raw_case(
            "H31 exports half",
            component(half),
            NotAdmitted("it does not export coffer:engine/backend@0.1.0: build it against"),
        ),
        raw_case(
            "H31a exports names and nothing in them",
            component(hollow),
            NotLoaded("does not export what an engine must"),
        ),
        raw_case(
            "H31b exports functions of another type",
            component(mistyped),
            NotLoaded("does not"),
        ),
        raw_case(
            "H31c imports a function that is not there",
            component(mistaken),
            NotLoaded("format-disk"),
        ),
        raw_case(
            "H31d is a core module",
            Guest::new("").core_module(),
            NotAdmitted("it is a core module: make it a component"),
        ),
        raw_case(
            "H31e is nothing",
            Vec::new(),
            NotAdmitted("it is not a WebAssembly component"),
        ),
    ])
    .await;
}

/// Each is there for a reason in `host/runtime/src/engine.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_that_are_off_stay_off() {
    const OFF: Verdict = NotLoaded("does not compile");
    let with = |name, functions: &str| case(name, Guest::new("").functions(functions), OFF);
    check(vec![
        with("H32 has 64-bit memory", "(memory i64 1)"),
        with("H32a shares memory between threads", "(memory 1 1 shared)"),
        with(
            "H32b waits on memory as threads do",
            "(func (drop (i32.atomic.load (i32.const 0))))",
        ),
        with(
            "H32c has collected structures",
            "(type $s (struct (field i32)))",
        ),
        with(
            "H32d has references that are not null",
            "(func (param (ref func)))",
        ),
        with("H32e holds what the host gave", "(table 1 externref)"),
        with("H32f throws", "(tag $t) (func (throw $t))"),
        with(
            "H32g computes in the processor's own way",
            "(func (drop (i32x4.relaxed_trunc_f32x4_s (v128.const i64x2 0 0))))",
        ),
        with(
            "H32h switches stacks",
            "(type $f (func)) (type $k (cont $f)) (func (param (ref null $k)))",
        ),
        with("H32i has pages of one byte", "(memory 1 (pagesize 1))"),
        with("H32m has a second memory in one module", "(memory 1)"),
        raw_case("H32j is called back", called_back(), OFF),
    ])
    .await;
}

/// An export in the asynchronous ABI.
fn called_back() -> Vec<u8> {
    let text = r#"(component
        (core module $m (func (export "f") (result i32) (i32.const 0))
            (func (export "back") (param i32 i32 i32) (result i32) (i32.const 0)))
        (core instance $c (instantiate $m))
        (func $f async (canon lift (core func $c "f") async (callback (func $c "back"))))
        (instance $i (export "handle" (func $f)))
        (export "coffer:engine/metadata@0.1.0" (instance $i))
        (export "coffer:engine/backend@0.1.0" (instance $i)))"#;
    wat::parse_str(text).expect("the component is valid text")
}

/// What it is made of may be odd, as long as it is an engine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_that_are_on_are_on() {
    let with = |name, handle: &str, functions: &str| -> Case {
        case(name, Guest::new(handle).functions(functions), Answers)
    };
    check(vec![
        with(
            "H32k calls at its end",
            "(call $f (i32.const 1000000))",
            "(func $f (param i32) (if (local.get 0)
                (then (return_call $f (i32.sub (local.get 0) (i32.const 1))))))",
        ),
        with(
            "H32l computes in vectors",
            "(drop (i32x4.add (v128.const i64x2 0 0) (v128.const i64x2 0 0)))",
            "",
        ),
    ])
    .await;
}
