//! Any path and query are read in one way or refused: there is no second spelling by which a policy could be missed.

use tests_fuzz::{Source, Verdict, fuzz};

use crate::limits;
use crate::request::{Pairs, Rejection, path};

const WORDS: &str = "\
    secret data sys seal auth / // . .. ... % %2F %2f %2e %2E%2e %25 %00 %0a %ff %c3%a9 \
    %e2%80%ae + * ? & = && list=true list after= version=2 # ; \\";

#[test]
fn a_path_is_read_in_one_way_or_refused() {
    let source = Source {
        target: "path",
        seeds: Vec::new(),
        words: WORDS,
    };
    fuzz(source, |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return Verdict::Refused;
        };
        let (below, query) = text.split_once('?').unwrap_or((text, ""));
        check_query(query);
        check_path(below)
    });
}

fn check_path(below: &str) -> Verdict {
    let Ok(read) = path(below) else {
        return Verdict::Refused;
    };
    let text = read.as_str();
    assert!(!text.starts_with('/') && !text.contains("//"), "{text:?}");
    assert!(
        text.split('/')
            .all(|segment| segment != "." && segment != ".."),
        "{text:?}"
    );
    assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
    assert!(text.len() <= below.len());

    let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(
        path(&encoded).as_ref(),
        Ok(&read),
        "the same path, each byte escaped"
    );
    if !text.contains('%') {
        assert_eq!(
            path(text).as_ref(),
            Ok(&read),
            "the path that was read, read again"
        );
    }
    let folder = read.clone().into_folder();
    assert!(folder.is_folder() || text.is_empty());
    assert_eq!(
        folder.as_str().trim_end_matches('/'),
        text.trim_end_matches('/')
    );
    Verdict::Accepted
}

fn check_query(query: &str) {
    let mut pairs = match Pairs::parse(query) {
        Ok(pairs) => pairs,
        Err(refused) => {
            assert!(
                matches!(refused, Rejection::Query | Rejection::PercentEncoding),
                "{refused:?}"
            );
            return;
        }
    };
    let count = query.split('&').filter(|pair| !pair.is_empty()).count();
    assert!(count <= limits::QUERY_PARAMETERS);
    let is_asked_twice = pairs.take_switch("list").is_ok() && pairs.take("list").is_some();
    assert!(!is_asked_twice, "what was taken is gone");
    let data = pairs.into_data();
    let values = data
        .values()
        .map(|value| value.as_array().map_or(1, Vec::len))
        .sum::<usize>();
    assert!(
        values <= count,
        "a query does not say more than it has parameters"
    );
}
