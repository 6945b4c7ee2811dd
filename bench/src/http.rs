//! The routes of a server of its own process on a real file, loaded over HTTP.
//!
//! All kinds of requests take turns in short runs, round after round, so that what slows the machine
//! slows all of them alike. A figure is the median of its rounds; a ratio that of the ratios in each
//! round.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::load::{self, Work};
use crate::pieces::Records;
use crate::report::{Bound, Report};
use crate::sample::{median, percentile, ratio};
use crate::server::{Server, Store, request, secret};

/// Runs of each kind of request.
const ROUNDS: usize = 7;

/// A kind of request, at so many connections, and what each round gave.
pub(crate) struct Series {
    work: Work,
    connections: usize,
    /// Requests a second.
    pub(crate) rates: Vec<f64>,
    /// Microseconds of the server's CPU time for a request.
    pub(crate) cpu: Vec<f64>,
    /// The same of the load generator.
    own_cpu: Vec<f64>,
    /// Milliseconds.
    pub(crate) p50: Vec<f64>,
    pub(crate) p90: Vec<f64>,
    p99: Vec<f64>,
}

impl Series {
    pub(crate) fn new(work: &Work, connections: usize) -> Self {
        Self {
            work: work.clone(),
            connections,
            rates: Vec::new(),
            cpu: Vec::new(),
            own_cpu: Vec::new(),
            p50: Vec::new(),
            p90: Vec::new(),
            p99: Vec::new(),
        }
    }

    /// One more run.
    pub(crate) fn run(&mut self, server: &Server, time: Duration) -> Result<()> {
        let before = server.cpu()?;
        let load = load::run(server.address, &self.work, self.connections, time)?;
        let cpu = server.cpu()?.saturating_sub(before);
        let count = load.latencies.len() as f64;
        self.rates.push(count / load.time.as_secs_f64());
        self.cpu.push(cpu.as_secs_f64() * 1e6 / count);
        self.own_cpu.push(load.cpu.as_secs_f64() * 1e6 / count);
        let millis = |percent| percentile(&load.latencies, percent) / 1e6;
        self.p50.push(millis(50));
        self.p90.push(millis(90));
        self.p99.push(millis(99));
        Ok(())
    }

    pub(crate) fn rate(&self) -> f64 {
        median(self.rates.clone())
    }

    pub(crate) fn cpu_micros(&self) -> f64 {
        median(self.cpu.clone())
    }
}

/// Runs all of `series` in turns, `rounds` times, each for `time`, and each time `last` after them.
pub(crate) fn in_turns(
    server: &Server,
    series: &mut [Series],
    rounds: usize,
    time: Duration,
    mut last: impl FnMut() -> Result<()>,
) -> Result<()> {
    for one in &mut *series {
        // Connections, caches, allocators: warm, and forgotten.
        Series::new(&one.work, one.connections).run(server, time / 4)?;
    }
    for _ in 0..rounds {
        for one in &mut *series {
            one.run(server, time)?;
        }
        last()?;
    }
    Ok(())
}

/// Prints and keeps them; the first is what the others are compared with.
pub(crate) fn show(report: &mut Report, series: &[Series]) {
    println!(
        "{:<38} {:>5} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7}",
        "", "conns", "requests/s", "p50 ms", "p90 ms", "p99 ms", "CPU us", "load us", "/first"
    );
    for one in series {
        let of_first = ratio(&one.rates, &series[0].rates);
        let [p50, p90, p99, own] =
            [&one.p50, &one.p90, &one.p99, &one.own_cpu].map(|values| median(values.clone()));
        println!(
            "{:<38} {:>5} {:>10.0} {p50:>8.2} {p90:>8.2} {p99:>8.2} {:>8.1} {own:>8.1} {of_first:>7.2}",
            one.work.name,
            one.connections,
            one.rate(),
            one.cpu_micros(),
        );
        report.keep(json!({
            "name": one.work.name,
            "connections": one.connections,
            "requests_per_second": one.rate(),
            "p50_ms": p50,
            "p90_ms": p90,
            "p99_ms": p99,
            "server_cpu_micros_per_request": one.cpu_micros(),
            "load_cpu_micros_per_request": own,
            "of_first": of_first,
        }));
    }
}

/// A server with policies and tokens to be measured, and the requests to it.
pub(crate) struct Routes {
    pub(crate) server: Server,
    store: Store,
    /// Of a token whose one rule allows reading `secret/data/app`, and has no parent, as one from a login.
    reader: String,
}

impl Routes {
    pub(crate) fn prepare() -> Result<Self> {
        let (store, server) = Store::create()?;
        let root = &store.token;
        server.ask("PUT", "secret/data/app", root, Some(&secret()))?;
        let mount = json!({ "type": "kv", "options": { "version": "1" } });
        server.ask("POST", "sys/mounts/plain", root, Some(&mount))?;
        server.ask("PUT", "plain/app", root, Some(&secret()))?;
        let reader = token_with_rules(&server, root, 1)?;
        Ok(Self {
            server,
            store,
            reader,
        })
    }

    pub(crate) fn constant(&self) -> Work {
        self.get("constant route", "/constant", "", 200)
    }

    pub(crate) fn seal_status(&self) -> Work {
        self.get("sys/seal-status", "/v1/sys/seal-status", "", 200)
    }

    pub(crate) fn kv_read(&self) -> Work {
        self.get("KV v2 read", "/v1/secret/data/app", &self.reader, 200)
    }

    pub(crate) fn denied(&self) -> Work {
        self.get(
            "KV v2 read, denied (403)",
            "/v1/secret/data/other",
            &self.reader,
            403,
        )
    }

    pub(crate) fn no_token(&self) -> Work {
        self.get(
            "KV v2 read without a token (403)",
            "/v1/secret/data/app",
            "",
            403,
        )
    }

    /// Routed nowhere, with a token that may do anything.
    pub(crate) fn nowhere(&self) -> Work {
        self.get(
            "no such mount, root token (404)",
            "/v1/nowhere/app",
            &self.store.token,
            404,
        )
    }

    /// The JSON that answers [`Self::kv_read`].
    pub(crate) fn kv_answer(&self) -> Result<Value> {
        self.server
            .ask("GET", "secret/data/app", &self.reader, None)
    }

    fn get(&self, name: &str, path: &str, token: &str, status: u16) -> Work {
        Work {
            name: name.to_owned(),
            requests: vec![request("GET", path, token, None)],
            status,
        }
    }

    fn puts(&self, name: &str, keys: impl Iterator<Item = String>) -> Work {
        let put = |key| {
            let path = format!("/v1/secret/data/{key}");
            request("PUT", &path, &self.store.token, Some(&secret()))
        };
        Work {
            name: name.to_owned(),
            requests: keys.map(put).collect(),
            status: 200,
        }
    }

    fn read_under_rules(&self, rules: usize) -> Result<Work> {
        let token = token_with_rules(&self.server, &self.store.token, rules)?;
        let name = format!("KV v2 read under {rules} rules");
        Ok(self.get(&name, "/v1/secret/data/app", &token, 200))
    }
}

/// A token with one policy of so many rules: the one that allows, and others of all shapes.
fn token_with_rules(server: &Server, root: &str, rules: usize) -> Result<String> {
    let mut policy = String::from("path \"secret/data/app\" { capabilities = [\"read\"] }\n");
    for number in 1..rules {
        let path = match number % 3 {
            0 => format!("secret/data/team-{number}/*"),
            1 => format!("secret/data/team-{number}/app"),
            _ => format!("secret/+/team-{number}/+/app"),
        };
        policy.push_str(&format!(
            "path \"{path}\" {{ capabilities = [\"read\", \"list\"] }}\n"
        ));
    }
    let name = format!("rules-{rules}");
    let body = json!({ "policy": policy });
    server.ask(
        "PUT",
        &format!("sys/policies/acl/{name}"),
        root,
        Some(&body),
    )?;
    let body = json!({ "policies": [name], "no_parent": true, "no_default_policy": true });
    let made: Value = server.ask("POST", "auth/token/create", root, Some(&body))?;
    let token = made["auth"]["client_token"].as_str().context("a token")?;
    Ok(token.to_owned())
}

/// Measures all routes.
pub(crate) fn measure(report: &mut Report, runtime: &Runtime, seconds: u64) -> Result<()> {
    let routes = Routes::prepare()?;
    let time = Duration::from_secs(seconds) / ROUNDS as u32;
    let root = &routes.store.token;
    let own_keys = |name| routes.puts(name, (0..64).map(|n| format!("busy/{n}")));
    let read = routes.kv_read();
    let rules = |rules| routes.read_under_rules(rules);

    report.part("over HTTP (medians of rounds in which all took turns)");
    let mut series = [
        Series::new(&routes.constant(), 32),
        Series::new(&routes.seal_status(), 32),
        Series::new(&routes.get("sys/health", "/v1/sys/health", "", 200), 32),
        Series::new(
            &routes.get("token lookup-self", "/v1/auth/token/lookup-self", root, 200),
            32,
        ),
        Series::new(&read, 32),
        Series::new(&routes.denied(), 32),
        Series::new(&routes.get("KV v1 read", "/v1/plain/app", root, 200), 32),
        Series::new(&rules(10)?, 32),
        Series::new(&rules(100)?, 32),
        Series::new(&rules(101)?, 32),
        Series::new(&rules(1000)?, 32),
        Series::new(&read, 64),
        Series::new(&own_keys("KV v2 durable write"), 64),
        Series::new(&own_keys("KV v2 durable write"), 32),
        Series::new(
            &routes.puts(
                "KV v2 durable write, one hot key",
                ["hot".to_owned()].into_iter(),
            ),
            32,
        ),
        Series::new(&own_keys("KV v2 durable write"), 1),
        Series::new(&read, 1),
        Series::new(&routes.constant(), 1),
    ];
    // What a commit for each request would reach with any number of clients, since a file has one writer.
    let directory = TempDir::new()?;
    let records = runtime.block_on(Records::in_file(&directory))?;
    let mut commits = Vec::new();
    in_turns(&routes.server, &mut series, ROUNDS, time, || {
        commits.push(runtime.block_on(records.commits(1, time))?);
        Ok(())
    })?;
    show(report, &series);
    report.figure(
        "commits of one record one by one",
        median(commits.clone()),
        "/s",
    );

    let [
        constant,
        seal_status,
        _,
        _,
        read,
        denied,
        _,
        _,
        _,
        rules_101,
        rules_1000,
        read_64,
        write_64,
        ..,
    ] = &series;
    let of = |a: &Series, b: &Series| ratio(&a.rates, &b.rates);
    let mut at_least = |name: &str, bound: f64, reached: f64| {
        report.target(name, Bound::AtLeast(bound), reached, "");
    };
    at_least(
        "KV v2 read / sys/seal-status, rate",
        0.4,
        of(read, seal_status),
    );
    at_least("KV v2 read / constant route, rate", 0.3, of(read, constant));
    at_least(
        "durable write / read, rate at 64 connections",
        0.6,
        of(write_64, read_64),
    );
    at_least(
        "durable writes at 64 connections / commits one by one, rate",
        4.0,
        ratio(&write_64.rates, &commits),
    );
    at_least("403 / KV v2 read, rate", 1.0, of(denied, read));
    at_least(
        "KV v2 read under 1,000 rules / under one, rate",
        0.9,
        of(rules_1000, read),
    );

    // Measured on a machine like this one, not on this one now: the CPU time is what holds.
    let mut incumbent = |name: &str, times: f64, series: &Series, rate: f64, cpu: f64| {
        let bound = Bound::AtLeast(times);
        let rate = series.rate() / rate;
        let cpu = cpu / series.cpu_micros();
        report.target(&format!("{name}, rate / the incumbent's"), bound, rate, "");
        report.target(
            &format!("{name}, the incumbent's CPU / ours"),
            bound,
            cpu,
            "",
        );
    };
    incumbent("KV v2 read", 3.0, read, 6_767.0, 135.0);
    incumbent(
        "durable write at 64 connections",
        8.0,
        write_64,
        1_463.0,
        510.0,
    );
    incumbent("KV v2 read under 101 rules", 8.0, rules_101, 3_357.0, 550.0);
    Ok(())
}
