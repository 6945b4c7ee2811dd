//! The figures, from one command: `cargo xtask bench`.
//!
//! Over HTTP, a server of its own process on a real file is loaded at 1, 32 and 64 connections. On
//! the same server, below the same connections, stands a route that answers a constant: the
//! ceiling. A noisy machine moves all figures; the ratio to the ceiling and the server's CPU time
//! for a request stay. In process, a call through the sandbox is set against the same code natively.
//!
//! One table on stdout, and JSON in the file named by `--json`.

#![expect(clippy::print_stdout, reason = "this is a program for a terminal")]

mod load;
mod sandbox;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use serde_json::{Value, json};

use crate::load::Measured;
use crate::server::{Server, Work};

#[derive(Parser)]
#[command(about = "Measures Coffer")]
struct Arguments {
    /// How long each load lasts
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Only work whose name holds this text
    #[arg(long, default_value = "")]
    only: String,
    /// Where the result goes as JSON
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    /// Be the server that is measured; for the bench itself
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
}

const CONNECTIONS: [usize; 3] = [1, 32, 64];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match arguments.serve {
        Some(directory) => runtime.block_on(server::be(&directory)),
        None => runtime.block_on(measure(&arguments)),
    }
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let mut results = Vec::new();
    over_http(arguments, &mut results).await?;
    println!("\nin process, microseconds a call (median of batches)");
    for (name, micros) in sandbox::measure().await? {
        println!("{name:<44} {micros:>9.2}");
        results.push(json!({ "work": name, "micros": micros }));
    }
    std::fs::write(
        &arguments.json,
        serde_json::to_vec_pretty(&Value::Array(results))?,
    )?;
    println!("\nas JSON: {}", arguments.json.display());
    Ok(())
}

async fn over_http(arguments: &Arguments, results: &mut Vec<Value>) -> Result<()> {
    let time = Duration::from_secs(arguments.seconds);
    let server = Server::start().await?;
    let mut work = server.work();
    // The ceiling stays: the others are shown against it.
    let mut first = true;
    work.retain(|work| std::mem::take(&mut first) || work.name.contains(&arguments.only));
    println!(
        "{:<28} {:>5} {:>10} {:>8} {:>8} {:>10} {:>9}",
        "over HTTP", "conns", "requests/s", "p50 ms", "p99 ms", "CPU us/req", "/ceiling"
    );
    for connections in CONNECTIONS {
        let mut ceiling = None;
        for Work { name, requests } in &work {
            let before = server.cpu()?;
            let requests = |connection: usize| requests[connection % requests.len()].clone();
            let measured = load::run(server.address, requests, connections, time).await?;
            let cpu = server.cpu()?.saturating_sub(before);
            let rate = measured.rate(time);
            let ceiling = *ceiling.get_or_insert(rate);
            show(name, connections, &measured, time, cpu, rate / ceiling);
            results.push(json!({
                "work": name,
                "connections": connections,
                "requests_per_second": rate,
                "p50_ms": measured.percentile(50),
                "p99_ms": measured.percentile(99),
                "cpu_micros_per_request": measured.each(cpu),
                "of_ceiling": rate / ceiling,
            }));
        }
    }
    Ok(())
}

fn show(
    name: &str,
    connections: usize,
    measured: &Measured,
    time: Duration,
    cpu: Duration,
    of_ceiling: f64,
) {
    println!(
        "{name:<28} {connections:>5} {:>10.0} {:>8.2} {:>8.2} {:>10.1} {of_ceiling:>9.2}",
        measured.rate(time),
        measured.percentile(50),
        measured.percentile(99),
        measured.each(cpu),
    );
}
