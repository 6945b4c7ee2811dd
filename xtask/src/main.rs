//! `cargo xtask`: the two README commands, the benchmarks, and everything that `.ci/run` runs.
//!
//! Tools come from the registries of their languages and are kept under `target/tools`; nothing
//! is installed for the machine but the wasm target of the Rust toolchain.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a program for a terminal"
)]

mod checks;
mod clients;
mod guests;
mod openapi;
mod server;
mod shell;
mod tools;
mod tour;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::shell::{cargo, repository, run, target};

#[derive(Parser)]
#[command(
    bin_name = "cargo xtask",
    about = "Builds, runs, tests and measures Coffer"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the engines and the host, and start a dev server
    Dev {
        /// More flags of `coffer server`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    /// Build the engines and the host
    Build,
    /// Run everything that .ci/run runs, or the parts named
    Test {
        /// Of: fmt, clippy, guests, clients, tests, fuzz, programs, openapi, tour, deny, docs
        parts: Vec<String>,
        #[command(flatten)]
        effort: openapi::Effort,
    },
    /// Measure; the result is a table, and JSON in target/bench.json
    Bench {
        /// Flags of the bench, such as --seconds 2
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
}

fn main() -> ExitCode {
    match work(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("Error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(command: Command) -> Result<()> {
    match command {
        Command::Dev { flags } => {
            let coffer = build()?;
            println!("coffer is {}", coffer.display());
            run(std::process::Command::new(coffer)
                .args(["server", "-dev"])
                .args(flags))
        }
        Command::Build => {
            println!("{}", build()?.display());
            Ok(())
        }
        Command::Test { parts, effort } => checks::all(&parts, effort),
        Command::Bench { flags } => {
            shell::wasm_target()?;
            // In one call, so that both stand on one build of wasmtime.
            run(cargo().args(["build", "--release", "-p", "host-cli", "-p", "bench"]))?;
            let bench = target().join("release").join("bench");
            run(std::process::Command::new(bench)
                .current_dir(repository())
                .args(flags))
        }
    }
}

/// The binary with the built-in engines in it.
fn build() -> Result<PathBuf> {
    shell::wasm_target()?;
    run(cargo().args(["build", "--release", "-p", "host-cli"]))?;
    Ok(target().join("release").join("coffer"))
}
