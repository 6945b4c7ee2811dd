//! How much of what.

/// Versions that a key keeps where nothing else is said; as Vault.
pub(crate) const DEFAULT_MAX_VERSIONS: u64 = 10;

/// The most versions that may be kept: removing a key deletes each in the same call, and its record
/// lists them all. At some 40 bytes each the list stays below 1 MiB.
pub(crate) const MAX_VERSIONS: u32 = 16_384;

/// The longest path of a secret. Storage keys end at 1,024 bytes; an older version's has
/// `version/` before and `/` and 20 digits behind.
pub(crate) const PATH_BYTES: usize = 1024 - "version/".len() - "/".len() - 20;

/// How deep a patch, or the part of a secret that `subkeys` shows, may be nested. A level takes
/// some 300 bytes of a stack of 64 KiB.
pub(crate) const DEPTH: usize = 100;

/// The most bytes of names that one answer lists; the host's limit for an answer is 16 MiB.
pub(crate) const LISTING_BYTES: usize = 12 << 20;

/// Custom metadata, as Vault: keys of one secret.
pub(crate) const CUSTOM_METADATA_KEYS: usize = 64;
/// Bytes of a key of custom metadata.
pub(crate) const CUSTOM_METADATA_KEY_BYTES: usize = 128;
/// Bytes of a value of custom metadata.
pub(crate) const CUSTOM_METADATA_VALUE_BYTES: usize = 512;
