//! Vault's clients as others wrote them, and the promises of `tests/e2e/clients` that are kept to
//! each. The fourth, vaultrs, is a Rust crate and a part of the stories themselves.
//!
//! Packages come from each language's own registry, pinned by files beside the programs, and are
//! kept under `tools` (Go's in Go's own module cache). Needed beforehand: Python 3 with `venv`,
//! Node with `npm`, Go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::server::{ROOT_TOKEN, Server};
use crate::shell::{repository, run as run_command};
use crate::tools::{copy, install, python_packages};

/// A client that others wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// hvac, for Python.
    Hvac,
    /// The client that HashiCorp's own programs are made with.
    Go,
    /// node-vault, for JavaScript.
    NodeVault,
}

impl Client {
    /// Every one of them.
    pub(crate) const ALL: [Self; 3] = [Self::Hvac, Self::Go, Self::NodeVault];

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hvac => "hvac",
            Self::Go => "vault/api",
            Self::NodeVault => "node-vault",
        }
    }

    /// Where its program is.
    fn sources(self) -> PathBuf {
        let clients = repository().join("tests/e2e/clients");
        clients.join(match self {
            Self::Hvac => "hvac",
            Self::Go => "go",
            Self::NodeVault => "node",
        })
    }
}

/// Clients that are installed.
pub(crate) struct Prepared {
    /// A Python that has hvac and pytest.
    pub(crate) python: PathBuf,
    /// Where Node finds node-vault.
    node_modules: PathBuf,
    /// Where servers of a run keep what they need.
    servers: PathBuf,
}

/// Installs all clients under `tools`; quick where that was done before.
pub(crate) fn prepare(tools: &Path) -> Result<Prepared> {
    let recipe = include_str!("clients.rs");

    let pins = Client::Hvac.sources().join("requirements.txt");
    let python = install(tools, "client-hvac", &[&pins], recipe, |folder| {
        python_packages(folder, &pins)
    })?;

    let sources = Client::NodeVault.sources();
    let pins = ["package.json", "package-lock.json", ".npmrc"].map(|name| sources.join(name));
    let pins: [&Path; 3] = [&pins[0], &pins[1], &pins[2]];
    let node = install(tools, "client-node", &pins, recipe, |folder| {
        for pin in pins {
            copy(
                pin,
                &folder.join(pin.file_name().context("a pin is a file")?),
            )?;
        }
        run_command(Command::new("npm").current_dir(folder).args([
            "ci",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]))
    })?;

    let sources = Client::Go.sources();
    let pins = [sources.join("go.mod"), sources.join("go.sum")];
    install(tools, "client-go", &[&pins[0], &pins[1]], recipe, |_| {
        run_command(go(&sources).args(["mod", "download"]))
    })?;

    Ok(Prepared {
        python: python.join("bin/python"),
        node_modules: node.join("node_modules"),
        servers: tools.canonicalize()?.join("client-servers"),
    })
}

/// Runs a client's program against servers of its own: one that serves, one that is sealed and one
/// that is new. That a promise is broken is an error.
pub(crate) fn run(prepared: &Prepared, client: Client, coffer: &Path) -> Result<()> {
    let home = prepared.servers.join(client.name().replace('/', "-"));
    fs::create_dir_all(&home)?;
    let serving = Server::serving(coffer, &home)?;
    let sealed = Server::sealed(coffer, &home)?;
    let fresh = Server::fresh(coffer, &home, "fresh")?;

    let sources = client.sources();
    let mut program = match client {
        Client::Hvac => {
            let mut python = Command::new(&prepared.python);
            python.args(["-B", "-m", "pytest"]);
            python
        }
        Client::Go => {
            let mut go = go(&sources);
            // Never from Go's cache of results: the server may be another one.
            go.args(["test", "-v", "-count=1", "-timeout=5m", "./..."]);
            go
        }
        Client::NodeVault => {
            let mut node = Command::new("node");
            node.args(["--test", "--test-reporter=spec"]);
            node.env("NODE_PATH", &prepared.node_modules);
            node
        }
    };
    program
        .current_dir(&sources)
        .env("VAULT_ADDR", &serving.address)
        .env("VAULT_TOKEN", ROOT_TOKEN)
        .env("SEALED_ADDR", &sealed.address)
        .env("FRESH_ADDR", &fresh.address);
    for unwanted in [
        "VAULT_NAMESPACE",
        "VAULT_WRAP_TTL",
        "VAULT_CACERT",
        "VAULT_SKIP_VERIFY",
    ] {
        program.env_remove(unwanted);
    }
    run_command(&mut program).with_context(|| {
        format!(
            "{}; the servers' logs are in {}",
            client.name(),
            home.display()
        )
    })
}

fn go(sources: &Path) -> Command {
    let mut go = Command::new("go");
    // The one that is there: none is fetched for a line in go.mod.
    go.current_dir(sources).env("GOTOOLCHAIN", "local");
    go
}
