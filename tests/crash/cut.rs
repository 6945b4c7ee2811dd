//! What a power cut leaves of the operations that no sync had made safe.
//!
//! All of these are allowed by POSIX, and happen: a page cache writes back in any order and in any part, a
//! file's length is journaled apart from its data, a disk writes sector by sector.

use crate::chance::Chance;
use crate::disk::{Change, File, write_at};

/// What disks write whole, or not at all.
const SECTOR: usize = 512;

/// redb's header has the data file's first page for itself. It must survive a torn header, but not one whose old bytes
/// turned to garbage: it takes single bytes to be atomic, as SQLite does.
const HEADER: usize = 4096;

/// How the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing unsynced is there.
    Lost,
    /// All of it is, as when the process was killed. At every operation in turn, this is every prefix.
    Kept,
    /// Some first part of it.
    Prefix,
    /// Any of it.
    Subset,
    /// Any of it, in any order.
    Reordered,
    /// Of each write any sectors.
    TornSectors,
    /// Of each write any bytes, or a first part that ends anywhere.
    TornBytes,
    /// All writes, but the file has not grown.
    GrowthLost,
    /// As torn by sectors, but what was not written may be neither old nor new.
    Garbage,
}

impl Cut {
    pub(crate) const ALL: [Self; 9] = [
        Self::Lost,
        Self::Kept,
        Self::Prefix,
        Self::Subset,
        Self::Reordered,
        Self::TornSectors,
        Self::TornBytes,
        Self::GrowthLost,
        Self::Garbage,
    ];

    /// A file after it.
    pub(crate) fn image(
        self,
        file: File,
        durable: &[u8],
        unsynced: &[&Change],
        chance: &mut Chance,
    ) -> Vec<u8> {
        let mut image = durable.to_vec();
        match self {
            Self::Lost => {}
            Self::Kept => unsynced.iter().for_each(|done| done.apply(&mut image)),
            Self::Prefix => {
                let length = chance.within(0..unsynced.len() + 1);
                unsynced[..length]
                    .iter()
                    .for_each(|done| done.apply(&mut image));
            }
            Self::Subset => {
                for done in unsynced {
                    if chance.coin() {
                        done.apply(&mut image);
                    }
                }
            }
            Self::Reordered => {
                let mut rest = unsynced.to_vec();
                for _ in 0..chance.within(0..unsynced.len() + 1) {
                    let next = chance.within(0..rest.len());
                    rest.swap_remove(next).apply(&mut image);
                }
            }
            Self::GrowthLost => {
                unsynced.iter().for_each(|done| done.apply(&mut image));
                image.truncate(durable.len());
            }
            Self::TornSectors | Self::TornBytes | Self::Garbage => {
                for done in unsynced {
                    self.tear(file, done, &mut image, chance);
                }
            }
        }
        image
    }

    fn tear(self, file: File, done: &Change, image: &mut Vec<u8>, chance: &mut Chance) {
        let Change::Write { offset, data } = done else {
            if chance.coin() {
                done.apply(image);
            }
            return;
        };
        if self == Self::TornBytes && chance.coin() {
            let length = chance.within(0..data.len() + 1);
            return write_at(image, *offset, &data[..length]);
        }
        let unit = match self {
            Self::TornBytes => 1,
            _ => SECTOR,
        };
        for (n, piece) in data.chunks(unit).enumerate() {
            let at = offset + n * unit;
            if chance.coin() {
                write_at(image, at, piece);
            } else if self == Self::Garbage
                && (file == File::Journal || at >= HEADER)
                && chance.coin()
            {
                let mut garbage = piece.to_vec();
                chance.fill(&mut garbage);
                write_at(image, at, &garbage);
            }
        }
    }
}
