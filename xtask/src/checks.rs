//! Everything that must hold before a change lands, part by part, with the time each took.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::clients::{self, Client};
use crate::guests::{self, Guest};
use crate::openapi::{self, Effort};
use crate::shell::{cargo, run, target, tools};
use crate::tour;

/// A part: its name and its work.
type Part = (&'static str, fn(Effort) -> Result<()>);

/// In the order of cheap to dear, but for what later parts stand on.
const PARTS: [Part; 11] = [
    ("fmt", |_| run(cargo().args(["fmt", "--all", "--check"]))),
    ("clippy", |_| clippy()),
    ("guests", |_| guests()),
    ("clients", |_| clients::prepare(&tools()).map(drop)),
    ("tests", |_| tests()),
    ("fuzz", |_| fuzz()),
    ("programs", |_| programs()),
    ("openapi", |effort| {
        openapi::run(&binary()?, &tools(), effort)
    }),
    ("tour", |_| {
        tour::run(&binary()?, &clients::prepare(&tools())?)
    }),
    ("deny", |_| deny()),
    ("docs", |_| docs()),
];

/// Runs the parts named, or all.
pub(crate) fn all(wanted: &[String], effort: Effort) -> Result<()> {
    if let Some(unknown) = wanted
        .iter()
        .find(|name| PARTS.iter().all(|(part, _)| part != name))
    {
        let known: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
        bail!(
            "there is no part {unknown:?}: there are {}",
            known.join(", ")
        );
    }
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|part| part == name);
    let mut times = Vec::new();
    let begun = Instant::now();
    for (name, work) in PARTS.iter().filter(|(name, _)| chosen(name)) {
        println!("== {name}");
        let begun = Instant::now();
        let result = work(effort);
        times.push((*name, begun.elapsed()));
        if result.is_err() {
            show(&times);
            return result;
        }
    }
    times.push(("all", begun.elapsed()));
    show(&times);
    Ok(())
}

fn show(times: &[(&str, std::time::Duration)]) {
    println!("== time of each part");
    for (name, time) in times {
        println!("{name:>8} {:>7.1} s", time.as_secs_f64());
    }
}

fn clippy() -> Result<()> {
    crate::shell::wasm_target()?;
    run(cargo().args([
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
}

/// One engine in each language; the tests call them.
fn guests() -> Result<()> {
    for guest in Guest::ALL {
        let begun = Instant::now();
        guests::build(guest, &guests_folder(), &tools())?;
        println!("{}: {:.1} s", guest.name(), begun.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Rules beside the code, stories over HTTP, and the engines in every language.
///
/// All of the workspace in one call: another choice of packages is another choice of features, and
/// builds wasmtime anew. The binary is built by it, too.
fn tests() -> Result<()> {
    crate::shell::wasm_target()?;
    run(cargo()
        .env("COFFER_GUESTS", guests_folder())
        .args(["test", "--release", "--workspace"]))
}

/// Each fuzz target for ten seconds, two at a time on two cores, or for as long as bolero's own variable says. `tests`
/// gave each of them one, and has built all that runs here.
fn fuzz() -> Result<()> {
    const TIME: &str = "BOLERO_RANDOM_TEST_TIME_MS";
    crate::shell::wasm_target()?;
    let time = std::env::var_os(TIME).unwrap_or_else(|| "10000".into());
    run(cargo()
        .env(TIME, time)
        .env("COFFER_GUESTS", guests_folder())
        .args(["test", "--release", "--workspace", "--lib", "fuzz::"])
        .args(["--", "--show-output"]))
}

/// Clients that others wrote, against servers of the binary.
fn programs() -> Result<()> {
    let prepared = clients::prepare(&tools())?;
    for client in Client::ALL {
        println!("-- {}", client.name());
        clients::run(&prepared, client, &binary()?)?;
    }
    Ok(())
}

fn guests_folder() -> PathBuf {
    target().join("guests")
}

/// The binary as the tests have built it.
fn binary() -> Result<PathBuf> {
    let coffer = target().join("release").join("coffer");
    ensure!(
        coffer.exists(),
        "{} is missing: the part `tests` builds it",
        coffer.display()
    );
    Ok(coffer)
}

/// Licences, sources, and who may depend on whom.
fn deny() -> Result<()> {
    let root = tools().join("cargo-deny");
    let program = root.join("bin").join("cargo-deny");
    if !program.exists() {
        // The prebuilt wheel of PyPI is of 2023 and does not read today's `cargo metadata`. Not
        // optimised: it runs for a second.
        run(cargo()
            .args([
                "install",
                "--quiet",
                "--locked",
                "--debug",
                "cargo-deny@0.20.2",
                "--root",
            ])
            .arg(&root))?;
    }
    run(std::process::Command::new(program)
        .current_dir(crate::shell::repository())
        .args([
            "check",
            "--hide-inclusion-graph",
            "bans",
            "licenses",
            "sources",
        ]))
}

fn docs() -> Result<()> {
    run(cargo().env("RUSTDOCFLAGS", "--deny warnings").args([
        "doc",
        "--release",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ]))
}
