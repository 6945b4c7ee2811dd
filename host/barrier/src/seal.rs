//! Sealed and unsealed: the states, how one becomes the other, and the record that says how the root key is
//! sealed.
//!
//! ```text
//!                     initialize              enough shares, or the static key
//!   Uninitialized ----------------> Sealed ------------------------------------> Unsealed
//!                                     ^                                              |
//!                                     +----------------------------------------------+
//!                                        seal: new transactions are refused at once,
//!                                        open ones finish, then every key is dropped
//! ```
//!
//! Invariants
//! - Only `Unsealed` owns a key. Shares that were given so far lie in `Sealed` until there are enough of
//!   them.
//! - A share that is not one of this server's is refused by name and costs nothing: see `shamir`.
//!
//! The record is plain JSON, since it must be read before there is a key. What it holds is no secret, and the
//! numbers in it are bound into the wrap of the root key: whoever changes them gets a server that does not
//! unseal.

#[cfg(test)]
mod fuzz;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::BarrierError;
use crate::keyring::{RootKey, SecretKey, Unsealed};
use crate::limits;
use crate::random::{self, Random, RandomError};
use crate::shamir::{self, ShareError, UnsealShare};
use crate::store::WriteError;
use crate::wrap;

/// Where the barrier stands. Only `Unsealed` owns key material, so "sealed with a key in memory" cannot be
/// written.
pub(crate) enum SealState {
    Uninitialized,
    Sealed(Sealed),
    Unsealed(Arc<Unsealed>),
}

/// Who opens the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SealKind {
    /// People, with shares.
    Shamir,
    /// The configuration, with a key.
    Static,
}

/// What anyone may know about the seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealStatus {
    /// There is a root key.
    pub initialized: bool,
    /// It is not in memory.
    pub sealed: bool,
    /// Who opens it; `Shamir` before it is initialised.
    pub kind: SealKind,
    /// Shares there are. With a static seal, of the recovery key, and 0 if there is none. 0 before it is
    /// initialised.
    pub shares: u8,
    /// Shares that are needed, of those.
    pub threshold: u8,
    /// Shares given in the running attempt.
    pub progress: u8,
    /// Of the running attempt; empty if there is none.
    pub nonce: String,
}

/// How to seal a new barrier.
#[derive(Debug)]
pub enum Init {
    /// With shares for people.
    Shamir {
        /// How many.
        shares: u32,
        /// How many open it.
        threshold: u32,
    },
    /// With a key from the configuration.
    Static {
        /// That key.
        key: StaticKey,
        /// Shares and threshold of a recovery key, with which people later prove who they are. It opens
        /// nothing.
        recovery: Option<(u32, u32)>,
    },
}

/// What is handed out once, when a barrier is initialised.
#[derive(Debug)]
pub struct Initialized {
    /// Unseal shares; none with a static seal.
    pub shares: Vec<UnsealShare>,
    /// Shares of the recovery key; only with a static seal.
    pub recovery_shares: Vec<UnsealShare>,
}

/// The key of a static seal.
pub struct StaticKey(SecretKey);

impl StaticKey {
    /// Reads 32 bytes in hex or in base64.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = Zeroizing::new(hex::decode(text).or_else(|_| BASE64.decode(text)).ok()?);
        Self::from_slice(&bytes)
    }

    /// From 32 bytes as they are.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 32).then(|| Self(SecretKey::from_slice(bytes)))
    }

    /// The same key once more, for [`Init::Static`], which takes one for good.
    pub fn duplicate(&self) -> Self {
        Self(SecretKey::from_slice(self.0.expose()))
    }
}

impl fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticKey")
    }
}

/// Numbers of shares that make no sense, in Vault's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealConfigError {
    /// No share at all.
    #[error("shares must be at least one")]
    NoShares,
    /// No threshold.
    #[error("threshold must be at least one")]
    NoThreshold,
    /// Any one of many would do: then why many.
    #[error("threshold must be greater than one for multiple shares")]
    ThresholdOfOne,
    /// More than there are points.
    #[error("shares must be less than 256")]
    TooManyShares,
    /// Never to be reached.
    #[error("threshold cannot be larger than shares")]
    ThresholdAboveShares,
}

/// Why a barrier was not initialised. Nothing was written, but for [`BarrierError::IoUnknown`].
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The numbers of shares make no sense.
    #[error("invalid seal configuration")]
    Config(#[source] SealConfigError),
    /// It has a root key.
    #[error("already initialized")]
    AlreadyInitialized,
    /// The store or the randomness failed.
    #[error("the barrier could not be initialised")]
    Broken(#[source] BarrierError),
}

impl From<RandomError> for InitError {
    fn from(source: RandomError) -> Self {
        Self::Broken(source.into())
    }
}

impl From<BarrierError> for InitError {
    fn from(source: BarrierError) -> Self {
        Self::Broken(source)
    }
}

impl From<WriteError> for InitError {
    fn from(source: WriteError) -> Self {
        Self::Broken(source.into())
    }
}

/// How far an attempt to unseal has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnsealProgress {
    /// More shares are needed.
    InProgress {
        /// Given.
        progress: u8,
        /// Needed.
        threshold: u8,
        /// Of this attempt.
        nonce: String,
    },
    /// Done, or so it was before.
    Unsealed,
}

/// Why the barrier is not unsealed. What was given before is kept, except with `WrongKey`.
#[derive(Debug, thiserror::Error)]
pub enum UnsealError {
    /// Neither hex nor base64, or too short to be looked at.
    #[error("not an unseal share")]
    Share(#[source] ShareError),
    /// Its checksum does not fit: a typing error.
    #[error("the unseal share is mistyped or incomplete")]
    MistypedShare,
    /// A share, but of another server or of an earlier set.
    #[error("the unseal share is of another set")]
    ForeignShare,
    /// It says that it is of this set, but none like it was handed out.
    #[error("the unseal share is not one of those that were handed out")]
    WrongShare,
    /// The key does not open the root key.
    #[error("the key does not open the root key")]
    WrongKey,
    /// There is nothing to unseal yet.
    #[error("not initialized")]
    NotInitialized,
    /// The seal is of the other kind.
    #[error("this barrier is not unsealed in this way")]
    OtherKind,
    /// There is no attempt to give up.
    #[error("already unsealed")]
    AlreadyUnsealed,
    /// The store failed, or holds what does not open.
    #[error("the barrier could not be unsealed")]
    Broken(#[source] BarrierError),
}

impl From<BarrierError> for UnsealError {
    fn from(source: BarrierError) -> Self {
        Self::Broken(source)
    }
}

/// For a share that comes as text.
impl From<ShareError> for UnsealError {
    fn from(source: ShareError) -> Self {
        match source {
            ShareError::Mistyped => Self::MistypedShare,
            source => Self::Share(source),
        }
    }
}

/// A number of shares and how many of them are needed. Checked.
#[derive(Clone, Copy)]
struct Split {
    shares: u8,
    threshold: u8,
}

impl Split {
    /// The order of the checks is Vault's, so that each mistake gets its words.
    fn parse(shares: u32, threshold: u32) -> Result<Self, InitError> {
        let error = match (shares, threshold) {
            (0, _) => SealConfigError::NoShares,
            (_, 0) => SealConfigError::NoThreshold,
            (2.., 1) => SealConfigError::ThresholdOfOne,
            _ if shares > limits::SHARES => SealConfigError::TooManyShares,
            _ if threshold > shares => SealConfigError::ThresholdAboveShares,
            _ => {
                return Ok(Self {
                    shares: shares as u8,
                    threshold: threshold as u8,
                });
            }
        };
        Err(InitError::Config(error))
    }
}

/// How the root key is sealed; the one record that is read without a key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealRecord {
    format: u32,
    kind: SealKind,
    /// Unseal shares of a Shamir seal, recovery shares of a static one.
    shares: Option<ShareSet>,
    /// The root key, wrapped by the unseal key or the static key.
    #[serde(with = "base64_bytes")]
    root_key: Vec<u8>,
    /// With a static seal: an empty wrap under the recovery key, to know that key again.
    #[serde(with = "base64_bytes")]
    recovery: Vec<u8>,
}

/// The public side of a set of shares.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareSet {
    set: shamir::SetId,
    threshold: u8,
    /// One for each share.
    verifiers: Vec<Verifier>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct Verifier(#[serde(with = "base64_bytes")] Vec<u8>);

const RECORD_FORMAT: u32 = 1;

impl SealRecord {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BarrierError> {
        let record: Self = serde_json::from_slice(bytes)
            .map_err(|source| BarrierError::corrupt("the seal record is not readable", source))?;
        if record.format != RECORD_FORMAT {
            return Err(BarrierError::missing(
                "the seal record is of a newer version",
            ));
        }
        Ok(record)
    }

    /// Opens the root key.
    fn open(&self, key: &SecretKey) -> Result<RootKey, UnsealError> {
        let content = wrap::unwrap(
            key,
            &root_context(self.kind, self.shares.as_ref()),
            &self.root_key,
        )
        .map_err(|error| match error {
            wrap::WrapError::WrongKey => UnsealError::WrongKey,
            source => {
                UnsealError::Broken(BarrierError::corrupt("the root key does not open", source))
            }
        })?;
        if content.len() != 32 {
            return Err(UnsealError::Broken(BarrierError::missing(
                "the root key has another length",
            )));
        }
        Ok(RootKey::new(SecretKey::from_slice(&content)))
    }

    /// Whether `share` is one of the set.
    fn check(&self, share: &UnsealShare) -> Result<(), UnsealError> {
        let set = self.shares.as_ref().ok_or(UnsealError::OtherKind)?;
        if share.set != set.set {
            return Err(UnsealError::ForeignShare);
        }
        if !set
            .verifiers
            .iter()
            .any(|verifier| share.matches(&verifier.0))
        {
            return Err(UnsealError::WrongShare);
        }
        Ok(())
    }

    fn shares(&self) -> u8 {
        // Never more than 255 are made; a record that says otherwise is shown as that.
        self.shares.as_ref().map_or(0, |set| {
            u8::try_from(set.verifiers.len()).unwrap_or(u8::MAX)
        })
    }

    fn threshold(&self) -> u8 {
        self.shares.as_ref().map_or(0, |set| set.threshold)
    }

    pub(crate) fn status(&self, sealed: bool) -> SealStatus {
        SealStatus {
            initialized: true,
            sealed,
            kind: self.kind,
            shares: self.shares(),
            threshold: self.threshold(),
            progress: 0,
            nonce: String::new(),
        }
    }

    /// Whether these shares give the recovery key.
    pub(crate) fn opens_recovery(&self, shares: &[UnsealShare]) -> Result<bool, UnsealError> {
        if self.kind != SealKind::Static {
            return Err(UnsealError::OtherKind);
        }
        shares.iter().try_for_each(|share| self.check(share))?;
        let mut distinct: Vec<u8> = shares.iter().map(UnsealShare::point).collect();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() != shares.len() || shares.len() < usize::from(self.threshold()) {
            return Ok(false);
        }
        let Some(key) = shamir::combine(shares) else {
            return Ok(false);
        };
        Ok(wrap::unwrap(&key, RECOVERY_CONTEXT, &self.recovery).is_ok())
    }
}

const RECOVERY_CONTEXT: &[u8] = b"coffer recovery key";

/// A new root key, sealed as asked: the record, the root key and what is handed out.
pub(crate) fn create(
    init: Init,
    random: &dyn Random,
) -> Result<(SealRecord, RootKey, Initialized), InitError> {
    let root = RootKey::new(SecretKey::random(random)?);
    let split = |numbers: Split| -> Result<(SecretKey, Vec<UnsealShare>), RandomError> {
        let key = SecretKey::random(random)?;
        let shares = shamir::split(random, &key, numbers.shares, numbers.threshold)?;
        Ok((key, shares))
    };
    let (kind, key, set, recovery, handed_out) = match init {
        Init::Shamir { shares, threshold } => {
            let (key, shares) = split(Split::parse(shares, threshold)?)?;
            let set = ShareSet::of(&shares);
            let handed_out = Initialized {
                shares,
                recovery_shares: Vec::new(),
            };
            (SealKind::Shamir, key, set, Vec::new(), handed_out)
        }
        Init::Static {
            key,
            recovery: None,
        } => {
            let handed_out = Initialized {
                shares: Vec::new(),
                recovery_shares: Vec::new(),
            };
            (SealKind::Static, key.0, None, Vec::new(), handed_out)
        }
        Init::Static {
            key,
            recovery: Some((shares, threshold)),
        } => {
            let (recovery_key, recovery_shares) = split(Split::parse(shares, threshold)?)?;
            let set = ShareSet::of(&recovery_shares);
            let recovery = wrap::wrap(random, &recovery_key, RECOVERY_CONTEXT, &[])?;
            let handed_out = Initialized {
                shares: Vec::new(),
                recovery_shares,
            };
            (SealKind::Static, key.0, set, recovery, handed_out)
        }
    };
    let root_key = wrap::wrap(
        random,
        &key,
        &root_context(kind, set.as_ref()),
        root.expose(),
    )?;
    let record = SealRecord {
        format: RECORD_FORMAT,
        kind,
        shares: set,
        root_key,
        recovery,
    };
    Ok((record, root, handed_out))
}

impl ShareSet {
    fn of(shares: &[UnsealShare]) -> Option<Self> {
        let first = shares.first()?;
        Some(Self {
            set: first.set,
            threshold: first.threshold,
            verifiers: shares
                .iter()
                .map(|share| Verifier(share.verifier().to_vec()))
                .collect(),
        })
    }
}

/// What the wrap of the root key is bound to: all that the record says about the seal.
fn root_context(kind: SealKind, set: Option<&ShareSet>) -> Vec<u8> {
    let mut context = b"coffer root key ".to_vec();
    context.push(match kind {
        SealKind::Shamir => 1,
        SealKind::Static => 2,
    });
    if let Some(set) = set {
        context.extend_from_slice(&set.set);
        context.push(set.threshold);
        for verifier in &set.verifiers {
            context.extend_from_slice(&verifier.0);
        }
    }
    context
}

/// Initialised, and no key in memory: only the shares of an attempt that is not complete.
pub(crate) struct Sealed {
    pub(crate) record: SealRecord,
    attempt: Option<Attempt>,
}

struct Attempt {
    nonce: String,
    shares: Vec<UnsealShare>,
}

/// What a share led to.
pub(crate) enum Provided {
    More(UnsealProgress),
    /// The root key opened. The caller opens the keyring with it, outside the lock.
    Root(RootKey),
}

impl Sealed {
    pub(crate) fn new(record: SealRecord) -> Self {
        Self {
            record,
            attempt: None,
        }
    }

    pub(crate) fn status(&self) -> SealStatus {
        let mut status = self.record.status(true);
        if let Some(attempt) = &self.attempt {
            status.progress = u8::try_from(attempt.shares.len()).unwrap_or(u8::MAX);
            status.nonce.clone_from(&attempt.nonce);
        }
        status
    }

    /// Adds one share. One that is not of this set changes nothing; one that was given already counts once.
    pub(crate) fn provide(
        &mut self,
        share: UnsealShare,
        random: &dyn Random,
    ) -> Result<Provided, UnsealError> {
        if self.record.kind != SealKind::Shamir {
            return Err(UnsealError::OtherKind);
        }
        self.record.check(&share)?;
        let attempt = match &mut self.attempt {
            Some(attempt) => attempt,
            none => none.insert(Attempt {
                nonce: attempt_nonce(random)?,
                shares: Vec::new(),
            }),
        };
        if !attempt.shares.iter().any(|given| given.is_same_as(&share)) {
            attempt.shares.push(share);
        }
        let threshold = self.record.threshold();
        if attempt.shares.len() < usize::from(threshold) {
            return Ok(Provided::More(UnsealProgress::InProgress {
                progress: u8::try_from(attempt.shares.len()).unwrap_or(u8::MAX),
                threshold,
                nonce: attempt.nonce.clone(),
            }));
        }
        // Whatever comes of it, the attempt is over and its shares are wiped.
        let shares = self
            .attempt
            .take()
            .map(|attempt| attempt.shares)
            .unwrap_or_default();
        let key = shamir::combine(&shares).ok_or(UnsealError::WrongKey)?;
        self.record.open(&key).map(Provided::Root)
    }

    pub(crate) fn open_static(&self, key: &StaticKey) -> Result<RootKey, UnsealError> {
        if self.record.kind != SealKind::Static {
            return Err(UnsealError::OtherKind);
        }
        self.record.open(&key.0)
    }

    pub(crate) fn reset(&mut self) {
        self.attempt = None;
    }
}

/// A random UUID, as Vault's.
fn attempt_nonce(random: &dyn Random) -> Result<String, UnsealError> {
    let mut bytes =
        *random::bytes::<16>(random).map_err(|source| UnsealError::Broken(source.into()))?;
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let hex = hex::encode(bytes);
    Ok([
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-"))
}

mod base64_bytes {
    use super::*;
    use serde::de::Error as _;

    pub(super) fn serialize<S: serde::Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Counting;

    fn sealed(
        shares: u32,
        threshold: u32,
        random: &Counting,
    ) -> (Sealed, RootKey, Vec<UnsealShare>) {
        let (record, root, handed_out) =
            create(Init::Shamir { shares, threshold }, random).unwrap();
        let record = SealRecord::parse(&record.to_bytes()).unwrap();
        (Sealed::new(record), root, handed_out.shares)
    }

    fn copy(share: &UnsealShare) -> UnsealShare {
        UnsealShare::parse(&share.to_base64()).unwrap()
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused_in_vaults_words() {
        for (shares, threshold, words) in [
            (0, 0, "shares must be at least one"),
            (1, 0, "threshold must be at least one"),
            (
                3,
                1,
                "threshold must be greater than one for multiple shares",
            ),
            (256, 2, "shares must be less than 256"),
            (3, 4, "threshold cannot be larger than shares"),
            (1, 2, "threshold cannot be larger than shares"),
        ] {
            match create(Init::Shamir { shares, threshold }, &Counting::new()) {
                Err(InitError::Config(error)) => {
                    assert_eq!(error.to_string(), words, "{shares}, {threshold}")
                }
                _ => panic!("{shares} shares with threshold {threshold} were made"),
            }
        }
    }

    #[test]
    fn foreign_wrong_and_repeated_shares_cost_nothing() {
        let random = Counting::new();
        let (mut state, root, shares) = sealed(5, 3, &random);
        let (.., strangers) = sealed(5, 3, &random);
        assert!(matches!(
            state.provide(copy(&shares[0]), &random),
            Ok(Provided::More(_))
        ));
        let nonce = state.status().nonce;
        assert_eq!(nonce.len(), 36);

        assert!(matches!(
            state.provide(copy(&strangers[1]), &random),
            Err(UnsealError::ForeignShare)
        ));
        // With our set's number written into it and its checksum made right.
        let mut forged = copy(&strangers[1]);
        forged.set = shares[0].set;
        assert!(matches!(
            state.provide(forged, &random),
            Err(UnsealError::WrongShare)
        ));
        assert!(matches!(
            state.provide(copy(&shares[0]), &random),
            Ok(Provided::More(_))
        ));
        assert_eq!(
            (state.status().progress, &state.status().nonce),
            (1, &nonce)
        );

        assert!(matches!(
            state.provide(copy(&shares[4]), &random),
            Ok(Provided::More(_))
        ));
        assert_eq!(state.status().progress, 2);
        match state.provide(copy(&shares[2]), &random) {
            Ok(Provided::Root(opened)) => assert_eq!(opened.expose(), root.expose()),
            _ => panic!("three of five did not open it"),
        }
        assert_eq!(
            (state.status().progress, state.status().nonce.as_str()),
            (0, "")
        );
    }

    #[test]
    fn a_reset_attempt_starts_from_nothing_with_a_new_nonce() {
        let random = Counting::new();
        let (mut state, _, shares) = sealed(3, 2, &random);
        state
            .provide(copy(&shares[0]), &random)
            .unwrap_or_else(|_| panic!("refused"));
        let first = state.status().nonce;
        state.reset();
        assert_eq!(
            (state.status().progress, state.status().nonce.as_str()),
            (0, "")
        );
        assert!(matches!(
            state.provide(copy(&shares[1]), &random),
            Ok(Provided::More(_))
        ));
        assert_ne!(state.status().nonce, first);
    }

    #[test]
    fn a_changed_seal_record_does_not_unseal() {
        let random = Counting::new();
        let (mut state, _, shares) = sealed(3, 3, &random);
        state.record.shares.as_mut().unwrap().threshold = 2;
        assert!(matches!(
            state.provide(copy(&shares[0]), &random),
            Ok(Provided::More(_))
        ));
        // Two shares of a polynomial for three give another key.
        assert!(matches!(
            state.provide(copy(&shares[1]), &random),
            Err(UnsealError::WrongKey)
        ));

        let (mut state, _, shares) = sealed(3, 2, &random);
        state.record.shares.as_mut().unwrap().verifiers.pop();
        assert!(matches!(
            state.provide(copy(&shares[0]), &random),
            Ok(Provided::More(_))
        ));
        assert!(matches!(
            state.provide(copy(&shares[1]), &random),
            Err(UnsealError::Broken(_))
        ));
    }

    #[test]
    fn a_static_seal_opens_with_its_key_alone() {
        let random = Counting::new();
        let key = || StaticKey::from_slice(&[8; 32]).unwrap();
        let init = Init::Static {
            key: key(),
            recovery: Some((3, 2)),
        };
        let (record, root, handed_out) = create(init, &random).unwrap();
        assert!(handed_out.shares.is_empty());
        let mut state = Sealed::new(record);
        assert_eq!(
            state
                .open_static(&key())
                .unwrap_or_else(|_| panic!("refused"))
                .expose(),
            root.expose()
        );
        let other = StaticKey::from_slice(&[9; 32]).unwrap();
        assert!(matches!(
            state.open_static(&other),
            Err(UnsealError::WrongKey)
        ));
        let recovery = handed_out.recovery_shares;
        assert!(matches!(
            state.provide(copy(&recovery[0]), &random),
            Err(UnsealError::OtherKind)
        ));

        let record = &state.record;
        assert!(
            record
                .opens_recovery(&[copy(&recovery[0]), copy(&recovery[2])])
                .unwrap()
        );
        assert!(!record.opens_recovery(&[copy(&recovery[0])]).unwrap());
        assert!(
            !record
                .opens_recovery(&[copy(&recovery[0]), copy(&recovery[0])])
                .unwrap()
        );
    }

    #[test]
    fn a_static_key_is_32_bytes_in_hex_or_base64() {
        assert!(StaticKey::parse(&hex::encode([1; 32])).is_some());
        assert!(StaticKey::parse(&BASE64.encode([1; 32])).is_some());
        assert!(StaticKey::parse(&hex::encode([1; 31])).is_none());
        assert!(StaticKey::parse("no").is_none());
        assert_eq!(
            format!("{:?}", StaticKey::from_slice(&[1; 32]).unwrap()),
            "StaticKey"
        );
    }
}
