//! Patterns: which path of an engine a request goes to.
//!
//! Segments lie between slashes and are literal, `{name}` (one segment, not empty), or last
//! `{name...}` (what is left, slashes included, or nothing). `data/{path...}` matches `data/` and
//! not `data`. Of all patterns that match, the one wins that has a literal where, read from the
//! left, they first differ; `{name}` wins over `{name...}`.

use std::cmp::Ordering;

/// Refuses a malformed pattern while the engine is compiled.
pub(crate) const fn check(pattern: &str) {
    let bytes = pattern.as_bytes();
    assert!(
        bytes.is_empty() || bytes[0] != b'/',
        "a pattern does not start with a slash"
    );
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' => {
                assert!(
                    at == 0 || bytes[at - 1] == b'/',
                    "a `{{name}}` is a whole segment"
                );
                let start = at + 1;
                while at < bytes.len() && bytes[at] != b'}' {
                    assert!(bytes[at] != b'/', "a `{{name}}` is closed in its segment");
                    at += 1;
                }
                assert!(at < bytes.len(), "a `{{name}}` is closed");
                let rest = at >= start + 3
                    && bytes[at - 1] == b'.'
                    && bytes[at - 2] == b'.'
                    && bytes[at - 3] == b'.';
                let end = if rest { at - 3 } else { at };
                assert!(end > start, "a `{{name}}` has a name");
                assert!(
                    at + 1 == bytes.len() || (bytes[at + 1] == b'/' && !rest),
                    "a `{{name}}` is a whole segment, a `{{name...}}` the last"
                );
            }
            b'}' => panic!("a `}}` closes a `{{name}}`"),
            b'/' => assert!(
                at + 1 == bytes.len() || bytes[at + 1] != b'/',
                "a pattern has no empty segment but a last one"
            ),
            _ => {}
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
    let mut rest = Some(path);
    for segment in pattern.split('/') {
        let Some(left) = rest else { return false };
        let (head, tail) = match left.split_once('/') {
            Some((head, tail)) => (head, Some(tail)),
            None => (left, None),
        };
        match Segment::parse(segment) {
            Segment::Rest(name) => {
                capture(name, left);
                return true;
            }
            Segment::Literal(literal) if literal == head => {}
            Segment::Name(name) if !head.is_empty() => capture(name, head),
            Segment::Literal(_) | Segment::Name(_) => return false,
        }
        rest = tail;
    }
    rest.is_none()
}

/// `Less` if `a` wins over `b`, where both match the same path.
pub(crate) fn precedence(a: &str, b: &str) -> Ordering {
    let ranks = |pattern| str::split(pattern, '/').map(|segment| Segment::parse(segment).rank());
    ranks(a).cmp(ranks(b))
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

    /// Which of `patterns` wins for `path`, and what it captures.
    fn check_path(path: &str, wanted: &str) {
        let patterns = [
            "config",
            "roles",
            "roles/",
            "roles/{name}",
            "roles/{name}/rotate",
            "roles/default/{what}",
            "data/{path...}",
            "data/fixed/{path...}",
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
        check_path("roles/", "roles/");
        check_path("roles/a", "roles/{name} name=a");
        check_path("roles/a/rotate", "roles/{name}/rotate name=a");
        check_path("roles/default/rotate", "roles/default/{what} what=rotate");
        check_path("roles/a/b", "{path...} path=roles/a/b");
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
}
