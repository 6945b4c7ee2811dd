//! The server that is measured: the product's own surface and connections, with a route beside it
//! that answers a constant, in a process of its own so that its CPU time can be told apart.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::routing::get;
use host_barrier::{Barrier, Random, StorageConfig, SystemRandomness};
use host_core::{Clock, Core, Custody, KeySource, Parts, SealKind, Settings, SystemClock};
use host_keys::MountSecrets;
use host_logical::{EngineKind, Secrets};
use host_runtime::{EngineHost, RuntimeConfig};
use host_server::Surface;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::neighbour;
use crate::process::{self, Memory};

/// Serves until its standard input closes, which it does with its parent.
pub(crate) async fn be(directory: &Path, hostile: bool) -> Result<()> {
    let text = format!(
        "storage \"redb\" {{ path = {directory:?} }}\nlistener \"tcp\" {{\n address = \"127.0.0.1:0\"\n tls_disable = true\n}}\nlog_level = \"error\"\n"
    );
    let config = host_server::Config::parse(Path::new("bench.hcl"), &text)?;
    let listeners = host_server::bind(&config).await?;
    println!("{}", listeners[0].url());
    let surface = match hostile {
        false => host_server::open(config).await?,
        true => open_with_hostile(directory).await?,
    };
    let core = surface.core.clone();
    let router = host_server::router(surface).route("/constant", get(|| async { "constant" }));
    let parent_is_gone = async {
        // Whatever ends it, an error included, is the end.
        let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
    };
    host_server::serve_router(router, listeners, parent_is_gone).await;
    core.seal().await?;
    Ok(())
}

/// As `host_server::open`, with a hostile engine in the catalog: there is no route yet by which one
/// could get there.
async fn open_with_hostile(directory: &Path) -> Result<Surface> {
    let random: Arc<dyn Random> = Arc::new(SystemRandomness::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let storage = StorageConfig::Redb {
        directory: directory.to_owned(),
    };
    let engines = EngineHost::new(RuntimeConfig::default())?;
    let component = neighbour::COMPONENT.to_vec();
    engines.register(EngineKind::Secrets, "hostile", "1.0.0", component)?;
    let core = Core::new(Parts {
        barrier: Barrier::open(storage, random.clone()).await?,
        engines,
        custody: Arc::new(Keys(random.clone())),
        clock: clock.clone(),
        random: random.clone(),
        settings: Settings {
            default_lease_ttl: Settings::LEASE_TTL,
            max_lease_ttl: Settings::LEASE_TTL,
            seal: SealKind::Shamir,
            version: "1.0.0",
        },
    });
    Ok(Surface {
        core,
        clock,
        random,
    })
}

struct Keys(Arc<dyn Random>);

impl Custody for Keys {
    fn secrets(&self, key: KeySource) -> Arc<dyn Secrets> {
        let random = self.0.clone();
        Arc::new(MountSecrets::new(
            key,
            Arc::new(move |buf| Ok(random.fill(buf)?)),
        ))
    }
}

/// A store, and what opens it.
pub(crate) struct Store {
    directory: TempDir,
    /// Of its servers.
    flags: &'static [&'static str],
    pub(crate) unseal_key: String,
    pub(crate) token: String,
}

impl Store {
    /// A new one with KV 2 at `secret/`, and its server.
    pub(crate) fn create() -> Result<(Self, Server)> {
        Self::create_with(&[])
    }

    /// The same, with more flags for its servers.
    pub(crate) fn create_with(flags: &'static [&'static str]) -> Result<(Self, Server)> {
        let mut store = Self {
            directory: TempDir::new()?,
            flags,
            unseal_key: String::new(),
            token: String::new(),
        };
        let server = Server::start(&store.path(), flags)?;
        let ask = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let made = server.ask("PUT", "sys/init", "", Some(&ask))?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
        store.unseal_key = text(&made["keys"][0])?;
        store.token = text(&made["root_token"])?;
        store.unseal(&server)?;
        let mount = json!({ "type": "kv", "options": { "version": "2" } });
        server.ask("POST", "sys/mounts/secret", &store.token, Some(&mount))?;
        Ok((store, server))
    }

    /// A server on it, unsealed.
    pub(crate) fn open(&self) -> Result<Server> {
        let server = Server::start(&self.path(), self.flags)?;
        self.unseal(&server)?;
        Ok(server)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn unseal(&self, server: &Server) -> Result<()> {
        let key = json!({ "key": self.unseal_key });
        server.ask("PUT", "sys/unseal", "", Some(&key))?;
        Ok(())
    }
}

/// A process that serves; it ends when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Sealed.
    fn start(data: &Path, flags: &[&str]) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .arg(data)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("piped")?).read_line(&mut line)?;
        let address = line.trim().trim_start_matches("http://").parse()?;
        Ok(Self { child, address })
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        process::cpu(self.child.id())
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        process::memory(self.child.id())
    }

    /// One request below `/v1/` that must succeed, and its answer's JSON.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        ask(self.address, method, path, token, body)
    }

    /// Seals and ends, so that the store can be opened by others.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        ensure!(self.child.wait()?.success(), "the server did not end well");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its input closes with us; this is for when it hangs. One that has ended is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bytes of a request on a connection that stays.
pub(crate) fn request(method: &str, path: &str, token: &str, body: Option<&Value>) -> Vec<u8> {
    let body = body.map(Value::to_string).unwrap_or_default();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: bench\r\nX-Vault-Token: {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// As [`Server::ask`], of whoever serves there.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: Option<&Value>,
) -> Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    let token = format!("{token}\r\nConnection: close");
    stream.write_all(&request(method, &format!("/v1/{path}"), &token, body))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
    ensure!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
    Ok(serde_json::from_str(body).unwrap_or_default())
}

/// What is written and read: 300 bytes.
pub(crate) fn secret() -> Value {
    json!({ "data": { "username": "app", "password": "x".repeat(250) } })
}
