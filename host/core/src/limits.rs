//! Every limit of the pipeline, with its reason.

use std::time::Duration;

/// Tries of one call before the client is told to come back. After the first conflict a call waits
/// for its turn, so a second is rare; eight in a row mean writers outside this process.
pub(crate) const MAX_TRIES: usize = 8;

/// The same for the host's own mounts, where nobody waits: of many at once one gets through with each
/// round, and a round takes well under a millisecond.
pub(crate) const MAX_TRIES_APART: usize = 64;

/// Waiting for a turn. With [`CALL_WALL`] it stays below the 90 s that Vault's clients wait for an
/// answer; whoever has not come to its turn by then tries its luck without.
pub(crate) const TURN_WAIT: Duration = Duration::from_secs(20);

/// Paths with a line at a time: each has a call that lost to another, so there are rarely any.
pub(crate) const LINES: usize = 1024;

/// Wall time of one call of an engine. Below the 90 s that Vault's clients wait for an answer,
/// so that they get ours.
pub(crate) const CALL_WALL: Duration = Duration::from_secs(60);

/// Computing time of one call: a login that hashes or a report over many records stays below,
/// a loop does not hold a core for long.
pub(crate) const CALL_COMPUTE: Duration = Duration::from_secs(5);

/// Linear memory of one call unless more was granted (DESIGN 4).
pub(crate) const CALL_MEMORY_BYTES: usize = 64 << 20;

/// Mounts. The table is read as a whole; at this size it takes some 10 MiB.
pub(crate) const MAX_MOUNTS: usize = 10_000;

/// Description of a mount, in bytes; Vault has no limit, tables on a screen do.
pub(crate) const MAX_DESCRIPTION_BYTES: usize = 4096;

/// Policies of one token: each is looked up at every request that misses the cache.
pub(crate) const MAX_TOKEN_POLICIES: usize = 256;

/// Networks that one token is bound to: each is looked at in every request.
pub(crate) const MAX_BOUND_CIDRS: usize = 256;

/// Bytes of all metadata of one token: it is read at every request.
pub(crate) const MAX_TOKEN_META_BYTES: usize = 16 << 10;

/// Name of a token for people: it is read at every request, and stands in every line of the audit.
pub(crate) const MAX_DISPLAY_NAME_BYTES: usize = 1024;

/// Sets of policies kept merged. Past it the cache starts anew: tokens rarely differ so much.
pub(crate) const MAX_CACHED_ACLS: usize = 1024;

/// Tokens revoked in one transaction, so that a large family fits the write set.
pub(crate) const REVOKE_BATCH: usize = 256;

/// Between two looks at what has expired: what ends is gone within about a second.
pub(crate) const EXPIRY_TICK: Duration = Duration::from_secs(1);

/// Tokens that are ended in one commit: a few milliseconds, so that others get in between.
pub(crate) const EXPIRY_BATCH: usize = 64;

/// A revocation, or a request that spent its token's last use, is done long before; if it is not, it was
/// interrupted, and the loop goes on with it.
pub(crate) const INTERRUPTED_AFTER_MILLIS: u64 = 5 * 60 * 1000;

/// Records of cubbyholes removed in one transaction, beside those of the tokens: at some 1.5 KiB
/// for the longest of names they fit the write set.
pub(crate) const REVOKE_RECORDS: usize = 4096;

/// Ancestors of a token. All are read at every request that it makes: 256 of them cost 2 ms.
pub(crate) const MAX_TOKEN_ANCESTORS: usize = 256;

/// Paths in one question for capabilities; each is evaluated, none is read.
pub(crate) const MAX_CAPABILITY_PATHS: usize = 1024;

/// Finished moves that `sys/remount/status` remembers; clients ask within seconds.
pub(crate) const MAX_REMOUNT_RECORDS: usize = 64;

/// `sys/tools/random`, as Vault: below 128 KiB.
pub(crate) const MAX_RANDOM_BYTES: i64 = 128 << 10;

/// The shortest token that an operator may choose. What is shorter is guessed.
pub(crate) const MIN_CUSTOM_TOKEN_BYTES: usize = 4;

/// Writes after which the term's allowance is looked at. A term seals 2^32 records and asks for
/// its successor a tenth before its end: there is room for this many, many times over.
pub(crate) const WRITES_BETWEEN_TERM_CHECKS: u64 = 4096;
