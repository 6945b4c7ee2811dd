//! A load of HTTP/1.1: so many connections, each asking again as soon as it is answered.
//!
//! One thread, one `epoll`, requests as bytes made before, and of an answer no more is read than
//! its status and its length: the generator shares two cores with the server, so it has to cost
//! little, and the same for every route. What it did cost is measured, too.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::process;

/// One kind of request, or several that the connections go through in turn, and how each is to be
/// answered. No two connections are at the same one where there are as many as connections.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) name: String,
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) status: u16,
}

/// What came of a load.
pub(crate) struct Load {
    /// Of each request in nanoseconds, sorted.
    pub(crate) latencies: Vec<u32>,
    /// From the first request to the last answer.
    pub(crate) time: Duration,
    /// CPU time of the generator.
    pub(crate) cpu: Duration,
}

/// No answer is waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(60);
/// Larger than every answer but those of long listings, which take several reads.
const BUFFER_BYTES: usize = 256 << 10;

/// Asks for `time`, then waits for what is still to be answered.
pub(crate) fn run(
    address: SocketAddr,
    work: &Work,
    connections: usize,
    time: Duration,
) -> Result<Load> {
    let mut poll = Poll::new()?;
    let count = connections;
    let mut connections = (0..count)
        .map(|number| {
            let requests = work.requests.iter().cycle().skip(number).step_by(count);
            let mut connection = Connection::open(address, requests)?;
            let (stream, token) = (&mut connection.stream, Token(number));
            poll.registry()
                .register(stream, token, Interest::READABLE)?;
            Ok(connection)
        })
        .collect::<Result<Vec<_>>>()?;

    let mut latencies = Vec::with_capacity(1 << 16);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut events = Events::with_capacity(connections.len());
    let mut asking = connections.len();
    let cpu = process::own_cpu();
    let begun = Instant::now();
    let mut now = begun;
    for connection in &mut connections {
        connection.ask()?;
    }
    while asking > 0 {
        poll.poll(&mut events, Some(PATIENCE))?;
        ensure!(!events.is_empty(), "{}: no answer", work.name);
        for event in &events {
            let connection = &mut connections[event.token().0];
            let Some(status) = connection.answer(&mut buffer)? else {
                continue;
            };
            ensure!(
                status == work.status,
                "{} was answered with {status}: {}",
                work.name,
                String::from_utf8_lossy(&buffer[..1024])
            );
            now = Instant::now();
            let took = now.duration_since(connection.asked).as_nanos();
            latencies.push(u32::try_from(took).unwrap_or(u32::MAX));
            match now.duration_since(begun) < time {
                true => connection.ask_at(now)?,
                false => asking -= 1,
            }
        }
    }
    latencies.sort_unstable();
    Ok(Load {
        latencies,
        time: now.duration_since(begun),
        cpu: process::own_cpu().saturating_sub(cpu),
    })
}

struct Connection<R> {
    stream: TcpStream,
    requests: R,
    asked: Instant,
    /// Of an answer that came in parts: its status, and how many bytes are to come.
    unfinished: Option<(u16, usize)>,
}

impl<'w, R: Iterator<Item = &'w Vec<u8>>> Connection<R> {
    fn open(address: SocketAddr, requests: R) -> Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: TcpStream::from_std(stream),
            requests,
            asked: Instant::now(),
            unfinished: None,
        })
    }

    fn ask(&mut self) -> Result<()> {
        self.ask_at(Instant::now())
    }

    fn ask_at(&mut self, now: Instant) -> Result<()> {
        let request = self.requests.next().context("a request")?;
        self.asked = now;
        let written = self.stream.write(request)?;
        ensure!(written == request.len(), "a request is too large");
        Ok(())
    }

    /// Reads on; the status when the answer is whole. After that nothing can be left to read,
    /// since nothing was asked.
    fn answer(&mut self, buffer: &mut [u8]) -> Result<Option<u16>> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => read,
                Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(err) => return Err(err.into()),
            };
            let (status, wanted) = match self.unfinished.take() {
                Some(unfinished) => unfinished,
                None => outline(&buffer[..read])?,
            };
            match wanted.checked_sub(read) {
                None => bail!("an answer is longer than it says"),
                Some(0) => return Ok(Some(status)),
                Some(left) => self.unfinished = Some((status, left)),
            }
        }
    }
}

/// The status of an answer and its length, head and body. Our server sends a head in one piece.
fn outline(answer: &[u8]) -> Result<(u16, usize)> {
    let head = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("an answer without a head")?;
    let text = std::str::from_utf8(&answer[..head])?;
    let status = text.get(9..12).context("an answer without a status")?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let body: usize = length.unwrap_or("0").parse()?;
    Ok((status.parse()?, head + 4 + body))
}
