//! The frame in which a value or a name lies on disk.
//!
//! ```text
//! 0xB5 | suite 1 | table 1 | flags 1 | generation 4 | version 8 | nonce 12 | ciphertext | tag 16
//! ```
//!
//! Key: the data key of one mount in one generation. Nonce: see [`Nonces`]. Associated data, exactly 60 bytes
//! and so under the 64 for which RFC 8452 states its bounds:
//!
//! ```text
//! "SEH1" | suite 1 | table 1 | flags 1 | 0 | generation 4 | mount 16 | name hash 24 | version 8
//! ```
//!
//! So a frame opens only where it was written: not under another key of the same mount, not in another mount,
//! not as another kind of record, not under another generation.
//!
//! The plaintext is padded with zeros to a bucket (Padmé: at most 12 % more, and 64 bytes at least), and its
//! last four bytes are the true length, so that opening only cuts. A reader of the file learns the bucket,
//! not the length.
//!
//! `version` is the revision of the writer's snapshot plus one: greater than the version of anything that the
//! writer can have read, so that what replaces a value after reading it has a greater version, without a read
//! of our own. It is not the revision of the commit, which is not known before the frame is sealed.

#[cfg(test)]
mod fuzz;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::keyring::SecretKey;
use crate::names::StoreKey;
use crate::random::{self, Random, RandomError};

const MAGIC: u8 = 0xB5;
/// AES-256-GCM-SIV. It is in the associated data: nobody can switch it.
const SUITE: u8 = 1;
/// None yet.
const FLAGS: u8 = 0;
const HEADER_BYTES: usize = 28;
const TAG_BYTES: usize = 16;
const LENGTH_BYTES: usize = 4;
const PADDED_MIN_BYTES: usize = 64;
const AAD_BYTES: usize = 60;

/// The frame is not one, or not one that was written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("not a sealed frame")]
    Malformed,
    #[error("sealed in a generation of which there is no key")]
    Generation,
    #[error("altered, damaged or moved from elsewhere")]
    Refused,
}

/// One AES-256-GCM-SIV key. aws-lc wipes its copy when it is dropped.
pub(crate) struct DataKey(LessSafeKey);

impl DataKey {
    pub(crate) fn new(key: &SecretKey) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM_SIV, key.expose())
            .expect("the key has the cipher's length");
        Self(LessSafeKey::new(unbound))
    }

    /// Encrypts `body` where it is and returns its tag.
    pub(crate) fn encrypt(&self, nonce: [u8; 12], aad: &[u8], body: &mut [u8]) -> Tag {
        self.0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), body)
            .expect("a value is far within the cipher's limit")
    }

    /// Opens `sealed`, ciphertext and tag, where it is; `None` if any of it is not as it was encrypted.
    pub(crate) fn decrypt<'b>(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        sealed: &'b mut [u8],
    ) -> Option<&'b mut [u8]> {
        self.0
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), sealed)
            .ok()
    }
}

/// Fresh nonces: `HMAC(nonce key, 32 random bytes | count | associated data)`, cut to 96 bits.
///
/// Good randomness alone makes them unique. Should a cloned machine hand out the same randomness twice, the
/// count and what is sealed still tell them apart; and GCM-SIV reveals no more than equality if even that
/// fails.
pub(crate) struct Nonces {
    key: hmac::Key,
    count: AtomicU64,
    random: Arc<dyn Random>,
}

impl Nonces {
    pub(crate) fn new(key: &SecretKey, random: Arc<dyn Random>) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key.expose()),
            count: AtomicU64::new(0),
            random,
        }
    }

    fn next(&self, aad: &[u8]) -> Result<[u8; 12], RandomError> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&*random::bytes::<32>(&*self.random)?);
        context.update(&self.count.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        context.update(aad);
        let tag = context.sign();
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&tag.as_ref()[..12]);
        Ok(nonce)
    }
}

/// Seals `plaintext`, to be stored under `at`.
pub(crate) fn seal(
    nonces: &Nonces,
    key: &DataKey,
    generation: u32,
    version: u64,
    at: &StoreKey,
    plaintext: &[u8],
) -> Result<Vec<u8>, RandomError> {
    let aad = associated_data(at, generation, version);
    let nonce = nonces.next(&aad)?;
    let padded = padded_bytes(plaintext.len());

    let mut frame = vec![0; HEADER_BYTES + padded + TAG_BYTES];
    frame[..4].copy_from_slice(&[MAGIC, SUITE, at.table_byte(), FLAGS]);
    frame[4..8].copy_from_slice(&generation.to_be_bytes());
    frame[8..16].copy_from_slice(&version.to_be_bytes());
    frame[16..HEADER_BYTES].copy_from_slice(&nonce);

    let (body, tag_place) = frame[HEADER_BYTES..].split_at_mut(padded);
    let length =
        u32::try_from(plaintext.len()).expect("a value is within its limit, far under 4 GiB");
    body[..plaintext.len()].copy_from_slice(plaintext);
    body[padded - LENGTH_BYTES..].copy_from_slice(&length.to_be_bytes());
    let tag = key.encrypt(nonce, &aad, body);
    tag_place.copy_from_slice(tag.as_ref());
    Ok(frame)
}

/// Opens the frame that is stored under `at`, with the key that `key_of` gives for its generation.
pub(crate) fn open<'k>(
    key_of: impl FnOnce(u32) -> Option<&'k DataKey>,
    at: &StoreKey,
    frame: &[u8],
) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    if frame.len() < HEADER_BYTES + PADDED_MIN_BYTES + TAG_BYTES {
        return Err(FrameError::Malformed);
    }
    let (header, sealed) = frame.split_at(HEADER_BYTES);
    if header[..4] != [MAGIC, SUITE, at.table_byte(), FLAGS] {
        return Err(FrameError::Malformed);
    }
    let generation = u32::from_be_bytes(array(&header[4..8]));
    let version = u64::from_be_bytes(array(&header[8..16]));
    let nonce = array(&header[16..]);
    let key = key_of(generation).ok_or(FrameError::Generation)?;

    let mut buffer = Zeroizing::new(sealed.to_vec());
    let aad = associated_data(at, generation, version);
    let padded = key
        .decrypt(nonce, &aad, &mut buffer)
        .ok_or(FrameError::Refused)?
        .len();
    let length = u32::from_be_bytes(array(&buffer[padded - LENGTH_BYTES..padded])) as usize;
    if length > padded - LENGTH_BYTES {
        return Err(FrameError::Refused);
    }
    buffer.truncate(length);
    Ok(buffer)
}

fn associated_data(at: &StoreKey, generation: u32, version: u64) -> [u8; AAD_BYTES] {
    let mut aad = [0; AAD_BYTES];
    aad[..8].copy_from_slice(&[b'S', b'E', b'H', b'1', SUITE, at.table_byte(), FLAGS, 0]);
    aad[8..12].copy_from_slice(&generation.to_be_bytes());
    aad[12..28].copy_from_slice(at.mount().as_bytes());
    aad[28..52].copy_from_slice(at.name_hash());
    aad[52..].copy_from_slice(&version.to_be_bytes());
    aad
}

/// Padmé: of a length with the exponent e, the last `e - bits(e)` bits are rounded up.
fn padded_bytes(plaintext_bytes: usize) -> usize {
    let bytes = (plaintext_bytes + LENGTH_BYTES).max(PADDED_MIN_BYTES);
    let exponent = bytes.ilog2();
    let mask = (1usize << (exponent - exponent.ilog2() - 1)) - 1;
    (bytes + mask) & !mask
}

/// The bytes of a slice that was cut to this length.
fn array<const N: usize>(slice: &[u8]) -> [u8; N] {
    slice.try_into().expect("the slice was cut to this length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::SecretKey;
    use crate::names::{MountId, NamesKey};
    use crate::random::Counting;
    use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
    use proptest::prelude::*;

    const GENERATION: u32 = 3;
    const VERSION: u64 = 41;

    struct Fixture {
        secret: SecretKey,
        key: DataKey,
        names: NamesKey,
        nonces: Nonces,
    }

    impl Fixture {
        fn new() -> Self {
            let secret = SecretKey::from([0x42; 32]);
            Self {
                key: DataKey::new(&secret),
                names: NamesKey::new(&SecretKey::from([0x17; 32])),
                nonces: Nonces::new(&SecretKey::from([0x23; 32]), Arc::new(Counting::new())),
                secret,
            }
        }

        fn at(&self, path: &str) -> StoreKey {
            self.names.data(MountId::SYSTEM, path)
        }

        fn seal(&self, at: &StoreKey, plaintext: &[u8]) -> Vec<u8> {
            seal(&self.nonces, &self.key, GENERATION, VERSION, at, plaintext).unwrap()
        }

        fn open(&self, at: &StoreKey, frame: &[u8]) -> Result<Zeroizing<Vec<u8>>, FrameError> {
            open(
                |generation| (generation == GENERATION).then_some(&self.key),
                at,
                frame,
            )
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let fixture = Fixture::new();
        let at = fixture.at("a/b");
        let frame = fixture.seal(&at, b"hunter2");
        assert_eq!(**fixture.open(&at, &frame).unwrap(), *b"hunter2");
        for bit in 0..frame.len() * 8 {
            let mut altered = frame.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(fixture.open(&at, &altered).is_err(), "bit {bit}");
        }
        for length in 0..frame.len() {
            assert!(
                fixture.open(&at, &frame[..length]).is_err(),
                "cut to {length}"
            );
        }
        let mut longer = frame.clone();
        longer.push(0);
        assert!(fixture.open(&at, &longer).is_err());
    }

    #[test]
    fn a_frame_opens_only_where_it_was_written() {
        let fixture = Fixture::new();
        let at = fixture.at("a/b");
        let frame = fixture.seal(&at, b"hunter2");
        let other_mount = fixture.names.data(MountId::from_bytes([9; 16]), "a/b");
        let other_table = fixture.names.dirent(MountId::SYSTEM, "a/b");
        assert_eq!(
            fixture.open(&fixture.at("a/c"), &frame).unwrap_err(),
            FrameError::Refused
        );
        assert_eq!(
            fixture.open(&other_mount, &frame).unwrap_err(),
            FrameError::Refused
        );
        assert_eq!(
            fixture.open(&other_table, &frame).unwrap_err(),
            FrameError::Malformed
        );
        // Even with the byte of the table changed to fit.
        let mut fitted = frame.clone();
        fitted[2] = other_table.table_byte();
        assert_eq!(
            fixture.open(&other_table, &fitted).unwrap_err(),
            FrameError::Refused
        );
        // And under the same key if it was said to be of another generation.
        let mut other_generation = frame;
        other_generation[7] = 4;
        assert_eq!(
            open(|_| Some(&fixture.key), &at, &other_generation).unwrap_err(),
            FrameError::Refused
        );
    }

    #[test]
    fn a_frame_of_the_first_version_opens_for_ever() {
        let fixture = Fixture::new();
        let frame = fixture.seal(&fixture.at("a/b"), b"hunter2");
        assert_eq!(hex::encode(&frame), FROZEN);
        let opened = fixture
            .open(&fixture.at("a/b"), &hex::decode(FROZEN).unwrap())
            .unwrap();
        assert_eq!(**opened, *b"hunter2");
    }

    /// Made by this test when the format was fixed; never to be made again.
    const FROZEN: &str = "b5010100000000030000000000000029b694d5907ae2efbdd657e19b793ddab85c2b94311dba56e3c1eb0c08bddceaa3ecb6855717ceafd65958e528390590829387d71fffb4be1055c91b7453cc219f0c94eeef24b72637eb1b70c0468846dfe78d7df292c1a072d45e5fff";

    #[test]
    fn lengths_fall_into_buckets_of_at_most_an_eighth_more() {
        for (plaintext, padded) in [
            (0, 64),
            (60, 64),
            (61, 72),
            (124, 128),
            (1000, 1024),
            (1021, 1088),
        ] {
            assert_eq!(padded_bytes(plaintext), padded, "{plaintext}");
        }
        for plaintext in 60..100_000 {
            let padded = padded_bytes(plaintext);
            assert!(padded >= plaintext + LENGTH_BYTES);
            assert!(
                padded * 8 <= (plaintext + LENGTH_BYTES) * 9,
                "{plaintext} became {padded}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_second_implementation_opens_what_we_seal(plaintext in prop::collection::vec(any::<u8>(), 0..2000)) {
            let fixture = Fixture::new();
            let at = fixture.at("a/b");
            let frame = fixture.seal(&at, &plaintext);
            let oracle = aes_gcm_siv::Aes256GcmSiv::new_from_slice(fixture.secret.expose()).unwrap();
            let aad = associated_data(&at, GENERATION, VERSION);
            let padded = oracle
                .decrypt(
                    frame[16..HEADER_BYTES].into(),
                    Payload { msg: &frame[HEADER_BYTES..], aad: &aad },
                )
                .unwrap();
            prop_assert_eq!(&padded[..plaintext.len()], &plaintext[..]);
            let opened = fixture.open(&at, &frame).unwrap();
            prop_assert_eq!(&opened[..], &plaintext[..]);
        }
    }
}
