//! How far the process grows at its peak, as Linux counts it. Elsewhere nothing is measured.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// There is one mark for the process.
static MARK: Mutex<()> = Mutex::new(());

/// From now on, until it is dropped; the next one waits for that.
pub(crate) struct Peak {
    resident_bytes: usize,
    _mark: MutexGuard<'static, ()>,
}

impl Peak {
    /// Puts the kernel's mark of the highest use back to where it is now.
    pub(crate) fn begin() -> Self {
        let mark = MARK.lock().unwrap_or_else(PoisonError::into_inner);
        let reset = fs::write("/proc/self/clear_refs", "5");
        if cfg!(target_os = "linux") {
            reset.expect("a process may reset its own mark");
        }
        Self {
            resident_bytes: status("VmRSS"),
            _mark: mark,
        }
    }

    pub(crate) fn grown_bytes(&self) -> usize {
        status("VmHWM").saturating_sub(self.resident_bytes)
    }
}

fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().ok());
    kib.map_or(0, |kib: usize| kib << 10)
}

#[test]
fn what_is_given_back_still_counts() {
    let peak = Peak::begin();
    let hoard = std::hint::black_box(vec![1_u8; 256 << 20]);
    drop(hoard);
    assert!(!cfg!(target_os = "linux") || peak.grown_bytes() >= 200 << 20);
}
