//! Any text is a share in one way or none, and a share that was not handed out is told, even if its checksum is right.

use tests_fuzz::{Source, Verdict, fuzz};

use super::*;
use crate::random::Counting;

const WORDS: &str = "\
    = == 0 f F + / _ - 0x \" 01 AQ A";

/// A text is tried as it is; and its first bytes as a share whose checksum is right, which a stranger can make as well.
#[test]
fn a_share_that_was_not_handed_out_is_never_taken_for_one() {
    let secret = SecretKey::from([0x5A; 32]);
    let shares = split(&Counting::new(), &secret, 3, 2).unwrap();
    let texts = shares
        .iter()
        .flat_map(|share| [share.to_hex(), share.to_base64()]);
    let seeds = texts.map(|text| text.as_bytes().to_vec()).collect();
    fuzz(
        Source {
            target: "share",
            seeds,
            words: WORDS,
        },
        |input| {
            if let Ok(bytes) = hex::decode(input) {
                check_forged(&secret, &shares, &bytes);
            }
            let Ok(text) = std::str::from_utf8(input) else {
                return Verdict::Refused;
            };
            let read = UnsealShare::parse(text);
            if let Ok(share) = &read {
                let text = text.trim();
                let is_hex = *text.to_lowercase() == **share.to_hex();
                assert!(is_hex || *text == **share.to_base64(), "there are two ways");
                check_read(share);
                check_known(&secret, &shares, share);
            }
            Verdict::of(&read)
        },
    );
}

fn check_read(share: &UnsealShare) {
    for text in [share.to_hex(), share.to_base64()] {
        let again = UnsealShare::parse(&text).unwrap();
        assert_eq!(*again.to_bytes(), *share.to_bytes());
        assert!(again.is_same_as(share) && again.matches(&share.verifier()));
    }
    assert_eq!(format!("{share:?}"), "UnsealShare");
}

fn check_forged(secret: &SecretKey, shares: &[UnsealShare], bytes: &[u8]) {
    let mut forged = bytes.to_vec();
    forged.resize(CHECKED_BYTES, 0);
    forged[0] = VERSION;
    let checksum = digest(&SHA256, &forged);
    forged.extend_from_slice(&checksum.as_ref()[..4]);
    let share =
        UnsealShare::parse(&hex::encode(&forged)).expect("what has the right form is a share");
    assert_eq!(share.to_bytes()[..], forged[..]);
    check_read(&share);
    check_known(secret, shares, &share);
}

/// Only a share that was handed out has its verifier, and only such ones give the secret.
fn check_known(secret: &SecretKey, shares: &[UnsealShare], share: &UnsealShare) {
    let known = shares
        .iter()
        .find(|known| *known.to_bytes() == *share.to_bytes());
    let matching = shares
        .iter()
        .filter(|known| share.matches(&known.verifier()))
        .count();
    assert_eq!(matching, usize::from(known.is_some()));
    let copy = |share: &UnsealShare| UnsealShare::parse(&share.to_hex()).unwrap();
    let opens = |other: &UnsealShare| {
        combine(&[copy(share), copy(other)]).is_some_and(|key| key.expose() == secret.expose())
    };
    let is_point = shares
        .iter()
        .any(|known| known.x == share.x && known.y.expose() == share.y.expose());
    assert!(
        is_point || !shares.iter().any(opens),
        "a made-up point gives the secret"
    );
}
