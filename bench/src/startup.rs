//! The product's own binary: its size, how soon a dev server has its first secret, and what it holds
//! when idle.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tempfile::TempDir;

use crate::process::{self, Memory};
use crate::report::{Bound, Report};
use crate::sample::median;
use crate::server::{ask, secret};

const STARTS: usize = 7;
/// After which a server that has answered is idle.
const REST: Duration = Duration::from_secs(1);
/// What the incumbent holds when idle, at its best, in MiB.
const INCUMBENT_IDLE: f64 = 99.0;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    report.part("the binary");
    let binary = std::env::current_exe()?.with_file_name("coffer");
    if !binary.is_file() {
        report.part("not measured: coffer is not built; `cargo xtask bench` builds it");
        return Ok(());
    }
    size(report, &binary)?;

    let mut first_secrets = Vec::new();
    let mut idle = None;
    for _ in 0..STARTS {
        let begun = Instant::now();
        let dev = Coffer::dev(&binary)?;
        dev.write_and_read("secret/data/first", &dev.token)?;
        first_secrets.push(begun.elapsed().as_secs_f64() * 1e3);
        if idle.is_none() {
            idle = Some(dev.idle()?);
        }
    }
    let first_secret = median(first_secrets);
    report.figure(
        "dev server, from exec to the first secret written and read",
        first_secret,
        "ms",
    );
    report.target(
        "first secret of a dev server",
        Bound::AtMost(250.0),
        first_secret,
        "ms",
    );
    let dev = idle.context("a start")?;
    memory(report, "dev server", dev);

    let directory = TempDir::new()?;
    let first = Coffer::persistent(&binary, directory.path())?;
    let body = json!({ "secret_shares": 1, "secret_threshold": 1 });
    let made = ask(first.address, "PUT", "sys/init", "", Some(&body))?;
    let root = made["root_token"].as_str().context("a token")?.to_owned();
    let key = json!({ "key": made["keys"][0] });
    ask(first.address, "PUT", "sys/unseal", "", Some(&key))?;
    let mount = json!({ "type": "kv", "options": { "version": "2" } });
    ask(
        first.address,
        "POST",
        "sys/mounts/secret",
        &root,
        Some(&mount),
    )?;
    first.write_and_read("secret/data/first", &root)?;
    memory(
        report,
        "server on a file, its first start (it compiled KV)",
        first.idle()?,
    );
    drop(first);
    let again = Coffer::persistent(&binary, directory.path())?;
    ask(again.address, "PUT", "sys/unseal", "", Some(&key))?;
    again.write_and_read("secret/data/first", &root)?;
    let again = again.idle()?;
    memory(report, "server on a file, started again", again);

    let most = dev.resident.max(again.resident);
    report.target("idle, dev and on a file", Bound::AtMost(45.0), most, "MiB");
    let times = INCUMBENT_IDLE / most;
    report.target(
        "the incumbent's idle memory / ours",
        Bound::AtLeast(3.0),
        times,
        "",
    );
    Ok(())
}

fn size(report: &mut Report, binary: &Path) -> Result<()> {
    let mebibytes = |path: &Path| -> Result<f64> {
        Ok(std::fs::metadata(path)?.len() as f64 / (1 << 20) as f64)
    };
    report.figure("size, as built", mebibytes(binary)?, "MiB");
    let directory = TempDir::new()?;
    let stripped = directory.path().join("stripped");
    // Not every machine has it; then there is one figure less.
    let strip = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(binary)
        .status();
    if strip.is_ok_and(|status| status.success()) {
        report.figure("size, stripped", mebibytes(&stripped)?, "MiB");
    }
    Ok(())
}

fn memory(report: &mut Report, name: &str, memory: Memory) {
    report.figure(&format!("{name}: resident"), memory.resident, "MiB");
    if let Some(proportional) = memory.proportional {
        report.figure(&format!("{name}: proportional"), proportional, "MiB");
    }
}

/// A running server of the product's binary; it ends when dropped.
struct Coffer {
    child: Child,
    /// Kept open: who writes to a closed one fails.
    _output: BufReader<ChildStdout>,
    address: SocketAddr,
    /// In dev mode.
    token: String,
}

impl Coffer {
    fn dev(binary: &Path) -> Result<Self> {
        let flags = [
            "-dev",
            "-dev-no-store-token",
            "-dev-listen-address=127.0.0.1:0",
        ];
        Self::start(
            Command::new(binary).arg("server").args(flags),
            "Root Token: ",
        )
    }

    fn persistent(binary: &Path, directory: &Path) -> Result<Self> {
        let config: PathBuf = directory.join("coffer.hcl");
        let data = directory.join("data");
        let text = format!(
            "storage \"redb\" {{ path = {data:?} }}\nlistener \"tcp\" {{\n address = \"127.0.0.1:0\"\n tls_disable = true\n}}\n"
        );
        std::fs::write(&config, text)?;
        let config = format!("-config={}", config.display());
        Self::start(
            Command::new(binary).args(["server", &config]),
            "==> Coffer server started!",
        )
    }

    /// Reads what it prints up to the line that begins with `last`.
    fn start(command: &mut Command, last: &str) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().context("piped")?);
        let mut address = None;
        loop {
            let mut line = String::new();
            if output.read_line(&mut line)? == 0 {
                bail!("coffer did not start");
            }
            if let Some((_, url)) = line.split_once("Listener 1: http://") {
                address = Some(url.trim().parse()?);
            }
            if let Some(token) = line.strip_prefix(last) {
                return Ok(Self {
                    child,
                    _output: output,
                    address: address.context("an address")?,
                    token: token.trim().to_owned(),
                });
            }
        }
    }

    fn write_and_read(&self, path: &str, token: &str) -> Result<()> {
        ask(self.address, "PUT", path, token, Some(&secret()))?;
        ask(self.address, "GET", path, token, None)?;
        Ok(())
    }

    fn idle(&self) -> Result<Memory> {
        std::thread::sleep(REST);
        process::memory(self.child.id())
    }
}

impl Drop for Coffer {
    fn drop(&mut self) {
        // One that has ended is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
