//! The figures, from one command: `cargo xtask bench`.
//!
//! A noisy machine moves all figures. What stays are ratios of things that were measured in turns,
//! and the server's CPU time for a request: the targets at the end are such ratios wherever they can
//! be, and of this very run.
//!
//! ```text
//! http.rs     the routes of a server, over HTTP
//! sandbox.rs  a call through the sandbox, against the same code natively
//!
//! load.rs     the load          server.rs  the server that is measured
//! sample.rs   medians           process.rs what the kernel knows of a process
//! report.rs   what is printed, and the JSON in the file named by `--json`
//! ```

#![expect(clippy::print_stdout, reason = "this is a program for a terminal")]

mod http;
mod load;
mod process;
mod report;
mod sample;
mod sandbox;
mod server;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::report::Report;

#[derive(Parser)]
#[command(about = "Measures Coffer")]
struct Arguments {
    /// How long each kind of request is asked, in seconds, all rounds together
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Only these parts; may be repeated
    #[arg(long)]
    only: Vec<Part>,
    /// Where the result goes as JSON
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    /// Be the server that is measured; for the bench itself
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Http,
    Sandbox,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if let Some(directory) = &arguments.serve {
        return runtime.block_on(server::be(directory));
    }
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let mut report = Report::default();
    if wanted(Part::Sandbox) {
        runtime.block_on(sandbox::measure(&mut report))?;
    }
    if wanted(Part::Http) {
        http::measure(&mut report, arguments.seconds, None)?;
    }
    report.show_targets();
    report.write(&arguments.json)?;
    println!("\nas JSON: {}", arguments.json.display());
    Ok(())
}
