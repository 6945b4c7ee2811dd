//! Where the time of one KV read goes.
//!
//! Nothing in the server is instrumented. Requests that get further and further on the same path are
//! asked in turns, and the differences of the server's CPU time are the steps. What happens within
//! the engine's call is told apart by pieces that are measured alone, in process.

use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Runtime;

use crate::http::{Routes, Series, in_turns, show};
use crate::pieces::Pieces;
use crate::report::Report;
use crate::sample::{median, micros};
use crate::sandbox::{self, Kv};

const ROUNDS: usize = 9;
const TIME: Duration = Duration::from_millis(300);
const CONNECTIONS: usize = 32;

pub(crate) fn measure(report: &mut Report, runtime: &Runtime, pieces: &Pieces) -> Result<()> {
    report.part("where the time of one KV v2 read goes: requests that get further and further");
    let routes = Routes::prepare()?;
    let stages = [
        routes.constant(),
        routes.no_token(),
        routes.nowhere(),
        routes.denied(),
        routes.kv_read(),
    ];
    let mut series = stages.map(|work| Series::new(&work, CONNECTIONS));
    let kv = runtime.block_on(Kv::load())?;
    let (mut fresh, mut native) = (Vec::new(), Vec::new());
    in_turns(&routes.server, &mut series, ROUNDS, TIME, || {
        let reads = runtime.block_on(sandbox::reads(&kv))?;
        fresh.push(reads.fresh);
        native.push(reads.native);
        Ok(())
    })?;
    let (fresh, native) = (median(fresh), median(native));
    show(report, &series);

    let [constant, no_token, nowhere, denied, read] = &series;
    let more = |late: &Series, early: &Series| {
        let differences = late.cpu.iter().zip(&early.cpu);
        median(differences.map(|(late, early)| late - early).collect())
    };
    let whole = read.cpu_micros();
    let answer = routes.kv_answer()?;
    let json = micros(1000, || {
        std::hint::black_box(serde_json::to_vec(&answer).is_ok());
    });
    let steps = [
        (
            "HTTP: sockets, hyper, axum (the constant route)",
            constant.cpu_micros(),
        ),
        (
            "path, headers, mount, route, snapshot (refused for want of a token)",
            more(no_token, constant),
        ),
        (
            "token: hash, record, in force (root token, no such mount)",
            more(nowhere, no_token),
        ),
        ("policy (403)", more(denied, nowhere)),
        (
            "sandbox: instance, calls, crossings, its end (alone)",
            fresh - native,
        ),
        ("KV's own code (alone, native)", native),
        ("storage: the record from the file (alone)", pieces.storage),
        ("cipher: its frame opened (alone)", pieces.cipher),
        ("JSON: the answer written (alone)", json),
    ];
    report.part("where the time of one KV v2 read goes: the server's CPU time");
    let mut rest = whole;
    let line = |name: &str, micros: f64| {
        println!(
            "{name:<66} {micros:>8.1} us {:>6.1} %",
            micros / whole * 100.0
        );
        serde_json::json!({ "name": name, "micros": micros, "percent": micros / whole * 100.0 })
    };
    let mut table = Vec::new();
    for (name, micros) in steps {
        rest -= micros;
        table.push(line(name, micros));
    }
    table.push(line(
        "the rest: a larger answer on its way, caches that others emptied",
        rest,
    ));
    table.push(line("all", whole));
    report.keep(
        serde_json::json!({ "name": "where the time of one KV v2 read goes", "steps": table }),
    );
    Ok(())
}
