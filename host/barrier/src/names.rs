//! What things are called: keys as their owners write them, and where the records lie in the store.
//!
//! The store is one flat, ordered space of fixed-size keys:
//!
//! ```text
//! table 1 | mount 16 | directory 16 | name 24        57 bytes
//! ```
//!
//! `directory` and `name` are keyed hashes (HMAC-SHA-256 under the mount's name key, cut) of the directory's
//! path and of the full path. So a directory is one contiguous range, a point read walks no directories, and
//! whoever reads the file learns how many records there are and which were written often, not what they are
//! called.
//!
//! A directory's path is empty (the root of the mount) or ends in `/`; a record's never does. So the record
//! `a` and the directory `a/` are two names, and both may exist.

use std::fmt;

use aws_lc_rs::hmac;

use crate::keyring::SecretKey;
use crate::limits;
use crate::random::{self, Random, RandomError};

/// Whose records: random, so that a mount can be renamed without touching a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountId([u8; 16]);

impl MountId {
    /// The host's own records: mount table, policies, tokens, leases.
    pub const SYSTEM: Self = Self(*b"coffer-system-00");

    /// A new one, which no other mount has.
    pub fn random(random: &dyn Random) -> Result<Self, RandomError> {
        Ok(Self(*random::bytes(random)?))
    }

    /// From the bytes that [`MountId::as_bytes`] gave.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// For a record that names the mount.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads what `Display` wrote: 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for MountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for MountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MountId({self})")
    }
}

/// Why a key is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing at all.
    #[error("the key is empty")]
    Empty,
    /// More than [`limits::KEY_BYTES`].
    #[error("the key is longer than {} bytes", limits::KEY_BYTES)]
    TooLong,
    /// `//`, or `/` at an end where none belongs.
    #[error("the key has an empty segment")]
    EmptySegment,
    /// `.` or `..`.
    #[error("the key has a segment \".\" or \"..\"")]
    DotSegment,
    /// NUL, newline and such.
    #[error("the key has a control character")]
    ControlCharacter,
    /// A prefix to list is empty or ends in `/`.
    #[error("the prefix does not end in \"/\"")]
    PrefixWithoutSlash,
}

/// The path of the record `key` under `base`, which is empty or ends in `/`.
pub(crate) fn full_path(base: &str, key: &str) -> Result<String, KeyError> {
    if key.len() > limits::KEY_BYTES || base.len() + key.len() > limits::FULL_KEY_BYTES {
        return Err(KeyError::TooLong);
    }
    let path = format!("{base}{key}");
    check(&path)?;
    Ok(path)
}

/// The path of the directory `prefix` under `base`; each is empty or ends in `/`.
pub(crate) fn full_directory(base: &str, prefix: &str) -> Result<String, KeyError> {
    if prefix.len() > limits::KEY_BYTES || base.len() + prefix.len() > limits::FULL_KEY_BYTES {
        return Err(KeyError::TooLong);
    }
    let directory = format!("{base}{prefix}");
    if !directory.is_empty() {
        check(
            directory
                .strip_suffix('/')
                .ok_or(KeyError::PrefixWithoutSlash)?,
        )?;
    }
    Ok(directory)
}

/// Checks that `path` is segments with `/` between them.
fn check(path: &str) -> Result<(), KeyError> {
    if path.is_empty() {
        return Err(KeyError::Empty);
    }
    if path.chars().any(char::is_control) {
        return Err(KeyError::ControlCharacter);
    }
    for segment in path.split('/') {
        match segment {
            "" => return Err(KeyError::EmptySegment),
            "." | ".." => return Err(KeyError::DotSegment),
            _ => {}
        }
    }
    Ok(())
}

/// The directory that holds `path`, which names a record or a directory.
pub(crate) fn parent(path: &str) -> &str {
    let end = path.strip_suffix('/').unwrap_or(path);
    end.rfind('/').map_or("", |slash| &path[..=slash])
}

/// What `path` is called in its directory; a directory's name keeps its `/`.
pub(crate) fn segment(path: &str) -> &str {
    &path[parent(path).len()..]
}

/// The kinds of record. The numbers are on disk: new ones are added, none is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Table {
    /// Values, sealed.
    Data = 1,
    /// Directory entries: one for each name in a directory, the name sealed.
    Dirent = 2,
    /// One empty record for each directory, put whenever a name in it appears or vanishes.
    Stamp = 3,
    /// How the root key is sealed.
    Seal = 16,
    /// The current term and its key.
    Keyring = 17,
    /// How much of a term's allowance of encryptions is spoken for.
    TermUse = 18,
    /// The data keys of a mount, wrapped by the term's key.
    MountKey = 19,
    /// One empty record, put whenever a mount key appears: rotation must not miss one.
    MountKeyStamp = 20,
}

/// Where a record lies in the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StoreKey([u8; StoreKey::BYTES]);

impl StoreKey {
    pub(crate) const BYTES: usize = 57;
    const MOUNT: usize = 1;
    const DIRECTORY: usize = 17;
    const NAME: usize = 33;

    fn new(table: Table, mount: &[u8; 16], directory: &[u8; 16], name: &[u8; 24]) -> Self {
        let mut key = [0; Self::BYTES];
        key[0] = table as u8;
        key[Self::MOUNT..Self::DIRECTORY].copy_from_slice(mount);
        key[Self::DIRECTORY..Self::NAME].copy_from_slice(directory);
        key[Self::NAME..].copy_from_slice(name);
        Self(key)
    }

    /// The one record of a table that has one.
    pub(crate) fn only(table: Table) -> Self {
        Self::new(table, &[0; 16], &[0; 16], &[0; 24])
    }

    pub(crate) fn term_use(term: u32) -> Self {
        let mut name = [0; 24];
        name[..4].copy_from_slice(&term.to_be_bytes());
        Self::new(Table::TermUse, &[0; 16], &[0; 16], &name)
    }

    pub(crate) fn mount_key(mount: MountId) -> Self {
        Self::new(Table::MountKey, &mount.0, &[0; 16], &[0; 24])
    }

    pub(crate) const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    pub(crate) fn table_byte(&self) -> u8 {
        self.0[0]
    }

    pub(crate) fn mount(&self) -> MountId {
        let mut mount = [0; 16];
        mount.copy_from_slice(&self.0[Self::MOUNT..Self::DIRECTORY]);
        MountId(mount)
    }

    pub(crate) fn name_hash(&self) -> &[u8] {
        &self.0[Self::NAME..]
    }

    /// Everything of the directory that this record is in: what a watcher of it looks for.
    pub(crate) fn directory_prefix(&self) -> &[u8] {
        &self.0[..Self::NAME]
    }

    /// The next key, or `None` after the last.
    pub(crate) fn successor(&self) -> Option<Self> {
        let mut next = *self;
        for byte in next.0.iter_mut().rev() {
            let (sum, carry) = byte.overflowing_add(1);
            *byte = sum;
            if !carry {
                return Some(next);
            }
        }
        None
    }
}

/// Table, mount and the beginning of both hashes: enough for a log to tell two records apart.
impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}",
            self.0[0],
            self.mount(),
            hex::encode(&self.0[Self::DIRECTORY..Self::DIRECTORY + 4]),
            hex::encode(&self.0[Self::NAME..Self::NAME + 4]),
        )
    }
}

/// From `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) first: StoreKey,
    pub(crate) last: StoreKey,
}

impl KeyRange {
    fn with_prefix(key: StoreKey, prefix_bytes: usize) -> Self {
        let (mut first, mut last) = (key, key);
        first.0[prefix_bytes..].fill(0x00);
        last.0[prefix_bytes..].fill(0xFF);
        Self { first, last }
    }

    /// All records.
    pub(crate) fn everything() -> Self {
        Self {
            first: StoreKey([0x00; StoreKey::BYTES]),
            last: StoreKey([0xFF; StoreKey::BYTES]),
        }
    }

    /// All records of `mount` in `table`.
    pub(crate) fn mount(table: Table, mount: MountId) -> Self {
        Self::with_prefix(
            StoreKey::new(table, &mount.0, &[0; 16], &[0; 24]),
            StoreKey::DIRECTORY,
        )
    }

    /// All records of `table`.
    pub(crate) fn table(table: Table) -> Self {
        Self::with_prefix(StoreKey::only(table), StoreKey::MOUNT)
    }

    /// All entries of the directory that `dirent` is in.
    pub(crate) fn directory(dirent: StoreKey) -> Self {
        Self::with_prefix(dirent, StoreKey::NAME)
    }

    /// What is left after `key`.
    pub(crate) fn after(self, key: StoreKey) -> Option<Self> {
        let first = key.successor()?;
        (first <= self.last).then_some(Self {
            first,
            last: self.last,
        })
    }

    /// What lies before `key`, which is within; together with [`KeyRange::after`], everything but `key`.
    pub(crate) fn up_to(self, key: StoreKey) -> Self {
        Self {
            first: self.first,
            last: key,
        }
    }
}

/// Turns a mount's names into places.
pub(crate) struct NamesKey(hmac::Key);

impl NamesKey {
    pub(crate) fn new(key: &SecretKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// Where the value of `path` lies.
    pub(crate) fn data(&self, mount: MountId, path: &str) -> StoreKey {
        self.place(Table::Data, mount, path)
    }

    /// Where the entry of `path` lies, among those of its directory.
    pub(crate) fn dirent(&self, mount: MountId, path: &str) -> StoreKey {
        self.place(Table::Dirent, mount, path)
    }

    /// Where the stamp of `directory` lies.
    pub(crate) fn stamp(&self, mount: MountId, directory: &str) -> StoreKey {
        StoreKey::new(
            Table::Stamp,
            &mount.0,
            &self.hash(b"d", directory),
            &[0; 24],
        )
    }

    /// Any key among the entries of `directory`, for its range or prefix.
    pub(crate) fn within(&self, table: Table, mount: MountId, directory: &str) -> StoreKey {
        StoreKey::new(table, &mount.0, &self.hash(b"d", directory), &[0; 24])
    }

    fn place(&self, table: Table, mount: MountId, path: &str) -> StoreKey {
        StoreKey::new(
            table,
            &mount.0,
            &self.hash(b"d", parent(path)),
            &self.hash(b"k", path),
        )
    }

    fn hash<const N: usize>(&self, kind: &[u8; 1], path: &str) -> [u8; N] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(kind);
        context.update(path.as_bytes());
        let tag = context.sign();
        let mut cut = [0; N];
        cut.copy_from_slice(&tag.as_ref()[..N]);
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_key(base: &str, key: &str, expected: Result<&str, KeyError>) {
        assert_eq!(
            full_path(base, key),
            expected.map(str::to_owned),
            "{base:?} {key:?}"
        );
    }

    #[test]
    fn a_key_is_segments_with_slashes_between() {
        check_key("", "a", Ok("a"));
        check_key("", "a/b/c.d/…/ä b", Ok("a/b/c.d/…/ä b"));
        check_key("p/", "a", Ok("p/a"));
        check_key("", "", Err(KeyError::Empty));
        check_key("p/", "", Err(KeyError::EmptySegment));
        check_key("", "/a", Err(KeyError::EmptySegment));
        check_key("", "a/", Err(KeyError::EmptySegment));
        check_key("", "a//b", Err(KeyError::EmptySegment));
        check_key("p/", "../b", Err(KeyError::DotSegment));
        check_key("../", "b", Err(KeyError::DotSegment));
        check_key("/", "b", Err(KeyError::EmptySegment));
        check_key("", ".", Err(KeyError::DotSegment));
        check_key("", "a\0b", Err(KeyError::ControlCharacter));
        check_key("", "a\nb", Err(KeyError::ControlCharacter));
        let longest = "k".repeat(limits::KEY_BYTES);
        check_key("", &longest, Ok(&longest));
        check_key("", &format!("{longest}k"), Err(KeyError::TooLong));
    }

    #[test]
    fn a_prefix_is_empty_or_ends_in_a_slash() {
        for (base, prefix, expected) in [
            ("", "", Ok("")),
            ("p/", "", Ok("p/")),
            ("p/", "a/b/", Ok("p/a/b/")),
            ("", "a", Err(KeyError::PrefixWithoutSlash)),
            ("", "/", Err(KeyError::Empty)),
            ("", "a//", Err(KeyError::EmptySegment)),
            ("", "../", Err(KeyError::DotSegment)),
        ] {
            assert_eq!(
                full_directory(base, prefix),
                expected.map(str::to_owned),
                "{base:?} {prefix:?}"
            );
        }
    }

    #[test]
    fn a_path_is_its_directory_and_its_name() {
        for (path, directory, name) in [
            ("a", "", "a"),
            ("a/", "", "a/"),
            ("a/b", "a/", "b"),
            ("a/b/", "a/", "b/"),
            ("a/b/c", "a/b/", "c"),
        ] {
            assert_eq!((parent(path), segment(path)), (directory, name), "{path}");
        }
    }

    #[test]
    fn a_directory_is_one_range_and_holds_its_direct_children_only() {
        let names = NamesKey::new(&SecretKey::from([7; 32]));
        let range = KeyRange::directory(names.within(Table::Dirent, MountId::SYSTEM, "a/"));
        let within = |path| {
            let key = names.dirent(MountId::SYSTEM, path);
            range.first <= key && key <= range.last
        };
        assert!(within("a/b") && within("a/b/") && within("a/c"));
        assert!(!within("a") && !within("a/") && !within("a/b/c") && !within("b"));
    }

    #[test]
    fn the_successor_of_the_last_key_is_none() {
        let last = StoreKey([0xFF; StoreKey::BYTES]);
        assert_eq!(last.successor(), None);
        let mut before = last;
        before.0[56] = 0xFE;
        assert_eq!(before.successor(), Some(last));
    }
}
