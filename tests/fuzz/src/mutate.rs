//! Inputs made of real ones: pieces are removed, repeated, replaced by words of the grammar or by pieces of another.
//!
//! Pieces mostly begin and end where one kind of character meets another, so that what is changed is a token and what
//! comes out is often still a text of the language.

use std::fmt;
use std::ops::{Bound, Range};

use bolero::{Driver, ValueGenerator};

/// An input ends here: what is read in more than linear time is still read in well under a second.
const INPUT_BYTES: usize = 128 * 1024;

/// How many changes one input has. Mostly few, so that it stays close to what is accepted.
const CHANGES: [usize; 8] = [0, 1, 1, 1, 2, 3, 5, 12];

/// How often a piece is repeated.
const REPEATS: [usize; 8] = [1, 1, 1, 2, 2, 3, 8, 20];

/// And how often it is now and then, for limits on depth and number. Such inputs are slow, so one in so many.
const MANY_REPEATS: [usize; 5] = [65, 110, 130, 300, 5000];
const MANY_REPEATS_ONE_IN: usize = 64;

/// One input. Shown as text, which is what most are.
pub(crate) struct Input(pub(crate) Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// The generator.
pub(crate) struct Mutations {
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutations {
    /// `seeds` has one at least.
    pub(crate) fn new(seeds: Vec<Vec<u8>>, words: &str) -> Self {
        let own = words.split(' ').map(|word| word.as_bytes().to_vec());
        // What any reader of bytes can stumble over.
        let common: [&[u8]; 9] = [
            b"\0",
            b"\xff",
            b"\xc3\x28",
            "\u{feff}".as_bytes(),
            "\u{202e}".as_bytes(),
            "é".as_bytes(),
            b"\n",
            b" ",
            b"0",
        ];
        let words = own.chain(common.map(<[u8]>::to_vec)).collect();
        Self { seeds, words }
    }

    fn change<D: Driver>(&self, driver: &mut D, input: &mut Vec<u8>) -> Option<()> {
        let piece = piece(driver, input)?;
        match below(driver, 8)? {
            0 => drop(input.drain(piece)),
            1 | 2 => drop(input.splice(piece, self.word(driver)?.iter().copied())),
            3 => {
                let word = self.word(driver)?;
                drop(input.splice(piece.start..piece.start, word.iter().copied()));
            }
            4 => {
                let other = choose(driver, &self.seeds)?;
                let part = self::piece(driver, other)?;
                drop(input.splice(piece, other[part].iter().copied()));
            }
            5 | 6 => {
                let is_many = below(driver, MANY_REPEATS_ONE_IN)? == 0;
                let times = *choose(
                    driver,
                    if is_many {
                        &MANY_REPEATS[..]
                    } else {
                        &REPEATS[..]
                    },
                )?;
                let room = INPUT_BYTES.saturating_sub(input.len()) / piece.len().max(1);
                let copies = input[piece.clone()].repeat(times.min(room));
                drop(input.splice(piece.start..piece.start, copies));
            }
            _ => {
                if let Some(byte) = input.get_mut(piece.start) {
                    *byte = driver.produce()?;
                }
            }
        }
        Some(())
    }

    fn word<D: Driver>(&self, driver: &mut D) -> Option<&[u8]> {
        choose(driver, &self.words).map(Vec::as_slice)
    }
}

impl ValueGenerator for Mutations {
    type Output = Input;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Input> {
        let mut input = choose(driver, &self.seeds)?.clone();
        for _ in 0..*choose(driver, &CHANGES)? {
            self.change(driver, &mut input)?;
        }
        input.truncate(INPUT_BYTES);
        Some(Input(input))
    }
}

/// A part of `input`: a token, a few bytes, or what lies between two tokens anywhere.
fn piece<D: Driver>(driver: &mut D, input: &[u8]) -> Option<Range<usize>> {
    let start = place(driver, input)?;
    let end = match below(driver, 4)? {
        0 => place(driver, input)?,
        1 => input.len().min(start + below(driver, 5)?),
        _ => next_seam(input, start + 1),
    };
    Some(start.min(end)..end.max(start))
}

fn place<D: Driver>(driver: &mut D, input: &[u8]) -> Option<usize> {
    let at = below(driver, input.len() + 1)?;
    Some(match below(driver, 8)? {
        0 => at,
        _ => next_seam(input, at),
    })
}

/// The first place from `at` on where the kind of character changes.
fn next_seam(input: &[u8], at: usize) -> usize {
    let mut places = at.max(1)..input.len();
    let found = places.find(|at| kind(input[at - 1]) != kind(input[*at]));
    if at == 0 {
        0
    } else {
        found.unwrap_or(input.len())
    }
}

/// Letters and digits are of a kind, blanks are, and each sign is one of its own.
fn kind(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' | 0x80.. => b'a',
        b' ' | b'\t' | b'\r' | b'\n' => b' ',
        sign => sign,
    }
}

fn choose<'c, D: Driver, T>(driver: &mut D, choices: &'c [T]) -> Option<&'c T> {
    choices.get(below(driver, choices.len())?)
}

/// A number below `end`; zero if that is zero.
fn below<D: Driver>(driver: &mut D, end: usize) -> Option<usize> {
    driver.gen_usize(Bound::Included(&0), Bound::Excluded(&end.max(1)))
}
