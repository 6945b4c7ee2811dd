//! Keys wrapped by keys, with commitment.
//!
//! AES-256-GCM-SIV does not commit to its key: one ciphertext can be made to open under two. Where a key
//! comes from outside (unseal shares, a static key) or one of several could be tried, that matters. So each
//! wrap derives two keys from the wrapping key and a fresh salt: one to encrypt, one to be stored and
//! compared before anything is opened.
//!
//! ```text
//! 0xB6 | 1 | salt 32 | commitment to the wrapping key 32 | commitment to the content 32
//!      | nonce 12 | ciphertext | tag 16
//! ```
//!
//! Key: derived for this one wrap. Nonce: random, though the salt alone would do. Associated data: SHA-256 of
//! the context, which names the kind of key and the record it lies in, so that a wrap opens nowhere else.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::keyring::{SecretKey, derive_salted};
use crate::random::{self, Random, RandomError};

const HEAD: [u8; 2] = [0xB6, 1];
const SALT: usize = 2;
const KEY_COMMITMENT: usize = SALT + 32;
const CONTENT_COMMITMENT: usize = KEY_COMMITMENT + 32;
const NONCE: usize = CONTENT_COMMITMENT + 32;
const CIPHERTEXT: usize = NONCE + 12;
const TAG_BYTES: usize = 16;

/// Why a wrapped key did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrapError {
    #[error("not a wrapped key")]
    Malformed,
    #[error("wrapped by another key")]
    WrongKey,
    #[error("altered, damaged or moved from elsewhere")]
    Refused,
}

/// Wraps `content` under `key`, to be opened only with the same `context`.
pub(crate) fn wrap(
    random: &dyn Random,
    key: &SecretKey,
    context: &[u8],
    content: &[u8],
) -> Result<Vec<u8>, RandomError> {
    let salt = random::bytes::<32>(random)?;
    let nonce = random::bytes::<12>(random)?;
    let mut out = Vec::with_capacity(CIPHERTEXT + content.len() + TAG_BYTES);
    out.extend_from_slice(&HEAD);
    out.extend_from_slice(&*salt);
    out.extend_from_slice(commitment(key, &*salt).expose());
    out.extend_from_slice(content_commitment(content, &*salt).expose());
    out.extend_from_slice(&*nonce);
    out.extend_from_slice(content);
    let tag = cipher(key, &*salt)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(digest(&SHA256, context)),
            &mut out[CIPHERTEXT..],
        )
        .expect("a wrapped key is far within the cipher's limit");
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

/// Opens what [`wrap`] made.
pub(crate) fn unwrap(
    key: &SecretKey,
    context: &[u8],
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    if wrapped.len() < CIPHERTEXT + TAG_BYTES || wrapped[..2] != HEAD {
        return Err(WrapError::Malformed);
    }
    let salt = &wrapped[SALT..KEY_COMMITMENT];
    verify_slices_are_equal(
        commitment(key, salt).expose(),
        &wrapped[KEY_COMMITMENT..CONTENT_COMMITMENT],
    )
    .map_err(|_| WrapError::WrongKey)?;

    let nonce = Nonce::try_assume_unique_for_key(&wrapped[NONCE..CIPHERTEXT])
        .map_err(|_| WrapError::Malformed)?;
    let mut content = Zeroizing::new(wrapped[CIPHERTEXT..].to_vec());
    let length = cipher(key, salt)
        .open_in_place(nonce, Aad::from(digest(&SHA256, context)), &mut content)
        .map_err(|_| WrapError::Refused)?
        .len();
    content.truncate(length);
    verify_slices_are_equal(
        content_commitment(&content, salt).expose(),
        &wrapped[CONTENT_COMMITMENT..NONCE],
    )
    .map_err(|_| WrapError::Refused)?;
    Ok(content)
}

fn cipher(key: &SecretKey, salt: &[u8]) -> LessSafeKey {
    let derived = derive_salted(key.expose(), salt, &["coffer wrap encryption"]);
    LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM_SIV, derived.expose())
            .expect("the key has the cipher's length"),
    )
}

fn commitment(key: &SecretKey, salt: &[u8]) -> SecretKey {
    derive_salted(key.expose(), salt, &["coffer wrap commitment"])
}

fn content_commitment(content: &[u8], salt: &[u8]) -> SecretKey {
    derive_salted(content, salt, &["coffer wrap content"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Counting;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from([byte; 32])
    }

    #[test]
    fn the_wrong_key_is_told_from_damage() {
        let wrapped = wrap(&Counting::new(), &key(1), b"here", b"a key").unwrap();
        assert_eq!(**unwrap(&key(1), b"here", &wrapped).unwrap(), *b"a key");
        assert_eq!(
            unwrap(&key(2), b"here", &wrapped).unwrap_err(),
            WrapError::WrongKey
        );
        assert_eq!(
            unwrap(&key(1), b"there", &wrapped).unwrap_err(),
            WrapError::Refused
        );
        for bit in 0..wrapped.len() * 8 {
            let mut altered = wrapped.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(unwrap(&key(1), b"here", &altered).is_err(), "bit {bit}");
        }
        for length in 0..wrapped.len() {
            assert!(
                unwrap(&key(1), b"here", &wrapped[..length]).is_err(),
                "cut to {length}"
            );
        }
    }
}
