//! A hostile mount beside an ordinary one: how much of its neighbour's time it takes.
//!
//! Its engine fills its memory to the limit, then computes for a while, then traps; as many of its
//! calls run all the time as a mount may have. It computes for less than its budget allows, so that
//! a turn can end: what it takes at any moment is the same, and the memory is filled more often.
//!
//! Quiet and hostile take turns. The constant route, which knows no mount, says how much of a change
//! is the machine, its two cores shared with the guests included.

use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::json;

use crate::http::{Series, show};
use crate::load::{self, Work};
use crate::report::{Bound, Report};
use crate::sample::ratio;
use crate::server::{Server, Store, request, secret};

/// The component; see `build.rs`.
pub(crate) const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

const TURNS: usize = 5;
const TIME: Duration = Duration::from_millis(600);
/// Until the guests fill their mount.
const ADVANCE: Duration = Duration::from_millis(300);
/// As many calls as a mount may have at a time.
const HOSTILE_CALLS: usize = 16;
/// Few enough that the server has time left when it is quiet.
const CONNECTIONS: usize = 4;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    report.part("beside a hostile mount (all in turns)");
    let (store, server) = Store::create_with(&["--hostile"])?;
    let root = &store.token;
    server.ask("PUT", "secret/data/app", root, Some(&secret()))?;
    server.ask(
        "POST",
        "sys/mounts/hostile",
        root,
        Some(&json!({ "type": "hostile" })),
    )?;
    let work = |name: &str, path, status| Work {
        name: name.to_owned(),
        requests: vec![request("GET", path, root, None)],
        status,
    };
    let read = "/v1/secret/data/app";
    let mut series = [
        ("KV v2 read, quiet", read),
        ("constant route, quiet", "/constant"),
        ("KV v2 read, beside hostile calls", read),
        ("constant route, beside hostile calls", "/constant"),
    ]
    .map(|(name, path)| Series::new(&work(name, path, 200), CONNECTIONS));
    let hostile = work("hostile call", "/v1/hostile/burn", 500);

    for _ in 0..TURNS {
        let [read, constant, read_beside, constant_beside] = &mut series;
        read.run(&server, TIME)?;
        constant.run(&server, TIME)?;
        beside(&server, &hostile, || {
            read_beside.run(&server, TIME)?;
            constant_beside.run(&server, TIME)
        })?;
    }
    show(report, &series);

    let [read, constant, read_beside, constant_beside] = &series;
    let percent = |beside: &[f64], quiet: &[f64]| (ratio(beside, quiet) - 1.0) * 100.0;
    for (name, read, constant) in [
        (
            "p50",
            percent(&read_beside.p50, &read.p50),
            percent(&constant_beside.p50, &constant.p50),
        ),
        (
            "p90",
            percent(&read_beside.p90, &read.p90),
            percent(&constant_beside.p90, &constant.p90),
        ),
    ] {
        report.figure(
            &format!("constant route beside hostile calls, change of {name}"),
            constant,
            "%",
        );
        report.figure(
            &format!("KV v2 read beside hostile calls, change of {name}"),
            read,
            "%",
        );
        let target = format!(
            "reads beside a hostile mount, change of {name} (constant route's: {constant:.0} %)"
        );
        report.target(&target, Bound::AtMost(10.0), read, "%");
    }
    Ok(())
}

/// Does `measured` while the hostile mount is as busy as it may be.
fn beside(server: &Server, hostile: &Work, measured: impl FnOnce() -> Result<()>) -> Result<()> {
    let time = ADVANCE + 2 * TIME;
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| load::run(server.address, hostile, HOSTILE_CALLS, time));
        std::thread::sleep(ADVANCE);
        let result = measured();
        calls
            .join()
            .map_err(|_| anyhow!("the hostile load panicked"))??;
        result
    })
}
