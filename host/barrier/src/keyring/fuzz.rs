//! Records of the keyring that were not written here never open, and what does open can be worked with.

use tests_fuzz::{Source, Verdict, fuzz};

use super::*;
use crate::random::Counting;

const WORDS: &str = "\
    \x01 \x02 \x7f \0\0\0\x01 \0\0\0\x02 \0\0\0\x03 \x7f\x7f\x7f\x7f";
const MOUNT: MountId = MountId::SYSTEM;

fn ring() -> SecretKey {
    SecretKey::from([1; 32])
}

fn term() -> Term {
    Term {
        number: 3,
        since_millis: 77,
        key: SecretKey::from([3; 32]),
    }
}

fn mount_secrets() -> MountSecrets {
    let mut secrets = MountSecrets::new(&Counting::new()).unwrap();
    secrets.add_generation(&Counting::new()).unwrap();
    secrets
}

#[test]
fn a_record_that_was_not_written_never_opens() {
    let random = Counting::new();
    let records = [
        term().seal(&random, &ring()).unwrap(),
        term().seal_use(&random, 1 << 20).unwrap(),
        mount_secrets().seal(&random, &term(), MOUNT).unwrap(),
    ];
    let seeds = records.iter().map(|record| record.to_vec()).collect();
    fuzz(
        Source {
            target: "keyring",
            seeds,
            words: WORDS,
        },
        |input| {
            let opened = [
                Term::open(&ring(), input).is_ok(),
                term().open_use(input).is_ok(),
                MountSecrets::open(&term(), MOUNT, input).is_ok(),
            ];
            assert_eq!(
                opened,
                [0, 1, 2].map(|at| records[at] == input),
                "each opens as itself"
            );
            if opened.contains(&true) {
                Verdict::Accepted
            } else {
                Verdict::Refused
            }
        },
    );
}

/// The input is what was wrapped, by a writer with the key and a fault.
#[test]
fn keys_that_open_are_sound_whatever_was_wrapped() {
    let secrets = mount_secrets();
    let mut mount = secrets.names.expose().to_vec();
    for (generation, key) in &secrets.generations {
        mount.extend_from_slice(&generation.to_be_bytes());
        mount.extend_from_slice(key.expose());
    }
    let mut ring_record = 9u32.to_be_bytes().to_vec();
    ring_record.extend_from_slice(&77u64.to_be_bytes());
    ring_record.extend_from_slice(&[9; 32]);
    let seeds = vec![mount, ring_record, (1u64 << 20).to_be_bytes().to_vec()];
    fuzz(
        Source {
            target: "keys",
            seeds,
            words: WORDS,
        },
        |content| {
            let opened = [
                check_term(content),
                check_use(content),
                check_mount(content),
            ];
            if opened.contains(&true) {
                Verdict::Accepted
            } else {
                Verdict::Refused
            }
        },
    );
}

fn check_term(content: &[u8]) -> bool {
    let place = context(&StoreKey::only(Table::Keyring), 0);
    let record = wrap::wrap(&Counting::new(), &ring(), &place, content).unwrap();
    let Ok(opened) = Term::open(&ring(), &record) else {
        return false;
    };
    let again = Term::open(&ring(), &opened.seal(&Counting::new(), &ring()).unwrap()).unwrap();
    assert_eq!(opened.number, again.number);
    assert_eq!(opened.since_millis, again.since_millis);
    assert_eq!(opened.key.expose(), again.key.expose());
    true
}

fn check_use(content: &[u8]) -> bool {
    let place = context(&StoreKey::term_use(term().number), term().number);
    let record = wrap::wrap(&Counting::new(), &term().key, &place, content).unwrap();
    let opened = term().open_use(&record);
    assert_eq!(opened.is_ok(), content.len() == 8);
    opened.is_ok()
}

/// Generations ascend: the last one seals, and the next one has a number that none had before.
fn check_mount(content: &[u8]) -> bool {
    let place = context(&StoreKey::mount_key(MOUNT), term().number);
    let mut record = term().number.to_be_bytes().to_vec();
    record.extend_from_slice(&wrap::wrap(&Counting::new(), &term().key, &place, content).unwrap());
    let Ok(mut opened) = MountSecrets::open(&term(), MOUNT, &record) else {
        return false;
    };
    assert!(opened.generations.is_sorted_by(|one, next| one.0 < next.0));
    let keys = MountKeys::new(term().number, &opened);
    let (newest, _) = keys.sealing();
    assert!(
        opened
            .generations
            .iter()
            .all(|(generation, _)| keys.opening(*generation).is_some())
    );
    opened.add_generation(&Counting::new()).unwrap();
    assert!(
        opened
            .generations
            .last()
            .is_some_and(|(generation, _)| *generation > newest)
    );
    true
}

// ---- What was found ----------------------------------------------------------------------------

/// They opened, sealed with a key that was not the newest, and the next rotation made a number twice or overflowed.
#[test]
fn generations_that_do_not_ascend_or_have_no_successor_are_refused() {
    for (generations, is_sound) in [
        (&[1, 2, 7][..], true),
        (&[2, 1], false),
        (&[1, 1], false),
        (&[1, u32::MAX], false),
    ] {
        let content = generations.iter().fold(vec![0; 32], |content, generation| {
            [&content[..], &generation.to_be_bytes(), &[9; 32]].concat()
        });
        assert_eq!(check_mount(&content), is_sound, "{generations:?}");
    }
}
