//! What the kernel knows of a process: its CPU time and its memory.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of all its threads so far. Of those that ended nothing is left, so it is for processes
/// whose threads stay. Nanoseconds, where `stat` has hundredths of a second.
pub(crate) fn cpu(process: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        nanos += on_cpu(&thread?.path().join("schedstat")).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// CPU time of the calling thread so far.
pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

fn on_cpu(schedstat: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(schedstat)?;
    let first = text.split_whitespace().next().context("a schedstat line")?;
    Ok(first.parse()?)
}

/// Memory in MiB.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// Resident, pages of the binary and of mapped machine code included.
    pub(crate) resident: f64,
    /// The same with shared pages divided among those who share them. None where the kernel does
    /// not tell us, as of a process that is closed to debuggers.
    pub(crate) proportional: Option<f64>,
}

pub(crate) fn memory(process: u32) -> Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let rollup = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
    Ok(Memory {
        resident: mebibytes(&status, "VmRSS:").context("a resident size")?,
        proportional: rollup.ok().and_then(|text| mebibytes(&text, "Pss:")),
    })
}

fn mebibytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes / 1024.0)
}
