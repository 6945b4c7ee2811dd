//! The program, without network and without wasm: mounts, router, tokens, policies and the
//! request pipeline over sealed storage.
//!
//! Start reading at [`Core::handle`], then `handle.rs`: the path of a request as one function.
//!
//! Invariants
//! - Nothing reaches an engine without the proofs `Authorized` and `Audited`, each made in one
//!   place, neither to be copied.
//! - One call is one transaction; what the host adds to it (a token, a mount) commits with it.
//! - While sealed there is no key, no table, no policy and no engine in memory.

mod audit;
mod authorize;
mod builtin;
mod cache;
mod cidr;
mod clock;
mod duration;
mod error;
mod expiry;
mod fields;
mod finish;
mod handle;
mod limits;
mod mount;
mod openapi;
mod operate;
mod pattern;
mod policy;
mod policy_store;
mod purge;
mod random;
mod request;
mod response;
mod storage;
mod token;
mod ttl;
mod turn;
mod wrapping;

#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::task::AbortHandle;
use zeroize::Zeroizing;

use host_barrier::{Barrier, Random, StaticKey};
use host_logical::{Engines, Secrets};

pub use clock::{Clock, SystemClock};
pub use duration::{DurationError, GoDuration};
pub use error::HandleError;
pub use operate::{Initialize, Initialized, SealError, SealView};
pub use request::{ClientToken, Request};
pub use response::{Auth, Body, Envelope, Response, TokenType, WrapInfo};

use cache::Cache;
use finish::Finish;
use policy::Acl;
use token::TokenStore;
use turn::Lines;

/// What core is made of; the server puts it together.
pub struct Parts {
    /// Sealed storage.
    pub barrier: Barrier,
    /// The catalog of components.
    pub engines: Arc<dyn Engines>,
    /// Custody of plaintext for engines.
    pub custody: Arc<dyn Custody>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// From the configuration.
    pub settings: Settings,
}

/// What an operator sets.
pub struct Settings {
    /// Seconds, where nothing else is said.
    pub default_lease_ttl: u64,
    /// Seconds; nothing lasts longer unless its mount says so.
    pub max_lease_ttl: u64,
    /// How the barrier is opened.
    pub seal: SealKind,
    /// Of the server, as clients see it.
    pub version: &'static str,
}

impl Settings {
    /// Vault's own: 768 hours for both.
    pub const LEASE_TTL: u64 = 768 * 3600;
}

/// How the barrier is opened.
pub enum SealKind {
    /// By people with shares.
    Shamir,
    /// By a key from the configuration, without people.
    Static(StaticKey),
}

/// Makes custody of plaintext for one mount, under a key that is the mount's own.
pub trait Custody: Send + Sync + 'static {
    /// `key` derives one from the mount's data key, which goes when the mount goes. Most calls never
    /// need it, so it is asked for when they do.
    fn secrets(&self, key: KeySource) -> Arc<dyn Secrets>;
}

/// Where custody gets a mount's key from, during the call for which it was made.
pub type KeySource = Box<
    dyn Fn() -> Result<Zeroizing<[u8; 32]>, Box<dyn std::error::Error + Send + Sync>> + Send + Sync,
>;

/// The core of a server.
pub struct Core {
    barrier: Barrier,
    engines: Arc<dyn Engines>,
    custody: Arc<dyn Custody>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: Settings,
    tokens: TokenStore,
    cache: Cache,
    root_acl: Arc<Acl>,
    audit: audit::Broker,
    lines: Arc<Lines>,
    /// Commits that wrote, since the start.
    writes: AtomicU64,
    /// Held by whoever moves the seal.
    seal_turn: tokio::sync::Mutex<()>,
    /// Ends what expires, while unsealed.
    expiry: Mutex<Option<AbortHandle>>,
}

impl Core {
    /// Puts the parts together. Nothing is read or written yet.
    pub fn new(parts: Parts) -> Arc<Core> {
        let tokens = TokenStore::new(parts.barrier.clone(), parts.random.clone());
        Arc::new(Core {
            cache: Cache::default(),
            root_acl: Arc::new(Acl::root()),
            tokens,
            barrier: parts.barrier,
            engines: parts.engines,
            custody: parts.custody,
            clock: parts.clock,
            random: parts.random,
            settings: parts.settings,
            audit: audit::Broker,
            writes: AtomicU64::new(0),
            seal_turn: tokio::sync::Mutex::default(),
            expiry: Mutex::default(),
            lines: Arc::default(),
        })
    }

    /// Serves a request. Once begun it is finished, even if nobody waits for the answer any more.
    pub async fn handle(self: &Arc<Self>, request: Request) -> Result<Response, HandleError> {
        Finish::new(handle::handle(self.clone(), request)).await
    }

    /// Help for a path, as `?help=1` asks. It needs a token, but no policy.
    pub async fn help(
        self: &Arc<Self>,
        request: Request,
    ) -> Result<Box<serde_json::value::RawValue>, HandleError> {
        handle::help(self, request).await
    }
}
