//! The figures, from one command: `cargo xtask bench`.
//!
//! A noisy machine moves all figures. What stays are ratios of things that were measured in turns,
//! and the server's CPU time for a request: the targets at the end are such ratios wherever they can
//! be, and of this very run.
//!
//! ```text
//! pieces.rs    the disk, commits, the cipher
//! sandbox.rs   a call through the sandbox, against the same code natively
//! http.rs      the routes of a server, over HTTP
//! anatomy.rs   where the time of one read goes
//! startup.rs   the binary: size, first secret, idle memory
//! scale.rs     many mounts, secrets and names
//! neighbour.rs reads beside a hostile mount
//!
//! load.rs     the load          server.rs  the server that is measured
//! sample.rs   medians           process.rs what the kernel knows of a process
//! report.rs   what is printed, and the JSON in the file named by `--json`
//! ```

#![expect(clippy::print_stdout, reason = "this is a program for a terminal")]

mod anatomy;
mod http;
mod load;
mod neighbour;
mod pieces;
mod process;
mod report;
mod sample;
mod sandbox;
mod scale;
mod server;
mod startup;

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
    /// Also with 1,000,000 secrets, which takes minutes
    #[arg(long)]
    million: bool,
    /// Be the server that is measured; for the bench itself
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
    /// With a hostile engine in its catalog
    #[arg(long, hide = true)]
    hostile: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Pieces,
    Sandbox,
    Http,
    Anatomy,
    Startup,
    Mounts,
    Secrets,
    Listings,
    Neighbour,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if let Some(directory) = &arguments.serve {
        return runtime.block_on(server::be(directory, arguments.hostile));
    }
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let mut report = Report::default();
    if wanted(Part::Pieces) || wanted(Part::Anatomy) {
        let pieces = runtime.block_on(pieces::measure(&mut report))?;
        if wanted(Part::Anatomy) {
            anatomy::measure(&mut report, &runtime, &pieces)?;
        }
    }
    if wanted(Part::Sandbox) {
        runtime.block_on(sandbox::measure(&mut report))?;
    }
    if wanted(Part::Http) {
        http::measure(&mut report, &runtime, arguments.seconds)?;
    }
    if wanted(Part::Startup) {
        startup::measure(&mut report)?;
    }
    if wanted(Part::Mounts) {
        scale::mounts(&mut report)?;
    }
    if wanted(Part::Listings) {
        scale::listings(&mut report, &runtime)?;
    }
    if wanted(Part::Secrets) {
        scale::secrets(&mut report, &runtime, 1_000)?;
        scale::secrets(&mut report, &runtime, 100_000)?;
    }
    if arguments.million {
        scale::secrets(&mut report, &runtime, scale::MILLION)?;
    }
    if wanted(Part::Neighbour) {
        neighbour::measure(&mut report)?;
    }
    report.show_targets();
    report.write(&arguments.json)?;
    println!("\nas JSON: {}", arguments.json.display());
    Ok(())
}
