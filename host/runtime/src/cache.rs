//! Compiled code on disk, and how it is trusted.
//!
//! Machine code is loaded as it is, so a file here is as good as the host itself. Each is
//! authenticated with HMAC-SHA-256 under a key that exists only while the barrier is open, over its
//! own name and its bytes; the name binds the component's digest, the compiler's configuration
//! and the release of wasmtime. What does not verify is compiled anew.
//!
//! The code is mapped from its file after it was verified, so whoever can write here at that
//! moment is trusted: the directory is the server's own, mode 0700. What the key keeps out is a file
//! changed at any other time, or brought from elsewhere.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use aws_lc_rs::hmac;
use wasmtime::Engine;
use wasmtime::component::Component;

/// SHA-256 of a component.
pub(crate) type Digest = [u8; 32];

/// Authenticates compiled code.
pub(crate) struct CacheKey(hmac::Key);

impl CacheKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn tag(&self, name: &str, code: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        // Names are of one length, so name and code cannot be divided in another way.
        context.update(name.as_bytes());
        context.update(code);
        context.sign()
    }

    fn verifies(&self, name: &str, code: &[u8], tag: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.tag(name, code).as_ref(), tag)
            .is_ok()
    }
}

/// A directory of compiled code: `<name>.code`, and beside it `<name>.mac`.
pub(crate) struct CodeCache {
    dir: PathBuf,
}

impl CodeCache {
    pub(crate) fn open(dir: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir })
    }

    /// The code of the component with this digest, if it is here and verifies.
    pub(crate) fn load(
        &self,
        key: &CacheKey,
        engine: &Engine,
        digest: &Digest,
    ) -> Option<Component> {
        let name = name(engine, digest);
        let path = self.path(&name, "code");
        let code = fs::read(&path).ok()?;
        let tag = fs::read(self.path(&name, "mac")).unwrap_or_default();
        if !key.verifies(&name, &code, &tag) {
            tracing::warn!(%name, "compiled code in the cache does not verify; compiling anew");
            return None;
        }
        #[expect(
            unsafe_code,
            reason = "these bytes were made by `store` below from a component that wasmtime compiled: the MAC just verified, under a key that only the open barrier has"
        )]
        let component = unsafe { Component::deserialize_file(engine, &path) };
        match component {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(%name, error = format!("{error:#}"), "compiled code in the cache does not load; compiling anew");
                None
            }
        }
    }

    /// Keeps `code` for the next start. Code of the same component for another release is removed.
    pub(crate) fn store(
        &self,
        key: &CacheKey,
        engine: &Engine,
        digest: &Digest,
        code: &[u8],
    ) -> io::Result<()> {
        let name = name(engine, digest);
        self.replace(&name, "code", code)?;
        // A crash in between leaves code that does not verify, and is compiled anew.
        self.replace(&name, "mac", key.tag(&name, code).as_ref())?;
        let component = hex::encode(digest);
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let file_name = entry.file_name();
            let stale = file_name
                .to_str()
                .is_some_and(|other| other.starts_with(&component) && !other.starts_with(&name));
            if stale {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Written aside and renamed: a reader sees the old file or the new one.
    fn replace(&self, name: &str, extension: &str, bytes: &[u8]) -> io::Result<()> {
        let aside = self.path(name, &format!("{extension}.{}", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(bytes)?;
        fs::rename(&aside, self.path(name, extension))
    }

    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.dir.join(format!("{name}.{extension}"))
    }
}

/// Component, then compiler and configuration. The second part only tells builds apart (wasmtime's own
/// hash has its full version in it); nothing is trusted for it.
fn name(engine: &Engine, digest: &Digest) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}", hex::encode(digest), hasher.finish())
}
