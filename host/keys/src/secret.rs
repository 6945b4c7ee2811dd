//! Custody of plaintext for one mount: made, sealed and opened here, never read by an engine.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use zeroize::Zeroizing;

use host_logical::{SecretBytes, Secrets, SecretsError};

use crate::limits;

/// First byte of a sealed secret: the format, so that another may follow.
const FORMAT: u8 = 1;
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";
/// As Vault's default password policy: lower, upper, digit and this sign.
const SIGN: &[u8] = b"-";

/// Fills a buffer from the system's generator, or says why it cannot.
pub type RandomSource =
    Arc<dyn Fn(&mut [u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// Gives the mount's key, or says why it cannot.
pub type KeySource = Box<
    dyn Fn() -> Result<Zeroizing<[u8; 32]>, Box<dyn std::error::Error + Send + Sync>> + Send + Sync,
>;

/// [`Secrets`] under a key that belongs to one mount and goes with it.
pub struct MountSecrets {
    source: KeySource,
    /// From the source, once it was needed.
    key: OnceLock<LessSafeKey>,
    random: RandomSource,
}

impl MountSecrets {
    /// The key that `source` gives is the mount's own; what it sealed opens under no other.
    pub fn new(source: KeySource, random: RandomSource) -> Self {
        Self {
            source,
            key: OnceLock::new(),
            random,
        }
    }

    fn key(&self) -> Result<&LessSafeKey, SecretsError> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = (self.source)().map_err(SecretsError::Broken)?;
        let key = UnboundKey::new(&AES_256_GCM_SIV, &*key)
            .map_err(|err| SecretsError::Broken(Box::new(err)))?;
        Ok(self.key.get_or_init(|| LessSafeKey::new(key)))
    }

    fn fill(&self, buf: &mut [u8]) -> Result<(), SecretsError> {
        (self.random)(buf).map_err(SecretsError::Broken)
    }

    /// One of `choices`, each as likely as any other.
    fn choose(&self, choices: &[u8]) -> Result<u8, SecretsError> {
        // What lies above the largest multiple of the number of choices would favour some.
        let fair = 256 - 256 % choices.len();
        loop {
            let mut byte = [0u8];
            self.fill(&mut byte)?;
            let drawn = usize::from(byte[0]);
            if drawn < fair {
                return Ok(choices[drawn % choices.len()]);
            }
        }
    }
}

#[async_trait]
impl Secrets for MountSecrets {
    async fn generate_password(&self, policy: Option<&str>) -> Result<SecretBytes, SecretsError> {
        if let Some(policy) = policy {
            return Err(SecretsError::NoSuchPolicy(policy.to_owned()));
        }
        let all = [LOWER, UPPER, DIGITS, SIGN].concat();
        loop {
            let mut password = Zeroizing::new(Vec::with_capacity(limits::PASSWORD_CHARACTERS));
            for _ in 0..limits::PASSWORD_CHARACTERS {
                password.push(self.choose(&all)?);
            }
            // Drawn anew rather than mended: every password that has all four is as likely.
            let has = |set: &[u8]| password.iter().any(|c| set.contains(c));
            if has(LOWER) && has(UPPER) && has(DIGITS) && has(SIGN) {
                return Ok(SecretBytes::new(std::mem::take(&mut *password)));
            }
        }
    }

    fn generate_token(&self, length: u32) -> Result<SecretBytes, SecretsError> {
        if length > limits::MAX_TOKEN_CHARACTERS {
            return Err(SecretsError::TooLong(limits::MAX_TOKEN_CHARACTERS as usize));
        }
        let all = [DIGITS, UPPER, LOWER].concat();
        let mut token = Zeroizing::new(Vec::with_capacity(length as usize));
        for _ in 0..length {
            token.push(self.choose(&all)?);
        }
        Ok(SecretBytes::new(std::mem::take(&mut *token)))
    }

    /// Format, nonce, ciphertext, tag. The nonce is random: AES-256-GCM-SIV keeps its promise for
    /// 2^48 messages of this size (RFC 8452 section 9), and a repeated nonce shows no more than
    /// that two equal secrets are equal. The context is bound by its hash, which keeps the
    /// associated data under the 64 bytes that those bounds assume.
    fn seal(&self, secret: &SecretBytes, context: &str) -> Result<Vec<u8>, SecretsError> {
        if secret.len() > limits::MAX_SECRET_BYTES {
            return Err(SecretsError::TooLong(limits::MAX_SECRET_BYTES));
        }
        let bound = bound_to(context)?;
        let mut nonce = [0u8; NONCE_LEN];
        self.fill(&mut nonce)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + secret.len() + 16);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        let mut text = Zeroizing::new(secret.expose().to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key()?
            .seal_in_place_separate_tag(nonce, Aad::from(bound), &mut text);
        let tag = tag.map_err(|err| SecretsError::Broken(Box::new(err)))?;
        sealed.extend_from_slice(&text);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    fn unseal(&self, sealed: &[u8], context: &str) -> Result<SecretBytes, SecretsError> {
        let (format, rest) = sealed.split_first().ok_or(SecretsError::DoesNotOpen)?;
        let (nonce, text) = rest
            .split_at_checked(NONCE_LEN)
            .ok_or(SecretsError::DoesNotOpen)?;
        if *format != FORMAT {
            return Err(SecretsError::DoesNotOpen);
        }
        let bound = bound_to(context)?;
        let nonce =
            Nonce::try_assume_unique_for_key(nonce).map_err(|_| SecretsError::DoesNotOpen)?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = self
            .key()?
            .open_in_place(nonce, Aad::from(bound), &mut text);
        let length = opened.map_err(|_| SecretsError::DoesNotOpen)?.len();
        text.truncate(length);
        Ok(SecretBytes::new(std::mem::take(&mut *text)))
    }
}

/// What a sealed secret is bound to beside its mount's key.
fn bound_to(context: &str) -> Result<[u8; 32], SecretsError> {
    if context.len() > limits::MAX_CONTEXT_BYTES {
        return Err(SecretsError::TooLong(limits::MAX_CONTEXT_BYTES));
    }
    let mut bound = [0; 32];
    bound.copy_from_slice(digest::digest(&digest::SHA256, context.as_bytes()).as_ref());
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::{SecureRandom, SystemRandom};

    fn secrets(key: u8) -> MountSecrets {
        let random: RandomSource = Arc::new(|buf| {
            SystemRandom::new()
                .fill(buf)
                .map_err(|err| Box::new(err).into())
        });
        MountSecrets::new(Box::new(move || Ok(Zeroizing::new([key; 32]))), random)
    }

    #[test]
    fn a_sealed_secret_opens_in_its_mount_and_context_only() {
        let secret = SecretBytes::new(b"hunter2".to_vec());
        let sealed = secrets(1).seal(&secret, "config/pg").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(
            secrets(1).unseal(&sealed, "config/pg").unwrap().expose(),
            b"hunter2"
        );
        assert!(secrets(1).unseal(&sealed, "config/other").is_err());
        assert!(secrets(2).unseal(&sealed, "config/pg").is_err());
    }

    #[test]
    fn no_changed_bit_and_no_cut_opens() {
        let sealed = secrets(1)
            .seal(&SecretBytes::new(b"x".to_vec()), "c")
            .unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(secrets(1).unseal(&changed, "c").is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(
                secrets(1).unseal(&sealed[..length], "c").is_err(),
                "{length} bytes"
            );
        }
    }

    #[tokio::test]
    async fn passwords_hold_all_that_policies_ask_for() {
        for _ in 0..100 {
            let password = secrets(1).generate_password(None).await.unwrap();
            assert_eq!(password.len(), limits::PASSWORD_CHARACTERS);
            for set in [LOWER, UPPER, DIGITS, SIGN] {
                assert!(password.expose().iter().any(|c| set.contains(c)));
            }
        }
        assert!(secrets(1).generate_password(Some("missing")).await.is_err());
    }

    #[test]
    fn tokens_are_as_long_as_asked() {
        assert_eq!(secrets(1).generate_token(32).unwrap().len(), 32);
        assert!(
            secrets(1)
                .generate_token(limits::MAX_TOKEN_CHARACTERS + 1)
                .is_err()
        );
    }
}
