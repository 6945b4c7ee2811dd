//! Every limit of the barrier, with its reason.

use std::time::Duration;

/// A key as its owner writes it, in bytes: longer than any path of Vault's API that clients send.
pub const KEY_BYTES: usize = 1024;

/// A key with the prefixes that the host put before it: as much again for the host.
pub const FULL_KEY_BYTES: usize = 2 * KEY_BYTES;

/// One value: eight times Vault's default for an entry, and a wide margin under the 32 MiB to which
/// the bounds of AES-256-GCM-SIV that we rely on reach.
pub const VALUE_BYTES: usize = 8 << 20;

/// All that one transaction writes: it is held in memory, and one commit carries it.
pub const WRITE_SET_BYTES: usize = 16 << 20;

/// What a write counts beside its key and value: hash, directory entry, frame.
pub const WRITE_OVERHEAD_BYTES: usize = 256;

/// All that one transaction remembers of its reads, at [`READ_BYTES`] each: some 300,000 records.
pub const READ_SET_BYTES: usize = 32 << 20;

/// What one remembered read costs in memory.
pub const READ_BYTES: usize = 112;

/// Names in one page of LIST.
pub const PAGE_NAMES: usize = 100_000;

/// Bytes of names in one page of LIST.
pub const PAGE_BYTES: usize = 4 << 20;

/// Names of one directory that a transaction holds at a time. A larger directory is read in stretches.
pub const LISTING_NAMES: usize = 1_000_000;

/// Records in one range read: between two of them other tasks run.
pub const SCAN_RECORDS: usize = 2_048;

/// Batches in one redb transaction: at this many the cost of the sync has vanished in the rest.
pub const GROUP_BATCHES: usize = 512;

/// Bytes in one redb transaction: two full write sets, so that one more never waits behind three.
pub const GROUP_BYTES: usize = 2 * WRITE_SET_BYTES;

/// Batches that wait for the writer. Who comes later waits before it has sealed bytes in memory twice.
pub const QUEUED_BATCHES: usize = 1_024;

/// How long writes are refused after the disk failed, and how often the file is opened again: often enough that
/// nobody waits for it, seldom enough that a full disk does not cost the reads their cache at every write.
pub const RETRY_WRITES: Duration = Duration::from_secs(1);

/// The journal: some 15,000 commits, so that a page that they share is written once for many of them. A longer one
/// saves little more, and makes those who meet a checkpoint wait longer: about 0.2 s now, at full load.
pub const JOURNAL_BYTES: usize = 16 << 20;

/// How long nothing is written before what is in the journal goes to the data file: longer than between the
/// commits of somebody who is at work, and then it costs nobody anything.
pub const IDLE: Duration = Duration::from_secs(1);

/// redb's page cache: its default of 1 GiB is more than many machines have for us.
pub const CACHE_BYTES: usize = 256 << 20;

/// Records that one step of a purge removes: a commit of some milliseconds, so that others get in between.
pub const PURGE_RECORDS: usize = 1_000;

/// Shares of a key: GF(256) has 255 points beside the one that is the secret.
pub const SHARES: u32 = 255;

/// Shorter than this, Vault says that a share is too short rather than wrong, and clients match on it.
pub const SHARE_MIN_BYTES: usize = 16;

/// Values that the keys of one term may seal: 2^16 under the bound of RFC 8452 for messages of 32 MiB.
/// A mount's key generation lives in one term, so none of them sees more than this either.
pub const TERM_ENCRYPTIONS: u64 = 1 << 32;

/// Encryptions are counted on disk in blocks of this many, each reserved before it is used, so that a
/// crash can only overcount.
pub const ENCRYPTION_BLOCK: u64 = 1 << 16;

/// Key generations of one mount: a rotation a day for 40 years.
pub const GENERATIONS: usize = 1 << 14;

/// Mounts whose keys stay opened. A host has 10^4 mounts at most; over this the cache starts afresh.
pub const CACHED_MOUNTS: usize = 1 << 14;

/// Attempts of the barrier's own small transactions (rotation, counting): each lost race means that
/// another made progress.
pub const OWN_ATTEMPTS: usize = 16;

/// Watchers before the dead among them are looked for.
pub const WATCHERS_BEFORE_SWEEP: usize = 1_024;
