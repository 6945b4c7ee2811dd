//! The server that is measured: the product's own surface and connections, with a route beside it
//! that answers a constant, in a process of its own so that its CPU time can be told apart.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::routing::get;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Ticks a second of `/proc/<pid>/stat`: the kernel's `USER_HZ`, 100 on every Linux that we run on.
const TICKS_PER_SECOND: u64 = 100;

/// Serves until its standard input closes, which it does with its parent.
pub(crate) async fn be(directory: &Path) -> Result<()> {
    let text = format!(
        "storage \"redb\" {{ path = {directory:?} }}\nlistener \"tcp\" {{\n address = \"127.0.0.1:0\"\n tls_disable = true\n}}\nlog_level = \"error\"\n"
    );
    let config = host_server::Config::parse(Path::new("bench.hcl"), &text)?;
    let listeners = host_server::bind(&config).await?;
    println!("{}", listeners[0].url());
    let surface = host_server::open(config).await?;
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

/// One kind of request, or one for each connection.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) requests: Vec<Vec<u8>>,
}

/// That process, initialised and unsealed; it ends when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    token: String,
    _directory: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        let directory = TempDir::new()?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .arg(directory.path().join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("piped")?).read_line(&mut line)?;
        let address = line.trim().trim_start_matches("http://").parse()?;
        let mut server = Self {
            child,
            address,
            token: String::new(),
            _directory: directory,
        };
        let made = server
            .ask(
                "PUT",
                "sys/init",
                json!({"secret_shares": 1, "secret_threshold": 1}),
            )
            .await?;
        server
            .ask("PUT", "sys/unseal", json!({"key": made["keys"][0]}))
            .await?;
        server.token = made["root_token"].as_str().context("a token")?.to_owned();
        server
            .ask("POST", "sys/mounts/secret", json!({"type": "kv-v2"}))
            .await?;
        server.ask("PUT", "secret/data/app", secret()).await?;
        Ok(server)
    }

    /// What is measured, the ceiling first.
    pub(crate) fn work(&self) -> Vec<Work> {
        let get = |name, path: &str| Work {
            name,
            requests: vec![self.request("GET", path, None)],
        };
        let put = |path: &str| self.request("PUT", path, Some(secret()));
        vec![
            get("constant route (ceiling)", "/constant"),
            get("sys/health", "/v1/sys/health"),
            get("token lookup-self", "/v1/auth/token/lookup-self"),
            get("KV v2 read", "/v1/secret/data/app"),
            Work {
                name: "KV v2 durable write",
                requests: (0..64)
                    .map(|n| put(&format!("/v1/secret/data/busy/{n}")))
                    .collect(),
            },
            Work {
                name: "KV v2 durable write, one key",
                requests: vec![put("/v1/secret/data/hot")],
            },
        ]
    }

    /// CPU time of the process so far, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // After the name in parentheses, which may hold anything: utime and stime are 14 and 15.
        let after_name = stat.rsplit_once(')').context("a stat line")?.1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    fn request(&self, method: &str, path: &str, body: Option<Value>) -> Vec<u8> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nX-Vault-Token: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        )
        .into_bytes()
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        let mut stream = TcpStream::connect(self.address).await?;
        let mut request = self.request(method, &format!("/v1/{path}"), Some(body));
        let close = b"Connection: close\r\n";
        let first_line = request
            .iter()
            .position(|byte| *byte == b'\n')
            .context("a line")?
            + 1;
        request.splice(first_line..first_line, close.iter().copied());
        stream.write_all(&request).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
        ensure!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        Ok(serde_json::from_str(body).unwrap_or_default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its input closes with us; this is for when it hangs.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// 300 bytes, as the measured prototype wrote.
fn secret() -> Value {
    json!({ "data": { "username": "app", "password": "x".repeat(250) } })
}
