//! A load of HTTP/1.1: so many connections, each asking again as soon as it is answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What came of a load.
pub(crate) struct Measured {
    /// Of each request, sorted.
    latencies: Vec<Duration>,
}

impl Measured {
    /// Requests a second.
    pub(crate) fn rate(&self, time: Duration) -> f64 {
        self.latencies.len() as f64 / time.as_secs_f64()
    }

    /// Milliseconds below which this share of the requests was answered.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len() - 1);
        self.latencies[at].as_secs_f64() * 1e3
    }

    /// `total` shared among the requests, in microseconds.
    pub(crate) fn each(&self, total: Duration) -> f64 {
        total.as_secs_f64() * 1e6 / self.latencies.len() as f64
    }
}

/// Sends the request of each connection over and over. Every answer must be a success.
pub(crate) async fn run(
    address: SocketAddr,
    requests: impl Fn(usize) -> Vec<u8>,
    connections: usize,
    time: Duration,
) -> Result<Measured> {
    let end = Instant::now() + time;
    let tasks: Vec<_> = (0..connections)
        .map(|number| tokio::spawn(connection(address, requests(number), end)))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    ensure!(!latencies.is_empty(), "no request was answered");
    latencies.sort_unstable();
    Ok(Measured { latencies })
}

async fn connection(address: SocketAddr, request: Vec<u8>, end: Instant) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut latencies = Vec::new();
    let mut buffer = Vec::with_capacity(64 << 10);
    while Instant::now() < end {
        let begun = Instant::now();
        stream.write_all(&request).await?;
        answer(&mut stream, &mut buffer).await?;
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}

/// Reads one answer to its end and leaves nothing of it in `buffer`.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&buffer[..head])?;
        let is_success = text
            .split(' ')
            .nth(1)
            .context("no status")?
            .starts_with('2');
        let wanted = head + 4 + content_length(text)?;
        while buffer.len() < wanted {
            if stream.read_buf(buffer).await? == 0 {
                bail!("the server closed the connection");
            }
        }
        ensure!(is_success, "{}", String::from_utf8_lossy(buffer));
        return Ok(());
    }
}

fn content_length(head: &str) -> Result<usize> {
    let value = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then_some(value.trim())
    });
    Ok(value.unwrap_or("0").parse()?)
}
