//! A second reader of paths, slow and plain: it takes them apart into segments and puts them together again.

use proptest::prelude::*;

use super::*;

/// Whether a character shows where it stands, and leaves the text around it as it is.
fn is_seen(c: char) -> bool {
    // C0, DEL and C1; zero-width ones and marks of direction; separators of lines, and embeddings and overrides of
    // direction; joiners and invisible operators; the byte order mark; what stands for undecodable bytes.
    let unseen = [
        0x0000..=0x001F,
        0x007F..=0x009F,
        0x200B..=0x200F,
        0x2028..=0x202E,
        0x2060..=0x2064,
        0xFEFF..=0xFEFF,
        0xFFFD..=0xFFFD,
    ];
    !unseen.iter().any(|range| range.contains(&u32::from(c)))
}

/// What lies between the slashes, however many there are.
fn segments(raw: &str) -> Result<Vec<&str>, PathError> {
    let segments: Vec<&str> = raw.split('/').filter(|it| !it.is_empty()).collect();
    if segments.join("/").len() > 2048 {
        Err(PathError::TooLong)
    } else if segments.contains(&".") || segments.contains(&"..") {
        Err(PathError::Relative)
    } else if !segments.iter().all(|it| it.chars().all(is_seen)) {
        Err(PathError::NotPrintable)
    } else {
        Ok(segments)
    }
}

fn read_request(decoded: &[u8]) -> Result<String, PathError> {
    let raw = String::from_utf8(decoded.to_vec()).map_err(|_| PathError::NotUtf8)?;
    let segments = segments(&raw)?;
    let end = if raw.ends_with('/') && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    Ok(segments.join("/") + end)
}

fn read_mount(raw: &str) -> Result<String, PathError> {
    match &segments(raw)?[..] {
        [] => Err(PathError::Empty),
        segments => Ok(segments.join("/") + "/"),
    }
}

/// Pieces that mean something in a path, and a little of everything.
fn raw() -> impl Strategy<Value = Vec<u8>> {
    let telling = prop::sample::select(vec![
        "/", "/", "/", "//", ".", "..", "...", "a", "b", "secret", "%2F", "%", "?", "é",
        "\u{202E}", "\u{FEFF}", "\u{A0}", "\n", "\0", "\u{7F}", "\u{85}", "\\", " ",
    ]);
    let piece = prop_oneof![
        20 => telling.prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    let short = prop::collection::vec(piece.clone(), 0..12).prop_map(|pieces| pieces.concat());
    // Around the longest that there may be.
    let long =
        (prop::collection::vec(piece, 0..4), 2040..2052_usize).prop_map(|(pieces, length)| {
            let mut raw = pieces.concat();
            raw.resize(raw.len().max(length), b'x');
            raw
        });
    prop_oneof![50 => short, 1 => long]
}

fn cases(in_ci: u32) -> ProptestConfig {
    let factor = std::env::var("COFFER_TEST_FACTOR").map_or(1, |factor| {
        factor.parse().expect("COFFER_TEST_FACTOR is a number")
    });
    ProptestConfig {
        cases: in_ci * factor,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(100_000))]

    #[test]
    fn a_request_path_is_what_its_segments_say(raw in raw()) {
        let read = RequestPath::parse(&raw).map(|path| path.to_string());
        prop_assert_eq!(&read, &read_request(&raw));
        if let (Ok(text), Ok(path)) = (read, RequestPath::parse(&raw)) {
            // It is its own normal form, and stays one as a folder.
            prop_assert_eq!(RequestPath::parse(text.as_bytes()), Ok(path.clone()));
            prop_assert_eq!(path.is_folder(), text.ends_with('/'));
            let folder = path.into_folder().to_string();
            let wanted = if text.is_empty() { text } else { text.trim_end_matches('/').to_owned() + "/" };
            prop_assert_eq!(folder, wanted);
        }
    }

    #[test]
    fn a_mount_path_is_what_its_segments_say(raw in raw(), other in raw()) {
        let (raw, other) = (String::from_utf8_lossy(&raw), String::from_utf8_lossy(&other));
        prop_assert_eq!(MountPath::parse(&raw).map(|path| path.to_string()), read_mount(&raw));
        if let (Ok(mount), Ok(other)) = (MountPath::parse(&raw), MountPath::parse(&other)) {
            let (one, two) = (mount.trimmed(), other.trimmed());
            let (one, two): (Vec<&str>, Vec<&str>) = (one.split('/').collect(), two.split('/').collect());
            prop_assert_eq!(mount.overlaps(&other), one.starts_with(&two) || two.starts_with(&one));
            let stripped = two.starts_with(&one).then(|| two[one.len()..].join("/"));
            prop_assert_eq!(mount.strip(other.trimmed()).map(str::to_owned), stripped);
        }
    }
}

#[test]
fn of_all_characters_those_that_cannot_be_seen_are_refused() {
    for c in '\0'..=char::MAX {
        let path = RequestPath::parse(format!("a{c}b").as_bytes());
        let wanted = if is_seen(c) {
            Ok(())
        } else {
            Err(PathError::NotPrintable)
        };
        assert_eq!(path.map(drop), wanted, "{:x}", u32::from(c));
    }
}
