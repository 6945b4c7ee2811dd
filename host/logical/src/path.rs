//! Paths, parsed once. Policy, router and engine see the same segments.

#[cfg(test)]
mod reference;

/// Where an engine is mounted, such as `secret/` or `team-a/pki/` or `auth/userpass/`.
///
/// Invariant: one or more non-empty segments, no `.` or `..`, printable, ends in `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountPath(String);

/// Where a request goes below `/v1/`, such as `secret/data/app`.
///
/// Invariant: no leading `/`, no empty segment but a last one, no `.` or `..`, printable;
/// percent-decoded once. A trailing `/` is kept: it tells a folder from a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestPath(String);

/// Why a path is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing between the slashes.
    #[error("path is empty")]
    Empty,
    /// A `.` or `..` segment, in the words of the contract (`00` section 1).
    #[error("relative paths not supported")]
    Relative,
    /// A control character, or one that prints nothing.
    #[error("path holds a character that is not printable")]
    NotPrintable,
    /// Longer than any key or mount may be.
    #[error("path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// Not UTF-8 after percent-decoding.
    #[error("path is not valid UTF-8")]
    NotUtf8,
}

/// The longest request path. Storage keys end at 1,024 bytes; a mount path and the fixed parts
/// of an engine's own paths (`data/`, `metadata/`) come on top.
const MAX_PATH_BYTES: usize = 2048;

impl MountPath {
    /// Reads a mount path as people write it, with or without slashes at the ends.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        let path = collapse(raw);
        let path = path.trim_matches('/');
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        check(path)?;
        Ok(Self(format!("{path}/")))
    }

    /// The path with its trailing `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its trailing `/`.
    pub fn trimmed(&self) -> &str {
        &self.0[..self.0.len() - 1]
    }

    /// The part of `path` that the engine sees, if it lies under this mount. `secret` alone
    /// lies under `secret/`: a LIST of the mount itself is written that way.
    pub fn strip<'p>(&self, path: &'p str) -> Option<&'p str> {
        match path.strip_prefix(self.0.as_str()) {
            Some(rest) => Some(rest),
            None if path == self.trimmed() => Some(""),
            None => None,
        }
    }

    /// Whether one of the two lies above the other, or they are the same.
    pub fn overlaps(&self, other: &MountPath) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }
}

impl std::fmt::Display for MountPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl RequestPath {
    /// Reads a path that was percent-decoded once. Slashes at the front vanish and doubled
    /// ones count as one, as Vault's clients expect; anything else odd is refused, not mended.
    pub fn parse(decoded: &[u8]) -> Result<Self, PathError> {
        let raw = std::str::from_utf8(decoded).map_err(|_| PathError::NotUtf8)?;
        let path = collapse(raw);
        let path = path.strip_prefix('/').unwrap_or(&path);
        check(path.strip_suffix('/').unwrap_or(path))?;
        Ok(Self(path.to_owned()))
    }

    /// The path with a trailing `/`, as LIST and its policies have it.
    pub fn into_folder(mut self) -> Self {
        if !self.0.is_empty() && !self.0.ends_with('/') {
            self.0.push('/');
        }
        self
    }

    /// The whole path, without `/v1/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names a folder.
    pub fn is_folder(&self) -> bool {
        self.0.ends_with('/')
    }
}

impl std::fmt::Display for RequestPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn collapse(raw: &str) -> std::borrow::Cow<'_, str> {
    if !raw.contains("//") {
        return raw.into();
    }
    let mut path = String::with_capacity(raw.len());
    for c in raw.chars() {
        if c != '/' || !path.ends_with('/') {
            path.push(c);
        }
    }
    path.into()
}

fn check(path: &str) -> Result<(), PathError> {
    if path.len() > MAX_PATH_BYTES {
        return Err(PathError::TooLong);
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(PathError::Relative);
    }
    if path.chars().any(is_unprintable) {
        return Err(PathError::NotPrintable);
    }
    Ok(())
}

/// Control characters, and those that make two different paths look alike on a screen.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}' | '\u{FFFD}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(raw: &str) -> Result<String, PathError> {
        MountPath::parse(raw).map(|path| path.to_string())
    }

    fn request(raw: &[u8]) -> Result<String, PathError> {
        RequestPath::parse(raw).map(|path| path.to_string())
    }

    #[test]
    fn a_mount_path_is_normal_however_it_is_written() {
        for raw in ["team/pki", "/team/pki", "team/pki/", "//team//pki//"] {
            assert_eq!(mount(raw).as_deref(), Ok("team/pki/"), "{raw}");
        }
        assert_eq!(mount("/"), Err(PathError::Empty));
        assert_eq!(mount("a/../b"), Err(PathError::Relative));
        assert_eq!(mount("a\nb"), Err(PathError::NotPrintable));
    }

    #[test]
    fn a_request_path_is_refused_rather_than_mended() {
        assert_eq!(
            request(b"/secret//data/a b").as_deref(),
            Ok("secret/data/a b")
        );
        assert_eq!(
            request(b"secret/metadata/").as_deref(),
            Ok("secret/metadata/")
        );
        assert_eq!(request(b"secret/../sys/seal"), Err(PathError::Relative));
        assert_eq!(request(b"secret/./x"), Err(PathError::Relative));
        assert_eq!(request(b".."), Err(PathError::Relative));
        assert_eq!(request(b"secret/a\0b"), Err(PathError::NotPrintable));
        assert_eq!(
            request("secret/a\u{202E}b".as_bytes()),
            Err(PathError::NotPrintable)
        );
        assert_eq!(request(b"secret/\xff"), Err(PathError::NotUtf8));
        assert_eq!(request(&[b'a'; 3000]), Err(PathError::TooLong));
        assert_eq!(
            request("secret/ключ".as_bytes()).as_deref(),
            Ok("secret/ключ")
        );
    }

    #[test]
    fn a_mount_strips_only_what_lies_under_it() {
        let mount = MountPath::parse("kv").unwrap();
        assert_eq!(mount.strip("kv/a"), Some("a"));
        assert_eq!(mount.strip("kv"), Some(""));
        assert_eq!(mount.strip("kv2/a"), None);
    }
}
