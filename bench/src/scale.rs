//! Many mounts, many secrets, many names: what grows with them, and what does not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use host_barrier::{Barrier, MountId, StorageConfig, SystemRandomness, UnsealShare};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::load::{self, Work};
use crate::report::{Bound, Report};
use crate::sample::{median, percentile, ratio};
use crate::server::{Server, Store, request, secret};

/// More than fit the cache, and so behind a flag.
pub(crate) const MILLION: usize = 1_000_000;
const MOUNTS: [usize; 3] = [10, 100, 1000];
/// Starts of each store, in turns.
const STARTS: usize = 5;
/// Keys that are read, spread over all.
const READ_KEYS: usize = 100_000;
/// Secrets of a folder, and of a commit when a store is filled.
const FOLDER: usize = 1000;
const COMMIT: usize = 4000;
/// redb's cache, as the barrier sets it, in MiB.
const CACHE: f64 = 256.0;
const TIME: Duration = Duration::from_secs(1);

/// 10, 100 and 1,000 mounts on one server.
pub(crate) fn mounts(report: &mut Report) -> Result<()> {
    report.part("mounts of KV v2 (memory: resident, after a start and one read)");
    let (store, mut server) = Store::create()?;
    let root = &store.token;
    let mount = json!({ "type": "kv", "options": { "version": "2" } });
    let mut made = 0;
    let mut resident = Vec::new();
    for count in MOUNTS {
        let begun = Instant::now();
        for number in made..count {
            server.ask(
                "POST",
                &format!("sys/mounts/m-{number}"),
                root,
                Some(&mount),
            )?;
        }
        let each = begun.elapsed().as_secs_f64() * 1e3 / (count - made) as f64;
        made = count;
        let last = format!("m-{}/data/app", count - 1);
        server.ask("PUT", &last, root, Some(&secret()))?;

        server.stop()?;
        let begun = Instant::now();
        server = store.open()?;
        server.ask("GET", &last, root, None)?;
        let start = begun.elapsed().as_secs_f64() * 1e3;
        resident.push(server.memory()?.resident);
        let read = work(
            "read",
            vec![request("GET", &format!("/v1/{last}"), root, None)],
        );
        let load = load::run(server.address, &read, 1, TIME)?;
        report.figure(
            &format!("{count} mounts: to make one of the last"),
            each,
            "ms",
        );
        report.figure(
            &format!("{count} mounts: from exec to the first read"),
            start,
            "ms",
        );
        report.figure(
            &format!("{count} mounts: memory"),
            resident[resident.len() - 1],
            "MiB",
        );
        let p50 = percentile(&load.latencies, 50) / 1e3;
        report.figure(
            &format!("{count} mounts: KV v2 read, one connection, p50"),
            p50,
            "us",
        );
    }
    let [first, .., last] = resident[..] else {
        return Ok(());
    };
    let each = (last - first) * 1024.0 / (MOUNTS[MOUNTS.len() - 1] - MOUNTS[0]) as f64;
    report.figure("memory for each idle mount", each, "KiB");
    report.target(
        "memory for each idle mount",
        Bound::AtMost(20.0),
        each,
        "KiB",
    );
    Ok(())
}

/// So many secrets, read at random.
pub(crate) fn secrets(report: &mut Report, runtime: &Runtime, count: usize) -> Result<()> {
    let name = format!("{count} secrets");
    report.part(&name);
    let (empty, server) = Store::create()?;
    server.ask("PUT", "secret/data/app", &empty.token, Some(&secret()))?;
    server.stop()?;
    let begun = Instant::now();
    let store = filled(runtime, "", count)?;
    report.figure(
        &format!("{name}: to fill the store"),
        begun.elapsed().as_secs_f64(),
        "s",
    );
    let file = std::fs::metadata(store.path().join("coffer.redb"))?.len();
    report.figure(
        &format!("{name}: file"),
        file as f64 / (1 << 20) as f64,
        "MiB",
    );

    let mut full_starts = Vec::new();
    let mut empty_starts = Vec::new();
    for _ in 0..STARTS {
        empty_starts.push(start(&empty)?);
        full_starts.push(start(&store)?);
    }
    let slower = ratio(&full_starts, &empty_starts);
    report.figure(
        "no secrets: from exec to the first read",
        median(empty_starts),
        "ms",
    );
    report.figure(
        &format!("{name}: from exec to the first read"),
        median(full_starts),
        "ms",
    );

    let server = store.open()?;
    server.ask("GET", "secret/data/app", &store.token, None)?;
    let idle = server.memory()?.resident;
    let step = count.div_ceil(READ_KEYS);
    // A stride that is prime to the count: neighbours in time are none in the file.
    let keys = (0..count / step).map(|number| number * step * 7919 % count);
    let read = |key: usize| {
        let path = format!("/v1/secret/data/{}", key_name("", key));
        request("GET", &path, &store.token, None)
    };
    let read = work("read", keys.map(read).collect());
    let one = load::run(server.address, &read, 1, TIME)?;
    // Of a million, long enough to fill the cache.
    let time = if count < MILLION { TIME } else { 15 * TIME };
    let many = load::run(server.address, &read, 32, time)?;
    let p50 = percentile(&one.latencies, 50) / 1e3;
    let rate = many.latencies.len() as f64 / many.time.as_secs_f64();
    let busy = server.memory()?.resident;
    report.figure(
        &format!("{name}: KV v2 read of any, one connection, p50"),
        p50,
        "us",
    );
    report.figure(
        &format!("{name}: KV v2 read of any, 32 connections"),
        rate,
        "/s",
    );
    report.figure(&format!("{name}: memory after the start"), idle, "MiB");
    report.figure(&format!("{name}: memory after these reads"), busy, "MiB");
    if count == MILLION {
        let name = "start with 1,000,000 secrets / with none, time";
        report.target(name, Bound::AtMost(1.1), slower, "");
        let name = "memory with 1,000,000 secrets, after reads (cache and 45 MiB)";
        report.target(name, Bound::AtMost(CACHE + 45.0), busy, "MiB");
    }
    Ok(())
}

/// LIST of folders with 10,000 and 100,000 names.
pub(crate) fn listings(report: &mut Report, runtime: &Runtime) -> Result<()> {
    report.part("LIST, one connection");
    for count in [10_000, 100_000] {
        let store = filled(runtime, "flat/", count)?;
        let server = store.open()?;
        let path = "/v1/secret/metadata/flat?list=true";
        let list = work("LIST", vec![request("GET", path, &store.token, None)]);
        let load = load::run(server.address, &list, 1, 3 * TIME)?;
        let p50 = percentile(&load.latencies, 50) / 1e6;
        report.figure(&format!("LIST of {count} names, p50"), p50, "ms");
        if count == 100_000 {
            report.target(
                "LIST of 100,000 names, p50",
                Bound::AtMost(150.0),
                p50,
                "ms",
            );
        }
    }
    Ok(())
}

fn work(name: &str, requests: Vec<Vec<u8>>) -> Work {
    Work {
        name: name.to_owned(),
        requests,
        status: 200,
    }
}

/// Milliseconds from exec to the first secret read, unsealing included.
fn start(store: &Store) -> Result<f64> {
    let begun = Instant::now();
    let server: Server = store.open()?;
    server.ask("GET", "secret/data/app", &store.token, None)?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    server.stop()?;
    Ok(took)
}

/// In one folder if it is named, else in folders of a thousand.
fn key_name(folder: &str, number: usize) -> String {
    match folder {
        "" => format!("folder-{}/secret-{number}", number / FOLDER),
        _ => format!("{folder}secret-{number}"),
    }
}

/// A store with so many secrets of KV v2, and `app`. Straight through the barrier, and so in seconds: KV's
/// record of one secret is written under the other names, which it does not hold.
fn filled(runtime: &Runtime, folder: &str, count: usize) -> Result<Store> {
    let (store, server) = Store::create()?;
    server.ask("PUT", "secret/data/app", &store.token, Some(&secret()))?;
    let mounts = server.ask("GET", "sys/mounts", &store.token, None)?;
    let uuid = mounts["data"]["secret/"]["uuid"]
        .as_str()
        .context("a uuid")?;
    let mount = MountId::parse(&uuid.replace('-', "")).context("a mount's id")?;
    server.stop()?;

    let fill = async {
        let config = StorageConfig::Redb {
            directory: store.path(),
        };
        let barrier = Barrier::open(config, Arc::new(SystemRandomness::new())).await?;
        barrier
            .unseal(UnsealShare::parse(&store.unseal_key)?)
            .await?;
        let view = barrier.begin().await?.view(mount).await?;
        let record = view.get("key/app").await?.context("KV's record of `app`")?;
        drop(view);
        for begin in (0..count).step_by(COMMIT) {
            let transaction = barrier.begin().await?;
            let view = transaction.view(mount).await?;
            for number in begin..(begin + COMMIT).min(count) {
                let key = format!("key/{}", key_name(folder, number));
                view.put(&key, &record).await?;
            }
            transaction.commit().await?;
        }
        barrier.seal().await?;
        anyhow::Ok(())
    };
    runtime.block_on(fill)?;
    ensure!(store.path().join("coffer.redb").is_file(), "no store");
    Ok(store)
}
