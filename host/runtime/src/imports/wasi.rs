//! WASI 0.2 for toolchains that import it unasked: all of it is there and nothing is behind it. No
//! files, no environment, no arguments, no sockets. What a guest prints is kept to its last few
//! KiB, for the log entry of a trap.
//!
//! Time and chance come from `ambient`, so that a call can be replayed: the wall clock stands still,
//! and the monotonic one moves only by what the guest has slept.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use host_logical::{Ambient, EngineError};
use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random};
use wasmtime_wasi::p2::{
    DynPollable, OutputStream, Pollable, StreamError, StreamResult, subscribe,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::instance::CallState;
use crate::limits;
use crate::meter::Meter;

/// A call's share of WASI. Made when the guest first asks for it: most never do.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    output: Output,
    /// The monotonic clock: where it starts, and the nanoseconds that the guest has slept.
    monotonic: Arc<AtomicU64>,
}

/// Where the monotonic clock starts: Go takes zero for a clock that does not work, and stops.
const MONOTONIC_START: u64 = 1_000_000_000;

impl Wasi {
    pub(crate) fn new() -> Self {
        let output = Output::default();
        let ctx = WasiCtx::builder()
            .stdout(output.clone())
            .stderr(output.clone())
            .build();
        Self {
            ctx,
            output,
            monotonic: Arc::new(AtomicU64::new(MONOTONIC_START)),
        }
    }

    /// The end of what the guest printed.
    pub(crate) fn output_tail(&self) -> String {
        self.output.tail()
    }
}

pub(super) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let l = linker;
    cli::environment::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, CallState::cli)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, CallState::filesystem)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(l, CallState::filesystem)?;
    io::error::add_to_linker::<_, HasTable>(l, |state| &mut state.table)?;
    io::streams::add_to_linker::<_, HasTable>(l, |state| &mut state.table)?;
    io::poll::add_to_linker::<_, HasClosedWasi>(l, closed)?;
    clocks::wall_clock::add_to_linker::<_, HasClosedWasi>(l, closed)?;
    clocks::monotonic_clock::add_to_linker::<_, HasClosedWasi>(l, closed)?;
    random::random::add_to_linker::<_, HasClosedWasi>(l, closed)?;
    random::insecure::add_to_linker::<_, HasClosedWasi>(l, closed)?;
    random::insecure_seed::add_to_linker::<_, HasClosedWasi>(l, closed)?;
    Ok(())
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi.get_or_insert_with(Wasi::new).ctx,
            table: &mut self.table,
        }
    }
}

struct HasTable;
impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

struct HasClosedWasi;
impl HasData for HasClosedWasi {
    type Data<'a> = ClosedWasi<'a>;
}

fn closed(state: &mut CallState) -> ClosedWasi<'_> {
    ClosedWasi {
        meter: &mut state.meter,
        ambient: &state.imports.ambient,
        table: &mut state.table,
        monotonic: &state.wasi.get_or_insert_with(Wasi::new).monotonic,
    }
}

/// What of WASI is ours: clocks, chance, and waiting.
struct ClosedWasi<'a> {
    meter: &'a mut Meter,
    ambient: &'a Arc<dyn Ambient>,
    table: &'a mut ResourceTable,
    monotonic: &'a Arc<AtomicU64>,
}

impl ClosedWasi<'_> {
    fn random(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.meter.count()?;
        if length > limits::WASI_RANDOM_BYTES {
            return Err(self.meter.end(EngineError::OverLimit(format!(
                "asked for {length} random bytes, of {} at most",
                limits::WASI_RANDOM_BYTES
            ))));
        }
        let mut bytes = vec![0; usize::try_from(length)?];
        self.ambient.fill_random(&mut bytes);
        Ok(bytes)
    }

    fn random_u64(&mut self) -> wasmtime::Result<u64> {
        self.meter.count()?;
        let mut bytes = [0; 8];
        self.ambient.fill_random(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn nap_until(&mut self, wakes: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.meter.count()?;
        let nap = self.table.push(Nap {
            ambient: Arc::clone(self.ambient),
            monotonic: Arc::clone(self.monotonic),
            wakes,
        })?;
        subscribe(self.table, nap)
    }
}

impl clocks::wall_clock::Host for ClosedWasi<'_> {
    fn now(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        let now = Duration::from_millis(self.ambient.now_millis());
        Ok(clocks::wall_clock::Datetime {
            seconds: now.as_secs(),
            nanoseconds: now.subsec_nanos(),
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        Ok(clocks::wall_clock::Datetime {
            seconds: 0,
            nanoseconds: 1_000_000,
        })
    }
}

impl clocks::monotonic_clock::Host for ClosedWasi<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.monotonic.load(Ordering::Relaxed))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1_000_000)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.nap_until(when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.monotonic.load(Ordering::Relaxed);
        self.nap_until(now.saturating_add(duration))
    }
}

/// A point on the monotonic clock. Whoever waits for it moves the clock there.
struct Nap {
    ambient: Arc<dyn Ambient>,
    monotonic: Arc<AtomicU64>,
    wakes: u64,
}

#[async_trait]
impl Pollable for Nap {
    async fn ready(&mut self) {
        let now = self.monotonic.load(Ordering::Relaxed);
        if self.wakes > now {
            self.ambient
                .sleep(Duration::from_nanos(self.wakes - now))
                .await;
            self.monotonic.fetch_max(self.wakes, Ordering::Relaxed);
        }
    }
}

/// The one place in WASI where a guest waits: cut off by the deadline as any host function.
impl io::poll::Host for ClosedWasi<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.meter
            .wait(io::poll::Host::poll(self.table, pollables))
            .await?
    }
}

impl io::poll::HostPollable for ClosedWasi<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.meter
            .wait(io::poll::HostPollable::ready(self.table, pollable))
            .await?
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.meter
            .wait(io::poll::HostPollable::block(self.table, pollable))
            .await?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        io::poll::HostPollable::drop(self.table, pollable)
    }
}

impl random::random::Host for ClosedWasi<'_> {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64()
    }
}

impl random::insecure::Host for ClosedWasi<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64()
    }
}

impl random::insecure_seed::Host for ClosedWasi<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random_u64()?, self.random_u64()?))
    }
}

/// Where stdout and stderr go: the last few KiB of both, in order.
///
/// A stream of our own: the usual one, `AsyncWriteStream`, grows without bound under empty writes
/// (GHSA-5m8g, open in 48.0.8).
#[derive(Clone, Default)]
struct Output(Arc<Mutex<VecDeque<u8>>>);

impl Output {
    fn push(&self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(limits::OUTPUT_TAIL_BYTES)..];
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = (tail.len() + bytes.len()).saturating_sub(limits::OUTPUT_TAIL_BYTES);
        tail.drain(..over);
        tail.extend(bytes);
    }

    fn tail(&self) -> String {
        let tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (front, back) = tail.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 and 0.1 ask for it, and neither is linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > limits::OUTPUT_TAIL_BYTES {
            return Err(StreamError::trap("wrote more than it was permitted to"));
        }
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(limits::OUTPUT_TAIL_BYTES)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_output_is_kept_whatever_its_length() {
        let output = Output::default();
        output.push(&vec![b'x'; 3 * limits::OUTPUT_TAIL_BYTES]);
        output.push(b"panicked at ");
        output.push(b"line 3");
        let tail = output.tail();
        assert_eq!(tail.len(), limits::OUTPUT_TAIL_BYTES);
        assert!(tail.ends_with("xxpanicked at line 3"));
    }
}
