//! Everything that must hold before a change lands, part by part, with the time each took.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::clients::{self, Client};
use crate::guests::{self, Guest};
use crate::shell::{cargo, run, target, tools};
use crate::{build, tour};

/// A part: its name and its work.
type Part = (&'static str, fn() -> Result<()>);

/// In the order of cheap to dear, but for what later parts stand on.
const PARTS: [Part; 9] = [
    ("fmt", || run(cargo().args(["fmt", "--all", "--check"]))),
    ("clippy", clippy),
    ("unit", unit),
    ("guests", guests),
    ("clients", install_clients),
    ("e2e", e2e),
    ("tour", tour),
    ("deny", deny),
    ("docs", docs),
];

/// Runs the parts named, or all.
pub(crate) fn all(wanted: &[String]) -> Result<()> {
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
        let result = work();
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

/// Rules beside the code, of every crate but the stories. The binary is built here, too.
fn unit() -> Result<()> {
    build()?;
    run(cargo().args([
        "test",
        "--release",
        "--workspace",
        "--exclude",
        "tests-e2e",
        "--exclude",
        "tests-guests",
    ]))
}

/// One engine in each language, built and called.
fn guests() -> Result<()> {
    let folder = target().join("guests");
    for guest in Guest::ALL {
        let begun = Instant::now();
        guests::build(guest, &folder, &tools())?;
        println!("{}: {:.1} s", guest.name(), begun.elapsed().as_secs_f64());
    }
    run(cargo()
        .env("COFFER_GUESTS", folder)
        .args(["test", "--release", "-p", "tests-guests"]))
}

fn install_clients() -> Result<()> {
    clients::prepare(&tools()).map(|_| ())
}

/// Stories over HTTP, with clients that others wrote.
fn e2e() -> Result<()> {
    build()?;
    let prepared = clients::prepare(&tools())?;
    run(cargo().args(["test", "--release", "-p", "tests-e2e"]))?;
    for client in Client::ALL {
        println!("-- {}", client.name());
        clients::run(&prepared, client, &target().join("release").join("coffer"))?;
    }
    Ok(())
}

/// The tour of the README, as it is written.
fn tour() -> Result<()> {
    let prepared = clients::prepare(&tools())?;
    tour::run(&build()?, &prepared)
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
