//! The API is tried by its own document: Schemathesis sends what the document allows and what it
//! forbids, and judges each answer by it. What it looks for, and what is left out and why, is in
//! `tests/e2e/clients/schemathesis`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::server::{ROOT_TOKEN, Server};
use crate::shell::{repository, run as run_command};
use crate::tools::{install, python_packages};

/// How long and from where.
#[derive(Args, Clone, Copy)]
pub(crate) struct Effort {
    /// How long the part `openapi` may try
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    openapi_seconds: u32,
    /// Where its choices begin
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    openapi_seed: u64,
}

/// Tries a server of its own. An answer that the document does not know of is an error.
pub(crate) fn run(coffer: &Path, tools: &Path, effort: Effort) -> Result<()> {
    let sources = repository().join("tests/e2e/clients/schemathesis");
    let pins = sources.join("requirements.txt");
    let recipe = include_str!("tools.rs");
    let installed = install(tools, "schemathesis", &[&pins], recipe, |folder| {
        python_packages(folder, &pins)
    })?;

    let home = tools.canonicalize()?.join("client-servers/schemathesis");
    fs::create_dir_all(&home)?;
    let server = Server::serving(coffer, &home)?;
    let mut schemathesis = Command::new(installed.join("bin/schemathesis"));
    schemathesis
        // What it writes down beside its work is left there, not in the source tree.
        .current_dir(&home)
        .env("PYTHONPATH", &sources)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg("--config-file")
        .arg(sources.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("{}/v1/sys/internal/specs/openapi", server.address))
        .arg(format!("--url={}/v1", server.address))
        .arg(format!("--header=X-Vault-Token: {ROOT_TOKEN}"))
        .arg(format!("--max-time={}", effort.openapi_seconds))
        .arg(format!("--seed={}", effort.openapi_seed))
        .arg("--no-color");
    run_command(&mut schemathesis)
        .with_context(|| format!("schemathesis; the server's log is in {}", home.display()))
}
