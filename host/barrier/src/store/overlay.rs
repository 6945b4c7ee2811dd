//! A file to look into: what is written to it stays in memory.
//!
//! redb repairs a file that was not closed before it shows what is in it. A file that may be another
//! program's is repaired here, and stays as it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;

use redb::StorageBackend;

use crate::lock;

const PAGE: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    length: u64,
    /// So much of the file itself still shows; behind it are zeros.
    of_file: u64,
    /// Written pages, by their number.
    written: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Overlay {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let (of_file, written) = (length, BTreeMap::new());
        let state = State {
            length,
            of_file,
            written,
        };
        let state = Mutex::new(state);
        Ok(Self { file, state })
    }

    fn page(&self, state: &State, number: u64) -> io::Result<Box<[u8; PAGE]>> {
        if let Some(page) = state.written.get(&number) {
            return Ok(page.clone());
        }
        let mut page = Box::new([0; PAGE]);
        let start = number * PAGE as u64;
        let stored = state.of_file.saturating_sub(start).min(PAGE as u64) as usize;
        self.file.read_exact_at(&mut page[..stored], start)?;
        Ok(page)
    }
}

/// The pages that `length` bytes from `offset` touch: the number of each, where in it they begin, how many
/// they are.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, mut left) = (offset, length);
    std::iter::from_fn(move || {
        let within = (at % PAGE as u64) as usize;
        let piece = left.min(PAGE - within);
        let number = at / PAGE as u64;
        (at, left) = (at.checked_add(piece as u64)?, left - piece);
        (piece > 0).then_some((number, within, piece))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.state).length)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let state = lock(&self.state);
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > state.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, length) in pieces(offset, out.len()) {
            let (piece, rest) = out.split_at_mut(length);
            piece.copy_from_slice(&self.page(&state, number)?[within..within + length]);
            out = rest;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        if length < state.length {
            let (last, within) = (length / PAGE as u64, (length % PAGE as u64) as usize);
            state.written.split_off(&(last + 1));
            if let Some(page) = state.written.get_mut(&last) {
                page[within..].fill(0);
            }
            state.of_file = state.of_file.min(length);
        }
        state.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.state);
        let end = offset.checked_add(data.len() as u64);
        let end = end.ok_or(io::ErrorKind::InvalidInput)?;
        for (number, within, length) in pieces(offset, data.len()) {
            let mut page = self.page(&state, number)?;
            let (piece, rest) = data.split_at(length);
            page[within..within + length].copy_from_slice(piece);
            state.written.insert(number, page);
            data = rest;
        }
        state.length = state.length.max(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize, Vec<u8>),
        SetLen(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20_000usize, prop::collection::vec(any::<u8>(), 0..9_000))
                .prop_map(|(offset, data)| Step::Write(offset, data)),
            (0..20_000usize).prop_map(Step::SetLen),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_reads_as_a_file_would_and_the_file_stays(
            original in prop::collection::vec(any::<u8>(), 0..10_000),
            steps in prop::collection::vec(step(), 0..12),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("file");
            std::fs::write(&path, &original).unwrap();
            let overlay = Overlay::open(&path).unwrap();
            let mut model = original.clone();
            for step in steps {
                match step {
                    Step::Write(offset, data) => {
                        let end = offset + data.len();
                        if data.is_empty() {
                            continue;
                        }
                        model.resize(model.len().max(end), 0);
                        overlay.write(offset as u64, &data).unwrap();
                        model[offset..end].copy_from_slice(&data);
                    }
                    Step::SetLen(length) => {
                        overlay.set_len(length as u64).unwrap();
                        model.resize(length, 0);
                    }
                }
                let mut read = vec![0; model.len()];
                overlay.read(0, &mut read).unwrap();
                prop_assert_eq!(&read, &model);
                prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
                prop_assert!(overlay.read(1, &mut read).is_err() || model.is_empty());
            }
            prop_assert_eq!(std::fs::read(&path).unwrap(), original);
        }
    }
}
