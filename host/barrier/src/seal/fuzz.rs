//! The one record that is read without a key: whatever stands in it, shares open the root key that they were made for
//! or none.

use tests_fuzz::{Source, Verdict, fuzz};

use super::*;
use crate::random::Counting;

const WORDS: &str = "\
    format kind shares root_key recovery set threshold verifiers Shamir Static shamir static \
    { } [ ] : , \" null 0 1 2 255 256 -1 \"\" AAAA =";

#[test]
fn shares_open_their_own_root_key_or_none_whatever_the_record_says() {
    let random = Counting::new();
    let (shamir, root, handed_out) = create(
        Init::Shamir {
            shares: 3,
            threshold: 2,
        },
        &random,
    )
    .unwrap();
    let key = || StaticKey(SecretKey::from([7; 32]));
    let init = Init::Static {
        key: key(),
        recovery: Some((3, 2)),
    };
    let (fixed, fixed_root, recovery) = create(init, &random).unwrap();
    let seeds = vec![shamir.to_bytes(), fixed.to_bytes()];
    fuzz(
        Source {
            target: "seal",
            seeds,
            words: WORDS,
        },
        |input| {
            let read = SealRecord::parse(input);
            if let Ok(record) = &read {
                assert_eq!(
                    SealRecord::parse(&record.to_bytes()).unwrap().to_bytes(),
                    record.to_bytes()
                );
                let mut sealed = Sealed::new(record.clone());
                for share in &handed_out.shares {
                    let provided = sealed.provide(copy(share), &Counting::new());
                    assert!(
                        provided.is_err() || knows(record, share),
                        "a share of no use"
                    );
                    if let Ok(Provided::Root(opened)) = provided {
                        assert_eq!(opened.expose(), root.expose());
                    }
                    let status = sealed.status();
                    assert!(status.progress <= status.shares, "{status:?}");
                }
                if let Ok(opened) = sealed.open_static(&key()) {
                    assert_eq!(opened.expose(), fixed_root.expose());
                }
                let shares: Vec<_> = recovery.recovery_shares.iter().map(copy).collect();
                for count in 0..=shares.len() {
                    let _ = record.opens_recovery(&shares[..count]);
                }
            }
            Verdict::of(&read)
        },
    );
}

fn knows(record: &SealRecord, share: &UnsealShare) -> bool {
    let is_known = |set: &ShareSet| set.verifiers.iter().any(|known| share.matches(&known.0));
    record.shares.as_ref().is_some_and(is_known)
}

fn copy(share: &UnsealShare) -> UnsealShare {
    UnsealShare::parse(&share.to_hex()).unwrap()
}
