//! Chance that repeats: the same seed gives the same run.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use host_barrier::{Random, RandomError};

/// SplitMix64: small, and good enough to choose which writes are lost.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another one, that depends on this one and on `salt` only.
    pub(crate) fn fork(&self, salt: u64) -> Self {
        let mut fork = Self(self.0 ^ salt.wrapping_mul(0xd134_2543_de82_ef95));
        fork.next();
        fork
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `range`, which is not empty.
    pub(crate) fn within(&mut self, range: Range<usize>) -> usize {
        let count = (range.end - range.start) as u64;
        range.start + usize::try_from(self.next() % count).expect("less than the range")
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// One of `of`, which is not empty.
    pub(crate) fn choose<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.within(0..of.len())]
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.next().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}

/// The barrier's and core's randomness. Guessable, which is no matter here.
pub(crate) struct Seeded(Mutex<Chance>);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(Chance::new(seed)))
    }
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        let mut chance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        chance.fill(bytes);
        Ok(())
    }
}
