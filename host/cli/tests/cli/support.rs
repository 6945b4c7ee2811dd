//! A server that plays recorded answers, and the binary as a process beside it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use expect_test::Expect;

/// The preflight's answer about a mount of version 2 at `secret/`, and of version 1 at `kv1/`.
pub(crate) const V2: &str = r#"{"path":"secret/","type":"kv","options":{"version":"2"}}"#;
pub(crate) const V1: &str = r#"{"path":"kv1/","type":"kv","options":null}"#;

/// An answer to play.
pub(crate) struct Answer {
    status: u16,
    body: String,
    headers: Vec<String>,
}

/// 200 with `data` in an envelope.
pub(crate) fn ok(data: &str) -> Answer {
    let envelope = r#"{"request_id":"r-1","lease_id":"","renewable":false,"lease_duration":0,"data":DATA,"wrap_info":null,"warnings":null,"auth":null}"#;
    raw(200, &envelope.replace("DATA", data))
}

/// A status with nothing to say: an empty body, or an empty list of errors.
pub(crate) fn status(status: u16) -> Answer {
    raw(
        status,
        if status == 204 {
            ""
        } else {
            r#"{"errors":[]}"#
        },
    )
}

pub(crate) fn denied() -> Answer {
    raw(
        403,
        r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#,
    )
}

pub(crate) fn raw(status: u16, body: &str) -> Answer {
    Answer {
        status,
        body: body.to_owned(),
        headers: Vec::new(),
    }
}

impl Answer {
    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }
}

/// A home directory of its own, gone at the end.
pub(crate) struct Home(PathBuf);

impl Home {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "coffer-home-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One command to run.
pub(crate) struct Run {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    stdin: String,
    answers: Vec<Answer>,
    headers: bool,
}

impl Run {
    pub(crate) fn new(line: &str) -> Self {
        Self {
            args: line.split(' ').map(str::to_owned).collect(),
            env: [("VAULT_TOKEN".to_owned(), "root".to_owned())].into(),
            stdin: String::new(),
            answers: Vec::new(),
            headers: false,
        }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn without_token(mut self) -> Self {
        self.env.remove("VAULT_TOKEN");
        self
    }

    pub(crate) fn home(self, home: &Home) -> Self {
        let path = home.0.display().to_string();
        self.env("HOME", &path)
    }

    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.to_owned();
        self
    }

    pub(crate) fn answers(mut self, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.answers.extend(answers);
        self
    }

    /// Tells all headers of requests, not only those that a command chooses.
    pub(crate) fn show_headers(mut self) -> Self {
        self.headers = true;
        self
    }

    /// Runs the command and compares all that can be seen of it.
    #[track_caller]
    pub(crate) fn check(self, expected: Expect) {
        self.check_as(&[], expected);
    }

    /// The same, with names for what is different each time.
    #[track_caller]
    pub(crate) fn check_as(self, names: &[(&str, &str)], expected: Expect) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let mut env = self.env;
        env.entry("VAULT_ADDR".to_owned())
            .or_insert_with(|| format!("http://{address}"));

        let (answers, headers) = (self.answers, self.headers);
        let server = thread::spawn(move || play(&listener, answers, headers));
        let told = run(&self.args, &env, &self.stdin);
        // An empty connection tells the server that nothing more will come.
        drop(TcpStream::connect(address));
        let asked = server.join().expect("the recorded server does not panic");
        let seen = format!("{asked}{told}").replace(&address.to_string(), "SERVER");
        expected.assert_eq(
            &names
                .iter()
                .fold(seen, |seen, (text, name)| seen.replace(text, name)),
        );
    }
}

fn run(args: &[String], env: &BTreeMap<String, String>, stdin: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_coffer"))
        .args(args)
        .env_clear()
        .env("HOME", "/nonexistent")
        .envs(env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // It need not read what it is given.
    let _ = child
        .stdin
        .take()
        .expect("stdin is a pipe")
        .write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("the binary ends");

    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut told = stdout.clone().into_owned();
    if !stdout.is_empty() && !stdout.ends_with('\n') {
        told.push_str("<no newline>\n");
    }
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        told.push_str(format!("! {line}").trim_end());
        told.push('\n');
    }
    told.push_str(&format!(
        "exit {}\n",
        output.status.code().expect("no signal ended it")
    ));
    told
}

/// Plays `answers` in order and returns what was asked.
fn play(listener: &TcpListener, answers: Vec<Answer>, headers: bool) -> String {
    let mut answers = answers.into_iter();
    let mut asked = String::new();
    loop {
        let (stream, _) = listener.accept().expect("loopback accepts");
        let mut reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        let mut requests = 0;
        while let Some(request) = read_request(&mut reader, headers) {
            requests += 1;
            asked.push_str(&request);
            let Some(answer) = answers.next() else {
                asked.push_str("> (not expected)\n");
                break;
            };
            write_answer(&stream, &answer);
        }
        if requests == 0 {
            let left = answers.count();
            if left > 0 {
                asked.push_str(&format!("> ({left} more were expected)\n"));
            }
            return asked;
        }
    }
}

fn read_request(reader: &mut impl BufRead, all_headers: bool) -> Option<String> {
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return None;
    }
    let mut request = format!("> {}", line.trim_end().trim_end_matches(" HTTP/1.1"));
    let mut length = 0;
    let mut shown = Vec::new();
    loop {
        let mut header = String::new();
        reader
            .read_line(&mut header)
            .expect("a request has headers");
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        let name = name.to_ascii_lowercase();
        if name == "content-length" {
            length = value.parse().expect("a length is a number");
        }
        let chosen = name == "content-type"
            || name == "x-vault-wrap-ttl"
            || name == "x-vault-token" && value != "root";
        if chosen || all_headers && name != "content-length" {
            shown.push(format!("\n>   {name}: {value}"));
        }
    }
    let mut body = vec![0; length];
    reader
        .read_exact(&mut body)
        .expect("a body is as long as it says");
    if !body.is_empty() {
        request.push_str(&format!(" {}", String::from_utf8_lossy(&body)));
    }
    request.push_str(&shown.concat());
    request.push('\n');
    Some(request)
}

fn write_answer(mut stream: &TcpStream, answer: &Answer) {
    let headers: String = answer
        .headers
        .iter()
        .map(|line| format!("{line}\r\n"))
        .collect();
    let (status, body) = (answer.status, &answer.body);
    let length = if status == 204 {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let text = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{length}{headers}\r\n{body}"
    );
    stream
        .write_all(text.as_bytes())
        .expect("the client reads its answer");
}
