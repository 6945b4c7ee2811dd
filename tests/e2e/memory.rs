//! What is left in the memory of a sealed server: none of the keys it was given. And in that of one that
//! serves: none of a large secret that was written and read a few requests ago.
//!
//! A process is read as a debugger would, through `/proc/PID/mem`, all that is writable of it. The server
//! forbids that to others of its own user (it is not dumpable), so only root may look; for anybody else the
//! test says that it did not look.
//!
//! Keys are asserted: shares as they were sent and as they are decoded, and the unseal key, which a single
//! share holds. Of secrets and tokens it is said how many copies are left: they pass through the buffers
//! of the HTTP library and of the sandbox.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt as _;

use serde_json::json;

use crate::support::{TestVault, say};

/// Some text or bytes that occur nowhere else.
struct Planted {
    name: String,
    bytes: Vec<u8>,
}

impl Planted {
    fn new(name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            bytes: bytes.into(),
        }
    }
}

#[test]
fn a_sealed_server_holds_none_of_the_keys_it_was_given() {
    for (shares, threshold) in [(1, 1), (3, 2)] {
        let vault = TestVault::start();
        let Some(memory) = Memory::of(&vault) else {
            say("memory: NOT RUN: another process's memory is for root only");
            return;
        };
        let given = vault.initialize(shares, threshold);
        vault.unseal(&given);
        let root = vault.client(&given.root);
        // Mounts are kept in memory as long as the server is open: what must be found.
        let description = "description-7b02e6d19f4ac835";
        let mount = json!({"type": "kv-v2", "description": description});
        assert_eq!(root.post("sys/mounts/secret", mount).status, 204);
        let canary = "canary-4c1d7f0a9be2385d";
        for n in 0..20 {
            let path = format!("secret/data/c{n}");
            root.put(&path, json!({"data": {"k": canary}}));
            assert_eq!(root.get(&path).data()["data"]["k"], canary);
        }
        let secrets = [
            Planted::new("a secret", canary),
            Planted::new("the root token", given.root.as_str()),
        ];
        let control = [Planted::new("a mount's description", description)];
        assert!(
            !memory.search(&control).is_empty(),
            "what is in use is not found: the search is blind"
        );

        assert_eq!(root.put("sys/seal", json!({})).status, 204);
        let mut keys = Vec::new();
        for (n, share) in given.shares.iter().enumerate() {
            let raw = from_base64(share);
            let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
            keys.push(Planted::new(
                &format!("share {n} in base64"),
                share.as_str(),
            ));
            keys.push(Planted::new(&format!("share {n} in hex"), hex));
            // Without what the share says of itself, and its checksum: the secret part.
            let secret = &raw[raw.len() - SHARE_TAIL - 32..raw.len() - SHARE_TAIL];
            keys.push(Planted::new(&format!("share {n}"), secret));
        }
        let found = memory.search(&keys);
        let left = memory.search(&secrets);
        let counts = secrets.each_ref().map(|secret| {
            let copies = left.get(secret.name.as_str()).map_or(0, Vec::len);
            format!("{}: {copies} copies", secret.name)
        });
        say(&format!(
            "memory: after sealing, {threshold} of {shares}: {}",
            counts.join(", ")
        ));
        assert!(found.is_empty(), "{found:#?}\n{left:#?}");
    }
}

/// It is more than the sandbox keeps of a guest's memory, so that what it keeps is not all that is looked at.
#[test]
fn a_large_secret_does_not_outlive_the_request_that_reads_it() {
    let (vault, root) = TestVault::with_kv();
    let Some(memory) = Memory::of(&vault) else {
        say("memory: NOT RUN: another process's memory is for root only");
        return;
    };
    let canary = "canary-e81f60b3d25a974c";
    let large = canary.repeat(3_800_000 / canary.len());
    // Over connections of their own, whose buffers go with them.
    let client = || vault.client(root.token());
    let written = client().put("secret/data/large", json!({"data": {"k": large}}));
    assert_eq!(written.status, 200, "{written:?}");
    assert_eq!(client().get("secret/data/large").data()["data"]["k"], large);
    root.put("secret/data/small", json!({"data": {"k": "v"}}));
    for _ in 0..3 {
        assert_eq!(root.get("secret/data/small").status, 200);
    }
    let planted = [Planted::new("a large secret", canary)];
    let left = memory.search(&planted);
    let copies: Vec<_> = left.values().flatten().collect();
    assert!(
        copies.is_empty(),
        "{} copies, the first at {}",
        copies.len(),
        copies[0]
    );
}

/// The checksum at the end of a share.
const SHARE_TAIL: usize = 4;

fn from_base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<_> = text.trim_end_matches('=').bytes().map(value).collect();
    let bytes = digits.chunks(4).flat_map(|chunk| {
        let bits = chunk.iter().enumerate().fold(0, |bits, (n, digit)| {
            bits | u32::from(*digit) << (18 - 6 * n)
        });
        bits.to_be_bytes()[1..chunk.len()].to_vec()
    });
    bytes.collect()
}

/// Where each was found, with what is around it.
type Found<'a> = BTreeMap<&'a str, Vec<String>>;

struct Memory {
    pid: u32,
    file: fs::File,
}

impl Memory {
    /// None where the system does not let us look.
    fn of(vault: &TestVault) -> Option<Self> {
        let pid = vault.pid();
        let file = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
        Some(Self { pid, file })
    }

    fn search<'a>(&self, planted: &'a [Planted]) -> Found<'a> {
        let mut found = Found::new();
        for (start, end, name) in self.regions() {
            let bytes = self.read(start, end);
            for secret in planted {
                for at in memchr::memmem::find_iter(&bytes, &secret.bytes) {
                    let around = &bytes
                        [at.saturating_sub(64)..bytes.len().min(at + secret.bytes.len() + 32)];
                    found.entry(secret.name.as_str()).or_default().push(format!(
                        "{name} {:x}: {}",
                        start + at,
                        around.escape_ascii()
                    ));
                }
            }
        }
        found
    }

    /// A region, or the beginning of it that is left while it is read.
    fn read(&self, start: usize, end: usize) -> Vec<u8> {
        let mut bytes = vec![0; end - start];
        let mut read = 0;
        while let Ok(n @ 1..) = self.file.read_at(&mut bytes[read..], (start + read) as u64) {
            read += n;
        }
        bytes.truncate(read);
        bytes
    }

    /// What is writable and in memory, in runs of pages: regions that are reserved for engines are as large as a disk,
    /// and nearly all of them is not there.
    fn regions(&self) -> Vec<(usize, usize, String)> {
        let maps = fs::read_to_string(format!("/proc/{}/smaps", self.pid)).expect("our child");
        let mut regions = Vec::new();
        let mut region = None;
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some(range), Some(rights)) if range.contains('-') => {
                    let (start, end) = range.split_once('-').expect("a range");
                    let address = |hex| usize::from_str_radix(hex, 16).expect("an address");
                    let name = words.nth(3).unwrap_or("anonymous").to_owned();
                    region = rights
                        .contains('w')
                        .then(|| (address(start), address(end), name));
                }
                (Some("Rss:"), Some(kilobytes)) if kilobytes != "0" => {
                    regions.extend(region.take())
                }
                _ => {}
            }
        }
        regions
    }
}
