//! Where chance comes from.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// Where randomness comes from; an argument everywhere, so that a run can be replayed.
pub trait Random: Send + Sync + 'static {
    /// Fills `buf` with bytes that nobody can guess.
    fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError>;
}

/// There was no randomness to be had.
#[derive(Debug, thiserror::Error)]
#[error("the source of randomness failed")]
pub struct RandomError;

/// The operating system's randomness, through aws-lc.
#[derive(Debug, Default)]
pub struct SystemRandomness(SystemRandom);

impl SystemRandomness {
    /// The one source outside tests.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Random for SystemRandomness {
    fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError> {
        self.0.fill(buf).map_err(|_| RandomError)
    }
}

/// `N` fresh bytes.
pub(crate) fn bytes<const N: usize>(
    random: &dyn Random,
) -> Result<Zeroizing<[u8; N]>, RandomError> {
    let mut out = Zeroizing::new([0; N]);
    random.fill(&mut *out)?;
    Ok(out)
}

/// Bytes that repeat from run to run, for tests.
#[cfg(test)]
pub(crate) struct Counting(std::sync::atomic::AtomicU64);

#[cfg(test)]
impl Counting {
    pub(crate) fn new() -> Self {
        Self(std::sync::atomic::AtomicU64::new(1))
    }
}

#[cfg(test)]
impl Random for Counting {
    fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError> {
        for chunk in buf.chunks_mut(32) {
            let count = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let digest =
                aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &count.to_be_bytes());
            chunk.copy_from_slice(&digest.as_ref()[..chunk.len()]);
        }
        Ok(())
    }
}
