//! A server to try things on, and a client that shows what came over the wire.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A server of its own, on a port that the system chose; it ends when dropped.
pub(crate) struct TestVault {
    directory: TempDir,
    server: Option<Server>,
}

struct Server {
    child: Child,
    /// Of its listeners, in their order.
    addresses: Vec<String>,
    log: Arc<Mutex<String>>,
}

/// What a new server hands out.
pub(crate) struct Keys {
    pub(crate) root: String,
    pub(crate) shares: Vec<String>,
}

impl TestVault {
    /// Not initialised yet.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// With more lines in its configuration.
    pub(crate) fn start_with(more: &str) -> Self {
        let directory = TempDir::new().expect("a directory for the test");
        let config = format!(
            "storage \"redb\" {{ path = {:?} }}\nlistener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}}\n{more}\n",
            directory.path().join("data")
        );
        Self::start_from(directory, &config)
    }

    /// From a whole configuration, in `directory`.
    pub(crate) fn start_from(directory: TempDir, config: &str) -> Self {
        std::fs::write(directory.path().join("coffer.hcl"), config).expect("a configuration");
        let mut vault = Self {
            directory,
            server: None,
        };
        vault.run();
        vault
    }

    /// Initialised with one share, unsealed; the client has its root token.
    pub(crate) fn ready() -> (Self, Client) {
        let vault = Self::start();
        let keys = vault.initialize(1, 1);
        vault.unseal(&keys);
        let client = vault.client(&keys.root);
        (vault, client)
    }

    /// As [`TestVault::ready`], with `secret/` as KV version 2.
    pub(crate) fn with_kv() -> (Self, Client) {
        let (vault, root) = Self::ready();
        let made = root.post(
            "sys/mounts/secret",
            json!({"type": "kv", "options": {"version": "2"}}),
        );
        assert_eq!(made.status, 204, "{made:?}");
        (vault, root)
    }

    pub(crate) fn initialize(&self, shares: u32, threshold: u32) -> Keys {
        let body = json!({"secret_shares": shares, "secret_threshold": threshold});
        let made = self.client("").put("sys/init", body);
        assert_eq!(made.status, 200, "{made:?}");
        let shares = made.body["keys_base64"].as_array().expect("keys").iter();
        Keys {
            root: made.body["root_token"]
                .as_str()
                .expect("a token")
                .to_owned(),
            shares: shares
                .map(|key| key.as_str().expect("a key").to_owned())
                .collect(),
        }
    }

    pub(crate) fn unseal(&self, keys: &Keys) {
        for share in &keys.shares {
            let answer = self.client("").put("sys/unseal", json!({"key": share}));
            assert_eq!(answer.status, 200, "{answer:?}");
            if answer.body["sealed"] == false {
                return;
            }
        }
        panic!("all shares together do not unseal");
    }

    pub(crate) fn client(&self, token: &str) -> Client {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(60)))
            .max_redirects(0)
            .build();
        Client {
            agent: ureq::Agent::new_with_config(config),
            base: format!("http://{}/v1/", self.address()),
            token: token.to_owned(),
            headers: Vec::new(),
        }
    }

    /// Where its first listener listens.
    pub(crate) fn address(&self) -> &str {
        &self.addresses()[0]
    }

    pub(crate) fn addresses(&self) -> &[String] {
        &self.server.as_ref().expect("it runs").addresses
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What the server has logged so far.
    pub(crate) fn log(&self) -> String {
        self.server
            .as_ref()
            .expect("it runs")
            .log
            .lock()
            .expect("no panic in the reader")
            .clone()
    }

    /// Ends the server the hard way and starts it again on the same file.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Ends the server the hard way, as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.server = None;
    }

    /// Starts a server that has none running, on the same file.
    pub(crate) fn run(&mut self) {
        self.server = Some(Server::start(&self.directory.path().join("coffer.hcl")));
    }

    /// Starts a server and kills it so soon that it may not be up yet.
    pub(crate) fn run_and_kill_after(&self, delay: Duration) {
        let mut child = command(&self.directory.path().join("coffer.hcl"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        std::thread::sleep(delay);
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.server.as_ref().expect("it runs").child.id()
    }

    /// Waits until the log says `text`.
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(&format!("the log says {text:?}"), || {
            self.log().contains(text)
        });
    }

    /// Sends bytes as they are and gives back all that comes until the connection closes.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("it listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a timeout");
        stream.write_all(request).expect("sent");
        let mut answer = Vec::new();
        // A server that closes with a reset has still said what it had to say.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Server {
    fn start(config: &Path) -> Self {
        let mut child = command(config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let log = Arc::new(Mutex::new(String::new()));
        keep(child.stderr.take().expect("piped"), log.clone());
        let stdout = child.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines();
        let addresses: Vec<String> = lines
            .by_ref()
            .map_while(Result::ok)
            .take_while(|line| !line.contains("server started"))
            .filter_map(|line| {
                let (_, address) = line.split_once("://")?;
                let address = address.trim_matches(|c: char| !c.is_ascii_digit());
                Some(address.to_owned())
            })
            .collect();
        std::thread::spawn(move || lines.for_each(drop));
        if addresses.is_empty() {
            let _ = child.kill();
            panic!(
                "the server did not start: {}",
                log.lock().expect("no panic").as_str()
            );
        }
        Self {
            child,
            addresses,
            log,
        }
    }
}

/// A server from this configuration.
pub(crate) fn command(config: &Path) -> Command {
    let mut command = Command::new(coffer());
    command
        .arg("server")
        .arg(format!("-config={}", config.display()))
        .stdin(Stdio::null());
    command
}

/// Waits until `done`, within a time that is generous.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "it is not so that {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Says something that a passing test has to say, too.
pub(crate) fn say(text: &str) {
    // Who cannot be told has lost only this line.
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep(stream: impl std::io::Read + Send + 'static, log: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut log = log.lock().expect("nobody panics with it");
            log.push_str(&line);
            log.push('\n');
        }
    });
}

/// The binary, beside the folder of this test's own.
pub(crate) fn coffer() -> PathBuf {
    let here = std::env::current_exe().expect("a test has a path");
    let release = here
        .parent()
        .and_then(Path::parent)
        .expect("target/release/deps");
    let coffer = release.join("coffer");
    assert!(
        coffer.exists(),
        "{} is missing: run `cargo xtask build`",
        coffer.display()
    );
    coffer
}

/// A client that hides nothing.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    token: String,
    headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) text: String,
    /// Null where the body is none, or not JSON.
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    pub(crate) fn list(&self, path: &str) -> Answer {
        self.send("LIST", path, None)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None)
    }

    pub(crate) fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, Some(&body.to_string()))
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(&body.to_string()))
    }

    pub(crate) fn patch(&self, path: &str, body: Value) -> Answer {
        self.with_header("Content-Type", "application/merge-patch+json")
            .send("PATCH", path, Some(&body.to_string()))
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.try_send(method, path, body)
            .unwrap_or_else(|err| panic!("{method} {path}: {err}"))
    }

    /// As [`Client::send`]; whoever kills servers gets no answer now and then.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if !self.token.is_empty() {
            request = request.header("X-Vault-Token", &self.token);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = match body {
            Some(body) => self
                .agent
                .run(request.body(body.to_owned()).expect("a request")),
            None => self.agent.run(request.body(()).expect("a request")),
        }?;
        let text = response.body_mut().read_to_string()?;
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        })
    }
}

impl Answer {
    /// The one text of an error.
    pub(crate) fn error(&self) -> &str {
        self.body["errors"][0].as_str().unwrap_or_default()
    }

    /// `data`, of an answer that must be a 200.
    pub(crate) fn data(&self) -> &Value {
        assert_eq!(self.status, 200, "{}", self.text);
        &self.body["data"]
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}
