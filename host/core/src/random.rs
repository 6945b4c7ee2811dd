//! Chance, from the one source that core was given.

use zeroize::Zeroizing;

use host_barrier::Random;
use host_logical::RequestId;

use crate::error::HandleError;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `length` characters of `[0-9A-Za-z]`, each as likely as any other.
pub(crate) fn base62(random: &dyn Random, length: usize) -> Result<Zeroizing<String>, HandleError> {
    // The largest multiple of 62 in a byte: what lies above would make some characters likelier.
    const FAIR: u8 = 62 * 4;
    let mut text = Zeroizing::new(String::with_capacity(length));
    let mut pool = Zeroizing::new([0u8; 64]);
    while text.len() < length {
        random.fill(&mut *pool).map_err(HandleError::internal)?;
        let fair = pool.iter().filter(|byte| **byte < FAIR);
        for byte in fair.take(length - text.len()) {
            text.push(char::from(BASE62[usize::from(byte % 62)]));
        }
    }
    Ok(text)
}

/// `length` random bytes.
pub(crate) fn bytes(random: &dyn Random, length: usize) -> Result<Vec<u8>, HandleError> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes).map_err(HandleError::internal)?;
    Ok(bytes)
}

/// A random UUID.
pub(crate) fn uuid(random: &dyn Random) -> Result<String, HandleError> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes).map_err(HandleError::internal)?;
    Ok(RequestId::from_random(bytes).as_str().to_owned())
}
