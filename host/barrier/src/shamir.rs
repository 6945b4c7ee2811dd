//! Unseal shares: a key split so that any `threshold` of the shares give it back and fewer say nothing about
//! it.
//!
//! A share as people keep it, in hex or base64:
//!
//! ```text
//! version 1 | set 4 | threshold 1 | x 1 | y 32 | checksum 4        43 bytes
//! ```
//!
//! `set` names the split that the share is from, and the checksum is the beginning of the SHA-256 of what is
//! before it. So a mistyped share and one of another server are told at once, each by its name, and cost
//! nothing.
//!
//! Each share of a set also has a verifier, an HMAC under its `y`, that is kept in the clear beside the
//! sealed key: a share that carries the right set but was never handed out is refused as well, before it can
//! spoil an attempt. `y` is 32 uniformly random bytes, so the verifier gives nothing away that the sealed key
//! beside it does not.
//!
//! The arithmetic of GF(256) and the interpolation are those of `vsss-rs`: constant time, no tables. What goes
//! in and comes out is wiped here; the coefficients that it draws in between it leaves to the allocator.

#[cfg(test)]
mod fuzz;

use std::convert::Infallible;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use vsss_rs::Gf256;
use zeroize::Zeroizing;

use crate::keyring::SecretKey;
use crate::limits;
use crate::random::{self, Random, RandomError};

const VERSION: u8 = 1;
const CHECKED_BYTES: usize = 39;
const SHARE_BYTES: usize = CHECKED_BYTES + 4;

/// One share of an unseal key or of a recovery key.
pub struct UnsealShare {
    pub(crate) set: SetId,
    pub(crate) threshold: u8,
    x: u8,
    y: SecretKey,
}

/// Which split a share is from. Random; not a secret.
pub(crate) type SetId = [u8; 4];

/// Why a text is not a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// Neither hex nor base64.
    #[error("the share is neither hex nor base64")]
    Encoding,
    /// Under 16 bytes.
    #[error("the share is shorter than minimum {} bytes", limits::SHARE_MIN_BYTES)]
    TooShort,
    /// It has the wrong length, an unknown version or a checksum that does not fit.
    #[error("the share is mistyped or incomplete")]
    Mistyped,
}

impl UnsealShare {
    /// Reads a share in hex or in base64.
    pub fn parse(text: &str) -> Result<Self, ShareError> {
        let text = text.trim();
        // Hex first, as Vault does. No share in base64 is hex by chance: 43 bytes end in `=`.
        let bytes = Zeroizing::new(
            hex::decode(text)
                .or_else(|_| BASE64.decode(text))
                .map_err(|_| ShareError::Encoding)?,
        );
        if bytes.len() < limits::SHARE_MIN_BYTES {
            return Err(ShareError::TooShort);
        }
        if bytes.len() != SHARE_BYTES {
            return Err(ShareError::Mistyped);
        }
        let (checked, checksum) = bytes.split_at(CHECKED_BYTES);
        if checked[0] != VERSION || digest(&SHA256, checked).as_ref()[..4] != *checksum {
            return Err(ShareError::Mistyped);
        }
        let mut set = SetId::default();
        set.copy_from_slice(&checked[1..5]);
        Ok(Self {
            set,
            threshold: checked[5],
            x: checked[6],
            y: SecretKey::from_slice(&checked[7..]),
        })
    }

    /// As `keys` of Vault's answer to `sys/init`.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.to_bytes()))
    }

    /// As `keys_base64` of Vault's answer to `sys/init`.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(self.to_bytes()))
    }

    fn to_bytes(&self) -> Zeroizing<[u8; SHARE_BYTES]> {
        let mut bytes = Zeroizing::new([0; SHARE_BYTES]);
        bytes[0] = VERSION;
        bytes[1..5].copy_from_slice(&self.set);
        bytes[5] = self.threshold;
        bytes[6] = self.x;
        bytes[7..CHECKED_BYTES].copy_from_slice(self.y.expose());
        let checksum = digest(&SHA256, &bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&checksum.as_ref()[..4]);
        bytes
    }

    /// Two texts of the same share are one share.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.set == other.set && self.x == other.x
    }

    /// Which point of the polynomial it is; tells the shares of a set apart.
    pub(crate) fn point(&self) -> u8 {
        self.x
    }

    /// What is kept in the clear to know this share again.
    pub(crate) fn verifier(&self) -> [u8; 32] {
        let mut verifier = [0; 32];
        verifier.copy_from_slice(hmac::sign(&self.verifier_key(), &self.verified()).as_ref());
        verifier
    }

    /// Whether `verifier` was made from this share; in constant time.
    pub(crate) fn matches(&self, verifier: &[u8]) -> bool {
        hmac::verify(&self.verifier_key(), &self.verified(), verifier).is_ok()
    }

    fn verifier_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.y.expose())
    }

    fn verified(&self) -> Vec<u8> {
        [
            b"coffer unseal share".as_slice(),
            &self.set,
            &[self.threshold, self.x],
        ]
        .concat()
    }
}

impl fmt::Debug for UnsealShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnsealShare")
    }
}

/// Splits `secret` into `shares`, of which `threshold` give it back. The numbers were checked: 1 of 1, or at
/// least 2 of at most 255.
pub(crate) fn split(
    random: &dyn Random,
    secret: &SecretKey,
    shares: u8,
    threshold: u8,
) -> Result<Vec<UnsealShare>, RandomError> {
    let set = *random::bytes(random)?;
    if threshold == 1 {
        let y = SecretKey::from_slice(secret.expose());
        return Ok(vec![UnsealShare {
            set,
            threshold,
            x: 1,
            y,
        }]);
    }
    let mut coefficients = Coefficients {
        random,
        failed: false,
    };
    let points = Gf256::split_bytes(
        usize::from(threshold),
        usize::from(shares),
        secret.expose(),
        &mut coefficients,
    )
    .expect("the numbers were checked");
    if coefficients.failed {
        return Err(RandomError);
    }
    Ok(points
        .into_iter()
        .map(Zeroizing::new)
        .map(|point| UnsealShare {
            set,
            threshold,
            x: point[0],
            y: SecretKey::from_slice(&point[1..]),
        })
        .collect())
}

/// The secret of which these are shares of one set, none twice and at least the threshold.
/// `None` if the points cannot be interpolated, which shares that passed their verifiers never are.
pub(crate) fn combine(shares: &[UnsealShare]) -> Option<SecretKey> {
    if let [only] = shares {
        return Some(SecretKey::from_slice(only.y.expose()));
    }
    let points = Zeroizing::new(
        shares
            .iter()
            .map(|share| [&[share.x], share.y.expose().as_slice()].concat())
            .collect::<Vec<_>>(),
    );
    let secret = Zeroizing::new(Gf256::combine_bytes(points.as_slice()).ok()?);
    Some(SecretKey::from_slice(&secret))
}

/// Our randomness, which can fail, for a library whose randomness cannot: a failure is remembered and what
/// was made is thrown away.
struct Coefficients<'r> {
    random: &'r dyn Random,
    failed: bool,
}

impl rand_core::TryRng for Coefficients<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.failed |= self.random.fill(out).is_err();
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Coefficients<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Counting;

    fn secret() -> SecretKey {
        SecretKey::from([0x5A; 32])
    }

    fn copy(share: &UnsealShare) -> UnsealShare {
        UnsealShare::parse(&share.to_hex()).unwrap()
    }

    #[test]
    fn every_subset_of_the_threshold_or_more_gives_the_key_and_none_below_it() {
        for shares in 2..=8u8 {
            for threshold in 2..=shares {
                let all = split(&Counting::new(), &secret(), shares, threshold).unwrap();
                for subset in 1..1u32 << shares {
                    let chosen: Vec<_> = (0..shares)
                        .filter(|i| subset >> i & 1 == 1)
                        .map(|i| copy(&all[usize::from(i)]))
                        .collect();
                    let right =
                        combine(&chosen).is_some_and(|key| key.expose() == secret().expose());
                    assert_eq!(
                        right,
                        chosen.len() >= usize::from(threshold),
                        "{subset:b} of {threshold}/{shares}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_most_shares_work() {
        let all = split(&Counting::new(), &secret(), 255, 255).unwrap();
        assert_eq!(combine(&all).unwrap().expose(), secret().expose());
    }

    #[test]
    fn one_of_one_is_a_share_like_any_other() {
        let all = split(&Counting::new(), &secret(), 1, 1).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(combine(&all).unwrap().expose(), secret().expose());
        assert_eq!(all[0].to_hex().len(), 2 * SHARE_BYTES);
    }

    #[test]
    fn hex_and_base64_are_the_same_share() {
        let all = split(&Counting::new(), &secret(), 3, 2).unwrap();
        for share in &all {
            for text in [share.to_hex(), share.to_base64()] {
                let parsed = UnsealShare::parse(&text).unwrap();
                assert_eq!(parsed.to_hex(), share.to_hex());
                assert!(parsed.is_same_as(share) && parsed.matches(&share.verifier()));
            }
        }
        assert!(!all[0].matches(&all[1].verifier()));
    }

    #[test]
    fn a_mistyped_share_is_told() {
        let share = split(&Counting::new(), &secret(), 3, 2)
            .unwrap()
            .remove(0)
            .to_hex();
        for at in 0..share.len() {
            let mut typed = share.to_string().into_bytes();
            typed[at] = if typed[at] == b'0' { b'1' } else { b'0' };
            let typed = String::from_utf8(typed).unwrap();
            assert_eq!(
                UnsealShare::parse(&typed).unwrap_err(),
                ShareError::Mistyped,
                "digit {at}"
            );
        }
        for (text, error) in [
            ("", ShareError::TooShort),
            ("ab12", ShareError::TooShort),
            ("not a share!", ShareError::Encoding),
            ("0123456789abcdef0123456789abcdef", ShareError::Mistyped),
            (&share[..share.len() - 1], ShareError::Encoding),
        ] {
            assert_eq!(UnsealShare::parse(text).unwrap_err(), error, "{text:?}");
        }
    }

    #[test]
    fn failing_randomness_makes_no_shares() {
        struct Dry;
        impl Random for Dry {
            fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError> {
                if buf.len() == 4 {
                    Ok(())
                } else {
                    Err(RandomError)
                }
            }
        }
        struct DryLater(std::sync::atomic::AtomicU64);
        impl Random for DryLater {
            fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
                match self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                    0..5 => Ok(()),
                    _ => Err(RandomError),
                }
            }
        }
        assert!(Dry.fill(&mut [0; 32]).is_err());
        assert!(split(&DryLater(0.into()), &secret(), 3, 2).is_err());
    }

    #[test]
    fn multiplication_in_the_library_is_that_of_the_field() {
        // Schoolbook: multiply as polynomials over GF(2), reduce by x^8 + x^4 + x^3 + x + 1.
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let mut product = 0u16;
                for bit in 0..8 {
                    if b >> bit & 1 == 1 {
                        product ^= u16::from(a) << bit;
                    }
                }
                for bit in (8..15).rev() {
                    if product >> bit & 1 == 1 {
                        product ^= 0x11B << (bit - 8);
                    }
                }
                assert_eq!(u16::from((Gf256(a) * Gf256(b)).0), product, "{a} * {b}");
            }
        }
    }
}
