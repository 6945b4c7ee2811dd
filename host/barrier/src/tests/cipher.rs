//! The cipher that seals frames, judged from outside: by Project Wycheproof's vectors, and by a second
//! implementation that shares no code with ours.

use aes_gcm_siv::Aes256GcmSiv;
use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::*;
use crate::envelope::DataKey;
use crate::keyring::SecretKey;
use crate::random::{Random, bytes};

fn key(bytes: &[u8]) -> DataKey {
    DataKey::new(&SecretKey::from_slice(bytes))
}

/// Ciphertext and tag, as frames have them.
fn encrypt(key: &DataKey, nonce: [u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = plaintext.to_vec();
    let tag = key.encrypt(nonce, aad, &mut sealed);
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

fn decrypt(key: &DataKey, nonce: [u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut sealed = sealed.to_vec();
    key.decrypt(nonce, aad, &mut sealed)
        .map(|plaintext| plaintext.to_vec())
}

#[test]
fn wycheproofs_vectors_hold() {
    let set = TestSet::load(TestName::AesGcmSiv).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in set.test_groups.iter().filter(|group| group.key_size == 256) {
        for test in &group.tests {
            let id = test.tc_id;
            let key = key(&test.key);
            let nonce = test.nonce.as_ref().try_into().expect("a nonce of 96 bits");
            let sealed = [test.ct.as_ref(), test.tag.as_ref()].concat();
            let opened = decrypt(&key, nonce, &test.aad, &sealed);
            match test.result {
                TestResult::Valid => {
                    valid += 1;
                    let made = encrypt(&key, nonce, &test.aad, &test.pt);
                    assert_eq!(hex::encode(made), hex::encode(&sealed), "{id}");
                    assert_eq!(opened.as_deref(), Some(test.pt.as_ref()), "{id}");
                }
                TestResult::Invalid => {
                    invalid += 1;
                    assert_eq!(opened, None, "{id}: {}", test.comment);
                }
                TestResult::Acceptable => panic!("{id} leaves open what is right"),
            }
        }
    }
    // All that there are for keys of 256 bits.
    assert_eq!((valid, invalid), (69, 34));
}

/// Up to `most` random bytes.
fn some(random: &dyn Random, most: usize) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes(*bytes(random).unwrap())) % (most + 1);
    let mut some = vec![0; length];
    random.fill(&mut some).unwrap();
    some
}

#[test]
fn a_second_implementation_seals_and_opens_alike() {
    let random = Counting::new();
    for n in 0..cases(4_000) {
        let secret = bytes::<32>(&random).unwrap();
        let nonce = *bytes::<12>(&random).unwrap();
        let aad = some(&random, 100);
        // Mostly a few blocks, sometimes as long as a large value's.
        let plaintext = some(&random, if n % 100 == 0 { 60_000 } else { 300 });
        let (ours, theirs) = (key(&*secret), Aes256GcmSiv::new((&*secret).into()));

        let sealed = encrypt(&ours, nonce, &aad, &plaintext);
        let msg = Payload {
            msg: &plaintext,
            aad: &aad,
        };
        assert_eq!(theirs.encrypt(&nonce.into(), msg).unwrap(), sealed, "{n}");
        let msg = Payload {
            msg: &sealed,
            aad: &aad,
        };
        assert_eq!(
            theirs.decrypt(&nonce.into(), msg).unwrap(),
            plaintext,
            "{n}"
        );
        assert_eq!(decrypt(&ours, nonce, &aad, &sealed), Some(plaintext), "{n}");

        // And refuse alike what was altered anywhere.
        let mut altered = sealed;
        let bit = u32::from_be_bytes(*bytes(&random).unwrap()) as usize % (altered.len() * 8);
        altered[bit / 8] ^= 1 << (bit % 8);
        let msg = Payload {
            msg: &altered,
            aad: &aad,
        };
        assert!(theirs.decrypt(&nonce.into(), msg).is_err(), "{n}");
        assert_eq!(decrypt(&ours, nonce, &aad, &altered), None, "{n}");
    }
}
