//! Patterns: which path of an engine a request goes to. The host goes by the same rules.
//!
//! Segments lie between slashes and are literal, `{name}` (one segment, not empty), or
//! `{name...}` (what is left, slashes included, or nothing), after which only literals may come.
//! Where the pattern ends in a literal or `{name}`, a slash at the end of the path, which every
//! list has, is passed over. `data/{path...}` matches `data/` and not `data`.
//!
//! Of all patterns that match, the one wins that has a literal where, read from the left, they
//! first differ; `{name}` wins over `{name...}`, and the longer end behind that over the shorter.

use std::cmp::Ordering;

/// Refuses a malformed pattern while the engine is compiled.
pub(crate) const fn check(pattern: &str) {
    let bytes = pattern.as_bytes();
    let mut at = 0;
    let mut rest_seen = false;
    while at < bytes.len() {
        let start = at;
        while at < bytes.len() && bytes[at] != b'/' {
            at += 1;
        }
        assert!(at > start, "a pattern has no empty segment");
        assert!(at + 1 != bytes.len(), "a pattern does not end in a slash");
        if bytes[start] == b'{' && bytes[at - 1] == b'}' {
            assert!(!rest_seen, "only literals follow a `{{name...}}`");
            let mut end = at - 1;
            if end > start + 3
                && bytes[end - 1] == b'.'
                && bytes[end - 2] == b'.'
                && bytes[end - 3] == b'.'
            {
                rest_seen = true;
                end -= 3;
            }
            assert!(end > start + 1, "a `{{name}}` is not empty");
            let mut inside = start + 1;
            while inside < end {
                assert!(
                    bytes[inside].is_ascii_alphanumeric()
                        || bytes[inside] == b'_'
                        || bytes[inside] == b'-',
                    "a name has letters, digits, `_` and `-`"
                );
                inside += 1;
            }
        } else {
            let mut inside = start;
            while inside < at {
                assert!(
                    bytes[inside] != b'{' && bytes[inside] != b'}',
                    "a `{{name}}` is a whole segment"
                );
                inside += 1;
            }
        }
        at += 1;
    }
}

/// Whether `pattern` matches `path`; `capture` is told names and what they stand for.
pub(crate) fn matches<'p>(
    pattern: &'p str,
    path: &'p str,
    mut capture: impl FnMut(&'p str, &'p str),
) -> bool {
    let mut wanted = Some(pattern);
    let mut left = Some(path);
    while let Some(segments) = wanted {
        let Some(here) = left else { return false };
        let (segment, wanted_below) = cut(segments);
        let (text, left_below) = cut(here);
        match Segment::parse(segment) {
            Segment::Literal(literal) if literal == text => {}
            Segment::Name(name) if !text.is_empty() => capture(name, text),
            Segment::Rest(name) => {
                return match without_end(here, wanted_below) {
                    Some(rest) => {
                        capture(name, rest);
                        true
                    }
                    None => false,
                };
            }
            Segment::Literal(_) | Segment::Name(_) => return false,
        }
        (wanted, left) = (wanted_below, left_below);
    }
    matches!(left, None | Some(""))
}

/// `Less` if `a` wins over `b`, where both match the same path.
pub(crate) fn precedence(a: &str, b: &str) -> Ordering {
    let ((a, a_end), (b, b_end)) = (split_end(a), split_end(b));
    let ranks = |pattern| str::split(pattern, '/').map(|segment| Segment::parse(segment).rank());
    ranks(a)
        .cmp(ranks(b))
        .then_with(|| b_end.len().cmp(&a_end.len()))
}

/// The first segment, and what comes after its slash.
fn cut(path: &str) -> (&str, Option<&str>) {
    match path.split_once('/') {
        Some((segment, below)) => (segment, Some(below)),
        None => (path, None),
    }
}

/// What is left for the rest when the literals behind it have theirs.
fn without_end<'p>(path: &'p str, end: Option<&str>) -> Option<&'p str> {
    let Some(end) = end else { return Some(path) };
    let path = path.strip_suffix('/').unwrap_or(path);
    let rest = path.strip_suffix(end)?.strip_suffix('/')?;
    (!rest.is_empty()).then_some(rest)
}

/// A pattern up to its rest, and the literals behind that.
fn split_end(pattern: &str) -> (&str, &str) {
    let end = pattern.find("...}").map(|dots| dots + "...}".len());
    pattern.split_at(end.unwrap_or(pattern.len()))
}

enum Segment<'p> {
    Literal(&'p str),
    Name(&'p str),
    Rest(&'p str),
}

impl<'p> Segment<'p> {
    fn parse(segment: &'p str) -> Self {
        match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            None => Self::Literal(segment),
            Some(name) => match name.strip_suffix("...") {
                None => Self::Name(name),
                Some(name) => Self::Rest(name),
            },
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::Name(_) => 1,
            Self::Rest(_) => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which pattern wins for `path`, and what it captures.
    fn check_path(path: &str, wanted: &str) {
        let patterns = [
            "config",
            "roles",
            "roles/{name}",
            "roles/{name}/rotate",
            "roles/default/{what}",
            "data/{path...}",
            "data/fixed/{path...}",
            "mounts/{path...}",
            "mounts/{path...}/tune",
            "{path...}",
        ];
        let found = patterns
            .iter()
            .filter(|pattern| matches(pattern, path, |_, _| {}))
            .min_by(|a, b| precedence(a, b));
        let mut got = found.map(|pattern| pattern.to_string()).unwrap_or_default();
        if let Some(pattern) = found {
            matches(pattern, path, |name, text| {
                got += &format!(" {name}={text}")
            });
        }
        assert_eq!(got, wanted, "{path}");
    }

    #[test]
    fn a_literal_wins_over_a_name_and_a_name_over_the_rest() {
        check_path("config", "config");
        check_path("roles", "roles");
        check_path("roles/a", "roles/{name} name=a");
        check_path("roles/a/rotate", "roles/{name}/rotate name=a");
        check_path("roles/default/rotate", "roles/default/{what} what=rotate");
        check_path("roles/a/b", "{path...} path=roles/a/b");
    }

    #[test]
    fn a_last_slash_is_passed_over_where_there_is_no_rest() {
        check_path("roles/", "roles");
        check_path("roles/a/", "roles/{name} name=a");
        check_path("roles//", "{path...} path=roles//");
    }

    #[test]
    fn the_rest_takes_slashes_and_may_be_empty() {
        check_path("data/a/b/", "data/{path...} path=a/b/");
        check_path("data/fixed/a", "data/fixed/{path...} path=a");
        check_path("data/fixed", "data/{path...} path=fixed");
        check_path("data/", "data/{path...} path=");
        check_path("data", "{path...} path=data");
        check_path("", "{path...} path=");
    }

    #[test]
    fn literals_behind_the_rest_win_over_the_rest_alone() {
        check_path("mounts/a/b/tune", "mounts/{path...}/tune path=a/b");
        check_path("mounts/a/tune/", "mounts/{path...}/tune path=a");
        check_path("mounts/tune", "mounts/{path...} path=tune");
    }

    #[test]
    fn a_malformed_pattern_is_refused() {
        let refused = |pattern: &'static str| {
            std::panic::catch_unwind(|| check(pattern))
                .expect_err(&format!("{pattern} is malformed"));
        };
        for pattern in ["", "a", "a/{b}/c-d", "a/{b...}", "{b...}/c/d", "x/{a_1}"] {
            check(pattern);
        }
        for pattern in [
            "/",
            "/a",
            "a/",
            "a//b",
            "{}",
            "{...}",
            "a{b}",
            "{b}c",
            "{a",
            "a}",
            "{a...}/{b}",
            "{a b}",
        ] {
            refused(pattern);
        }
    }
}
