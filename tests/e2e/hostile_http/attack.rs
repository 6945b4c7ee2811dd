//! What must hold while a server is attacked, and after.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::support::{Client, TestVault, wait_until};

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;

/// How long anything may take that must happen: a guard against hanging, on a machine that is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How it went.
pub(super) struct Outcome {
    /// Requests of others that were served.
    pub(super) served: usize,
    /// What the server's memory grew by at its largest.
    pub(super) grown_bytes: u64,
}

/// Runs `attack` while another client reads a secret, over a new connection each time.
///
/// Each of its reads must succeed; the server's memory may grow by `memory_bytes`. Afterwards the
/// server must let go of all that the attack held, and must not have panicked.
pub(super) fn attack(
    vault: &TestVault,
    root: &Client,
    memory_bytes: u64,
    attack: impl FnOnce(),
) -> Outcome {
    let written = root.put("secret/data/witness", json!({"data": {"k": "v"}}));
    assert_eq!(written.status, 200, "{written:?}");
    // What only the first calls need is there before anything is compared.
    for _ in 0..64 {
        read_as_witness(vault, root);
    }
    let before = (memory(vault), connections(vault));
    let over = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        let witness = scope.spawn(|| {
            let mut outcome = Outcome {
                served: 0,
                grown_bytes: 0,
            };
            while !over.load(Ordering::Relaxed) || outcome.served == 0 {
                read_as_witness(vault, root);
                outcome.served += 1;
                let grown = memory(vault).saturating_sub(before.0);
                outcome.grown_bytes = outcome.grown_bytes.max(grown);
                std::thread::sleep(Duration::from_millis(5));
            }
            outcome
        });
        // Also when the attack panics, or the witness would go on for ever.
        let ended = Ended(&over);
        attack();
        drop(ended);
        witness.join().expect("others are served")
    });
    assert!(
        outcome.grown_bytes <= memory_bytes,
        "memory grew by {} KiB",
        outcome.grown_bytes / KIB
    );
    wait_until("the attack's connections are gone", || {
        connections(vault) <= before.1
    });
    read_as_witness(vault, root);
    let log = vault.log();
    assert!(!log.contains("panicked"), "{log}");
    outcome
}

/// As somebody who comes anew: over a connection of its own.
pub(super) fn read_as_witness(vault: &TestVault, root: &Client) {
    let read = vault.client(root.token()).get("secret/data/witness");
    assert_eq!(read.data()["data"]["k"], "v");
}

struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Attacks that fill the machine take turns.
pub(super) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the server's process has in memory.
pub(super) fn memory(vault: &TestVault) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", vault.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|it| it.parse::<u64>().ok()).expect("KiB") * KIB
}

/// Connections that the server holds. Its descriptors themselves are closed to others, but the
/// system's table of sockets is not: there a socket that a process holds has an inode.
pub(super) fn connections(vault: &TestVault) -> usize {
    const LISTENING: &str = "0A";
    let ports: Vec<String> = vault
        .addresses()
        .iter()
        .filter_map(|address| address.rsplit(':').next()?.parse::<u16>().ok())
        .map(|port| format!(":{port:04X}"))
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").expect("a table of sockets");
    let held = table.lines().skip(1).filter(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        ports.iter().any(|port| columns[1].ends_with(port.as_str()))
            && columns[3] != LISTENING
            && columns[9] != "0"
    });
    held.count()
}
