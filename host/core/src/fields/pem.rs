//! Private keys in PEM, taken out of what stands around them.

use host_logical::SecretBytes;

use super::Fault;

/// Takes the blocks out whose label ends in `PRIVATE KEY`, from their first dash to their last,
/// in order. Everything else stays: certificates, parameters, text between the blocks.
pub(super) fn take_private_keys(text: String) -> Result<(String, Vec<SecretBytes>), Fault> {
    let text = zeroize::Zeroizing::new(text);
    let (mut others, mut keys) = (String::new(), Vec::new());
    let mut left = text.as_str();
    while let Some(at) = left.find(BEGIN) {
        let label = &left[at + BEGIN.len()..];
        let label = &label[..label.find(DASHES).ok_or(Fault::PemUnclosed)?];
        if !label.ends_with(PRIVATE) {
            let (kept, rest) = left.split_at(at + BEGIN.len());
            others.push_str(kept);
            left = rest;
            continue;
        }
        let end = format!("{END}{label}{DASHES}");
        let length = left[at..].find(&end).ok_or(Fault::PemUnclosed)? + end.len();
        let (before, rest) = left.split_at(at);
        let (key, rest) = rest.split_at(length);
        // Another block inside would mean that this one has lost its end.
        if key[BEGIN.len()..].contains(BEGIN) {
            return Err(Fault::PemUnclosed);
        }
        others.push_str(before);
        keys.push(SecretBytes::new(key.as_bytes().to_vec()));
        left = rest.strip_prefix('\r').unwrap_or(rest);
        left = left.strip_prefix('\n').unwrap_or(left);
    }
    others.push_str(left);
    // A label without its dashes in order is no block, and may still be a key.
    if others.contains(PRIVATE) {
        return Err(Fault::PemUnclosed);
    }
    Ok((others, keys))
}

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const PRIVATE: &str = "PRIVATE KEY";

#[cfg(test)]
mod tests {
    use super::*;

    fn block(label: &str) -> String {
        format!("-----BEGIN {label}-----\nTUlJRQ==\n-----END {label}-----")
    }

    #[track_caller]
    fn check(text: &str, others: &str, keys: &[&str]) {
        let Ok((kept, taken)) = take_private_keys(text.to_owned()) else {
            panic!("refused: {text}");
        };
        let taken: Vec<_> = taken
            .iter()
            .map(|key| String::from_utf8_lossy(key.expose()).into_owned())
            .collect();
        assert_eq!(kept, others);
        assert_eq!(taken, keys);
    }

    #[test]
    fn private_keys_are_taken_out_in_their_order() {
        let (certificate, parameters) = (block("CERTIFICATE"), block("EC PARAMETERS"));
        let (rsa, ec) = (block("RSA PRIVATE KEY"), block("EC PRIVATE KEY"));
        check(
            &format!("root:\n{certificate}\n{rsa}\n{parameters}\r\n{ec}\r\n{certificate}\n"),
            &format!("root:\n{certificate}\n{parameters}\r\n{certificate}\n"),
            &[&rsa, &ec],
        );
        let encrypted = block("ENCRYPTED PRIVATE KEY");
        check(&encrypted, "", &[&encrypted]);
    }

    #[test]
    fn what_holds_no_private_key_stays_as_it_is() {
        let chain = format!("{}\n{}\n", block("CERTIFICATE"), block("PUBLIC KEY"));
        check(&chain, &chain, &[]);
        check("", "", &[]);
        check("not PEM", "not PEM", &[]);
    }

    #[test]
    fn a_key_that_does_not_end_is_refused() {
        for text in [
            "-----BEGIN PRIVATE KEY-----\nMIIE",
            "-----BEGIN PRIVATE KEY\nMIIE",
            "----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\n-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
        ] {
            assert_eq!(
                take_private_keys(text.to_owned()).err(),
                Some(Fault::PemUnclosed),
                "{text}"
            );
        }
    }
}
