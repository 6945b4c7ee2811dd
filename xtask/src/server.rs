//! Servers of the built binary, for programs that are run against them.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The root token of a server that serves.
pub(crate) const ROOT_TOKEN: &str = "root-of-the-tests";

/// A server in memory, on a port that the system chose; ended when dropped.
pub(crate) struct Server {
    child: Child,
    /// For `VAULT_ADDR`.
    pub(crate) address: String,
}

impl Server {
    /// Unsealed, with KV version 2 at `secret/` and [`ROOT_TOKEN`].
    pub(crate) fn serving(coffer: &Path, home: &Path) -> Result<Self> {
        let token = format!("-dev-root-token-id={ROOT_TOKEN}");
        let flags = [
            "-dev",
            "-dev-listen-address=127.0.0.1:0",
            "-dev-no-store-token",
            &token,
        ];
        Self::start(coffer, home, "serving", &flags)
    }

    /// Initialised, with keys that nobody keeps.
    pub(crate) fn sealed(coffer: &Path, home: &Path) -> Result<Self> {
        let server = Self::fresh(coffer, home, "sealed")?;
        let initialized = Command::new(coffer)
            .args(["operator", "init", "-key-shares=1", "-key-threshold=1"])
            .env("VAULT_ADDR", &server.address)
            .env_remove("VAULT_TOKEN")
            .env("HOME", home)
            .stdout(Stdio::null())
            .status()?;
        ensure!(
            initialized.success(),
            "coffer operator init failed: {initialized}"
        );
        Ok(server)
    }

    /// Not initialised.
    pub(crate) fn fresh(coffer: &Path, home: &Path, name: &str) -> Result<Self> {
        let config = home.join(name).with_extension("hcl");
        let listener = "listener \"tcp\" {\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}";
        fs::write(&config, format!("storage \"inmem\" {{}}\n{listener}\n"))?;
        let config = format!("-config={}", config.display());
        Self::start(coffer, home, name, &[&config])
    }

    fn start(coffer: &Path, home: &Path, name: &str, flags: &[&str]) -> Result<Self> {
        let log = File::create(home.join(name).with_extension("log"))?;
        let mut child = Command::new(coffer)
            .arg("server")
            .args(flags)
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", coffer.display()))?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let mut server = Self {
            child,
            address: String::new(),
        };
        let mut lines = BufReader::new(stdout).lines();
        let host = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, after) = line.split_once("http://")?;
            let end = after.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
            Some(after[..end.unwrap_or(after.len())].to_owned())
        });
        // The rest is read to its end, so that the server never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let host =
            host.with_context(|| format!("the {name} server did not say where it listens"))?;
        server.address = format!("http://{host}");
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
