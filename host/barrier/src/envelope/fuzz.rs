//! Bytes that were not sealed here never open, and what was sealed with the right key but not by `seal` opens as what
//! it is or not at all.

use tests_fuzz::{Source, Verdict, fuzz};

use super::*;
use crate::names::{MountId, NamesKey};
use crate::random::Counting;

const GENERATION: u32 = 3;
const VERSION: u64 = 41;
const WORDS: &str = "\
    \x01 \x02 \x03 \x7f \0\0\0\0 \0\0\0\x3c \0\0\0\x3d \x7f\x7f\x7f\x7f";

struct Fixture {
    key: DataKey,
    nonces: Nonces,
    /// Where frames are sealed, and where they are opened.
    places: Vec<StoreKey>,
    sealed: Vec<(StoreKey, Vec<u8>, Vec<u8>)>,
}

impl Fixture {
    fn new() -> Self {
        let names = NamesKey::new(&SecretKey::from([0x17; 32]));
        let mut fixture = Self {
            key: DataKey::new(&SecretKey::from([0x42; 32])),
            nonces: Nonces::new(&SecretKey::from([0x23; 32]), Arc::new(Counting::new())),
            places: vec![
                names.data(MountId::SYSTEM, "a/b"),
                names.data(MountId::from_bytes([9; 16]), "a/b"),
                names.dirent(MountId::SYSTEM, "a/b"),
            ],
            sealed: Vec::new(),
        };
        for at in &fixture.places {
            for value in [&b""[..], b"hunter2", &[0; 61], &[0xA5; 300]] {
                let frame = seal(
                    &fixture.nonces,
                    &fixture.key,
                    GENERATION,
                    VERSION,
                    at,
                    value,
                )
                .unwrap();
                fixture.sealed.push((*at, value.to_vec(), frame));
            }
        }
        fixture
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
fn a_frame_that_was_not_sealed_never_opens() {
    let fixture = Fixture::new();
    let seeds = fixture
        .sealed
        .iter()
        .map(|(_, _, frame)| frame.clone())
        .collect();
    fuzz(
        Source {
            target: "frame",
            seeds,
            words: WORDS,
        },
        |input| {
            let mut opened = Verdict::Refused;
            for at in &fixture.places {
                let found = fixture.open(at, input);
                let sealed = fixture
                    .sealed
                    .iter()
                    .find(|(place, _, frame)| place == at && frame == input);
                let value = sealed.map(|(_, value, _)| value.as_slice());
                assert_eq!(found.as_ref().ok().map(|value| value.as_slice()), value);
                if found.is_ok() {
                    opened = Verdict::Accepted;
                }
            }
            opened
        },
    );
}

/// The input is the padded plaintext, sealed as it is: what a writer with the key and a fault could leave behind.
#[test]
fn a_plaintext_with_any_padding_opens_as_its_first_bytes_or_not_at_all() {
    let fixture = Fixture::new();
    let padded = |length: u32| [vec![7; 60], length.to_be_bytes().to_vec()].concat();
    let seeds = [0, 7, 60, 61, u32::MAX].map(padded).to_vec();
    fuzz(
        Source {
            target: "plaintext",
            seeds,
            words: WORDS,
        },
        |input| {
            let mut body = input.to_vec();
            body.resize(body.len().max(PADDED_MIN_BYTES), 0);
            let at = &fixture.places[0];
            let found = fixture.open(at, &frame_of(&fixture.key, at, &body));
            let (value, length) = body.split_at(body.len() - LENGTH_BYTES);
            let length = u32::from_be_bytes(array(length)) as usize;
            match &found {
                Ok(found) => assert_eq!(found[..], value[..length]),
                Err(error) => assert!(*error == FrameError::Refused && length > value.len()),
            }
            Verdict::of(&found)
        },
    );
}

fn frame_of(key: &DataKey, at: &StoreKey, body: &[u8]) -> Vec<u8> {
    let nonce = [5; 12];
    let mut frame = vec![MAGIC, SUITE, at.table_byte(), FLAGS];
    frame.extend_from_slice(&GENERATION.to_be_bytes());
    frame.extend_from_slice(&VERSION.to_be_bytes());
    frame.extend_from_slice(&nonce);
    let mut sealed = body.to_vec();
    let aad = Aad::from(associated_data(at, GENERATION, VERSION));
    key.0
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
        .unwrap();
    frame.extend_from_slice(&sealed);
    frame
}
