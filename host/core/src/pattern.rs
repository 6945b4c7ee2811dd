//! Which of an engine's paths serves a request.
//!
//! The patterns of a description are compiled once, into a tree of segments. What always holds:
//! - At each segment a literal wins over `{name}`, and that over `{path...}`; where the special
//!   one leads nowhere, the more general is tried.
//! - Every pattern is found: two that match the same paths are refused when they are compiled.
//! - A request costs one walk down the tree and allocates only what it captured. A node is
//!   visited at most once, so no path is slow on purpose.
//!
//! A slash at the end of a request path, which every LIST has, is passed over where the pattern
//! ends in a literal or `{name}`: `users` serves `users/`. `{path...}` keeps it. The rest may be
//! empty, but the slash before it must be there: `data/{path...}` serves `data/` and not `data`.

use host_logical::Description;

/// The most segments of a pattern; the walk is as deep. Vault's longest has 9.
const MAX_SEGMENTS: usize = 32;

/// The compiled patterns of one description.
pub(crate) struct Routes {
    root: Node,
    /// For each path of the description, the names that its pattern captures, in order.
    names: Vec<Vec<String>>,
}

/// The path that serves a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Into `Description::paths`.
    pub(crate) index: usize,
    /// What the pattern captured, by name, in its order.
    pub(crate) params: Vec<(String, String)>,
}

/// A piece of a pattern between two slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'p> {
    /// Matches itself.
    Literal(&'p str),
    /// `{name}`: any one segment that is not empty.
    Name(&'p str),
    /// `{name...}`: all that is left, slashes included; nothing, too, unless literals follow.
    Rest(&'p str),
}

/// A pattern that cannot be served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?}: {fault}")]
pub(crate) struct PatternError {
    /// As the engine wrote it.
    pub(crate) pattern: String,
    /// What is wrong with it.
    pub(crate) fault: PatternFault,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternFault {
    /// A slash at either end, or two in a row.
    #[error("it has an empty segment")]
    EmptySegment,
    /// A brace that is not the first or the last of its segment.
    #[error("braces enclose a whole segment or none of it")]
    StrayBrace,
    /// Between the braces.
    #[error("a name is made of letters, digits, `_` and `-`")]
    BadName,
    /// Its two values could not be told apart.
    #[error("it uses a name twice")]
    RepeatedName,
    /// Where the rest ends could not be said.
    #[error("only literals may follow the rest")]
    AfterRest,
    /// Deeper than [`MAX_SEGMENTS`].
    #[error("it has more than {MAX_SEGMENTS} segments")]
    TooLong,
    /// One of them would never be found.
    #[error("another pattern matches the same paths")]
    Duplicate,
}

impl Routes {
    /// Compiles the patterns of `description`.
    pub(crate) fn new(description: &Description) -> Result<Self, PatternError> {
        let mut routes = Self {
            root: Node::default(),
            names: Vec::with_capacity(description.paths.len()),
        };
        for (index, path) in description.paths.iter().enumerate() {
            let segments = segments(&path.pattern)?;
            routes
                .root
                .insert(&segments, index)
                .map_err(|fault| PatternError {
                    pattern: path.pattern.clone(),
                    fault,
                })?;
            routes.names.push(
                segments
                    .iter()
                    .filter_map(Segment::name)
                    .map(str::to_owned)
                    .collect(),
            );
        }
        Ok(routes)
    }

    /// The path that serves `path`, which is relative to the mount.
    pub(crate) fn find(&self, path: &str) -> Option<Found> {
        let mut captured = [""; MAX_SEGMENTS];
        let index = self.root.find(Some(path), &mut captured, 0)?;
        let params = self.names[index]
            .iter()
            .zip(captured)
            .map(|(name, value)| (name.clone(), value.to_owned()))
            .collect();
        Some(Found { index, params })
    }
}

impl<'p> Segment<'p> {
    /// Under which name it captures.
    pub(crate) fn name(&self) -> Option<&'p str> {
        match self {
            Segment::Literal(_) => None,
            Segment::Name(name) | Segment::Rest(name) => Some(name),
        }
    }

    fn parse(text: &'p str) -> Result<Self, PatternFault> {
        if text.is_empty() {
            return Err(PatternFault::EmptySegment);
        }
        let Some(inner) = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
        else {
            return match text.contains(['{', '}']) {
                true => Err(PatternFault::StrayBrace),
                false => Ok(Segment::Literal(text)),
            };
        };
        let segment = match inner.strip_suffix("...") {
            Some(name) => Segment::Rest(name),
            None => Segment::Name(inner),
        };
        let name = segment.name().unwrap_or_default();
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err(PatternFault::BadName);
        }
        Ok(segment)
    }
}

/// Takes a pattern apart. The empty pattern is the mount itself and has no segments.
pub(crate) fn segments(pattern: &str) -> Result<Vec<Segment<'_>>, PatternError> {
    let parse = || {
        let mut segments: Vec<Segment<'_>> = Vec::new();
        for text in pattern.split('/').filter(|_| !pattern.is_empty()) {
            let segment = Segment::parse(text)?;
            let name = segment.name();
            if name.is_some() && segments.iter().any(|earlier| earlier.name() == name) {
                return Err(PatternFault::RepeatedName);
            }
            if name.is_some()
                && segments
                    .iter()
                    .any(|earlier| matches!(earlier, Segment::Rest(_)))
            {
                return Err(PatternFault::AfterRest);
            }
            segments.push(segment);
        }
        match segments.len() {
            0..=MAX_SEGMENTS => Ok(segments),
            _ => Err(PatternFault::TooLong),
        }
    };
    parse().map_err(|fault| PatternError {
        pattern: pattern.to_owned(),
        fault,
    })
}

/// What the patterns that begin alike do next.
#[derive(Default)]
struct Node {
    /// The pattern that ends here.
    end: Option<usize>,
    /// Sorted by text.
    literals: Vec<(Box<str>, Node)>,
    name: Option<Box<Node>>,
    /// The longest tail first.
    rests: Vec<Rest>,
}

/// A pattern whose rest begins at a node.
struct Rest {
    /// The literals after the rest, joined by slashes; mostly none.
    tail: Box<str>,
    index: usize,
}

impl Node {
    fn insert(&mut self, segments: &[Segment<'_>], index: usize) -> Result<(), PatternFault> {
        match segments {
            [] => match self.end.replace(index) {
                None => Ok(()),
                Some(_) => Err(PatternFault::Duplicate),
            },
            [Segment::Literal(text), rest @ ..] => {
                let at = self
                    .literals
                    .binary_search_by(|(literal, _)| (**literal).cmp(text))
                    .unwrap_or_else(|at| {
                        self.literals.insert(at, ((*text).into(), Node::default()));
                        at
                    });
                self.literals[at].1.insert(rest, index)
            }
            [Segment::Name(_), rest @ ..] => self.name.get_or_insert_default().insert(rest, index),
            [Segment::Rest(_), tail @ ..] => {
                let literals: Vec<&str> = tail
                    .iter()
                    .filter_map(|segment| match segment {
                        Segment::Literal(text) => Some(*text),
                        Segment::Name(_) | Segment::Rest(_) => None,
                    })
                    .collect();
                let tail: Box<str> = literals.join("/").into();
                if self.rests.iter().any(|rest| rest.tail == tail) {
                    return Err(PatternFault::Duplicate);
                }
                let at = self
                    .rests
                    .partition_point(|rest| rest.tail.len() >= tail.len());
                self.rests.insert(at, Rest { tail, index });
                Ok(())
            }
        }
    }

    /// `left` is what of the path is not yet matched: nothing, or what follows a slash.
    /// `captured[..count]` is what the names above took.
    fn find<'p>(
        &self,
        left: Option<&'p str>,
        captured: &mut [&'p str; MAX_SEGMENTS],
        count: usize,
    ) -> Option<usize> {
        let Some(left) = left else {
            return self.end;
        };
        if left.is_empty() && self.end.is_some() {
            return self.end;
        }
        let (segment, below) = match left.split_once('/') {
            Some((segment, below)) => (segment, Some(below)),
            None => (left, None),
        };
        if let Ok(at) = self
            .literals
            .binary_search_by(|(literal, _)| (**literal).cmp(segment))
            && let Some(index) = self.literals[at].1.find(below, captured, count)
        {
            return Some(index);
        }
        if let Some(name) = &self.name
            && !segment.is_empty()
        {
            captured[count] = segment;
            if let Some(index) = name.find(below, captured, count + 1) {
                return Some(index);
            }
        }
        self.rests.iter().find_map(|rest| {
            captured[count] = rest.capture(left)?;
            Some(rest.index)
        })
    }
}

impl Rest {
    fn capture<'p>(&self, left: &'p str) -> Option<&'p str> {
        if self.tail.is_empty() {
            return Some(left);
        }
        let left = left.strip_suffix('/').unwrap_or(left);
        let rest = left.strip_suffix(&*self.tail)?.strip_suffix('/')?;
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use host_logical::{EngineKind, PathDescription};

    use super::*;

    fn routes(patterns: &[&str]) -> Result<Routes, PatternError> {
        let path = |pattern: &&str| PathDescription {
            pattern: (*pattern).to_owned(),
            traits: vec![],
            operations: vec![],
            fields: vec![],
            help: String::new(),
            login_name: None,
        };
        Routes::new(&Description {
            name: "test".to_owned(),
            version: "1.0.0".to_owned(),
            kind: EngineKind::Secrets,
            help: String::new(),
            paths: patterns.iter().map(path).collect(),
            storage_version: 1,
        })
    }

    fn show(patterns: &[&str], found: Option<Found>) -> String {
        let Some(found) = found else {
            return "none".to_owned();
        };
        let params: String = found
            .params
            .iter()
            .map(|(name, value)| format!(" {name}={value}"))
            .collect();
        format!("{:?}{params}", patterns[found.index])
    }

    /// Each path is served by the pattern that stands beside it, with what that captured.
    #[track_caller]
    fn check(patterns: &[&str], cases: &[(&str, &str)]) {
        let routes = routes(patterns).unwrap_or_else(|err| panic!("{err}"));
        for (path, expected) in cases {
            assert_eq!(show(patterns, routes.find(path)), *expected, "{path:?}");
        }
    }

    #[test]
    fn the_most_special_pattern_serves_a_path() {
        check(
            &[
                "roles/{name}",
                "roles/default",
                "roles/{name}/creds",
                "{path...}",
            ],
            &[
                ("roles/app", r#""roles/{name}" name=app"#),
                ("roles/default", r#""roles/default""#),
                ("roles/app/creds", r#""roles/{name}/creds" name=app"#),
                ("roles/app/other", r#""{path...}" path=roles/app/other"#),
                ("roles", r#""{path...}" path=roles"#),
                ("", r#""{path...}" path="#),
            ],
        );
    }

    #[test]
    fn a_special_pattern_that_fails_deeper_gives_way() {
        check(
            &["a/b/c", "a/{x}/d", "{y}/b/e", "a/{rest...}"],
            &[
                ("a/b/c", r#""a/b/c""#),
                ("a/b/d", r#""a/{x}/d" x=b"#),
                ("a/b/e", r#""a/{rest...}" rest=b/e"#),
                ("z/b/e", r#""{y}/b/e" y=z"#),
                ("z/b/c", "none"),
            ],
        );
    }

    #[test]
    fn a_list_finds_its_pattern_with_or_without_the_slash() {
        check(
            &[
                "users",
                "users/{name}",
                "notes/{name...}",
                "keys",
                "keys/{rest...}",
            ],
            &[
                ("users", r#""users""#),
                ("users/", r#""users""#),
                ("users/alice/", r#""users/{name}" name=alice"#),
                ("notes/", r#""notes/{name...}" name="#),
                ("notes/a/b/", r#""notes/{name...}" name=a/b/"#),
                ("notes", "none"),
                ("keys/", r#""keys""#),
                ("keys/a", r#""keys/{rest...}" rest=a"#),
            ],
        );
    }

    #[test]
    fn the_mount_itself_is_a_path() {
        check(
            &["", "{name}"],
            &[("", r#""""#), ("a", r#""{name}" name=a"#), ("a/b", "none")],
        );
    }

    #[test]
    fn a_literal_after_the_rest_wins_over_the_plain_rest() {
        check(
            &[
                "mounts",
                "mounts/{path...}",
                "mounts/{path...}/tune",
                "mounts/{path...}/x/tune",
            ],
            &[
                ("mounts/team/pki", r#""mounts/{path...}" path=team/pki"#),
                (
                    "mounts/team/pki/tune",
                    r#""mounts/{path...}/tune" path=team/pki"#,
                ),
                (
                    "mounts/team/pki/tune/",
                    r#""mounts/{path...}/tune" path=team/pki"#,
                ),
                (
                    "mounts/team/x/tune",
                    r#""mounts/{path...}/x/tune" path=team"#,
                ),
                ("mounts/x/tune", r#""mounts/{path...}/tune" path=x"#),
                ("mounts/tune", r#""mounts/{path...}" path=tune"#),
                ("mounts/fortune", r#""mounts/{path...}" path=fortune"#),
            ],
        );
    }

    #[test]
    fn an_empty_segment_is_taken_by_the_rest_only() {
        check(
            &["ocsp/{request}", "ocsp/{request...}"],
            &[
                ("ocsp/a//b", r#""ocsp/{request...}" request=a//b"#),
                ("ocsp//a", r#""ocsp/{request...}" request=/a"#),
            ],
        );
    }

    #[test]
    fn a_pattern_that_cannot_be_served_is_refused() {
        let deep = "a/".repeat(MAX_SEGMENTS) + "a";
        for (patterns, fault) in [
            (&["a//b"][..], PatternFault::EmptySegment),
            (&["/a"], PatternFault::EmptySegment),
            (&["a/"], PatternFault::EmptySegment),
            (&["a{b}"], PatternFault::StrayBrace),
            (&["{a}b"], PatternFault::StrayBrace),
            (&["{"], PatternFault::StrayBrace),
            (&["{}"], PatternFault::BadName),
            (&["{...}"], PatternFault::BadName),
            (&["{a b}"], PatternFault::BadName),
            (&["{a}/{a...}"], PatternFault::RepeatedName),
            (&["{a...}/{b}"], PatternFault::AfterRest),
            (&["{a...}/{b...}"], PatternFault::AfterRest),
            (&[deep.as_str()], PatternFault::TooLong),
            (&["a/{b}", "a/{c}"], PatternFault::Duplicate),
            (&["a/{b...}", "a/{c...}"], PatternFault::Duplicate),
            (&["{b...}/x", "{c...}/x"], PatternFault::Duplicate),
        ] {
            let last = patterns[patterns.len() - 1].to_owned();
            assert_eq!(
                routes(patterns).err(),
                Some(PatternError {
                    pattern: last,
                    fault
                }),
                "{patterns:?}"
            );
        }
    }

    /// Tries every pattern by itself and takes the most special, by the rules as they are told.
    fn find_slowly(patterns: &[String], path: &str) -> Option<Found> {
        let matches = patterns.iter().enumerate().filter_map(|(index, pattern)| {
            let segments = segments(pattern).ok()?;
            let (rank, params) = match_slowly(&segments, Some(path))?;
            Some((rank, Found { index, params }))
        });
        matches
            .min_by(|(a, _), (b, _)| a.cmp(b))
            .map(|(_, found)| found)
    }

    /// How general each segment is, and what was captured. An end is before all that goes on.
    type Slow = (Vec<usize>, Vec<(String, String)>);

    fn match_slowly(segments: &[Segment<'_>], left: Option<&str>) -> Option<Slow> {
        let Some((first, others)) = segments.split_first() else {
            return left.unwrap_or_default().is_empty().then(Slow::default);
        };
        let left = left?;
        let (segment, below) = left
            .split_once('/')
            .map_or((left, None), |(s, below)| (s, Some(below)));
        let (rank, param, (ranks, params)) = match first {
            Segment::Literal(text) => (
                0,
                None,
                (*text == segment).then(|| match_slowly(others, below))??,
            ),
            Segment::Name(name) => {
                let matched = (!segment.is_empty()).then(|| match_slowly(others, below))??;
                (1, Some((*name, segment)), matched)
            }
            Segment::Rest(name) => {
                let tail: String = others
                    .iter()
                    .map(|s| {
                        if let Segment::Literal(text) = s {
                            format!("/{text}")
                        } else {
                            String::new()
                        }
                    })
                    .collect();
                let rest = match tail.as_str() {
                    "" => left,
                    tail => left
                        .strip_suffix('/')
                        .unwrap_or(left)
                        .strip_suffix(tail)
                        .filter(|rest| !rest.is_empty())?,
                };
                (100 - others.len(), Some((*name, rest)), Slow::default())
            }
        };
        let params = param
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .into_iter()
            .chain(params)
            .collect();
        Some((std::iter::once(rank).chain(ranks).collect(), params))
    }

    #[test]
    fn the_tree_finds_what_trying_every_pattern_finds() {
        // Few words, so that patterns overlap; a fixed generator, so that a failure repeats.
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |limit: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % limit
        };
        let mut served = 0;
        for _ in 0..2_000 {
            let mut patterns: Vec<String> = Vec::new();
            for _ in 0..=below(12) {
                let length = below(5);
                let pattern: Vec<String> = (0..length)
                    .map(|i| match below(7) {
                        0..4 => ["a", "b", "c", "d"][below(4) as usize].to_owned(),
                        4..6 => format!("{{n{i}}}"),
                        _ => format!("{{r{i}...}}"),
                    })
                    .collect();
                patterns.push(pattern.join("/"));
                let known: Vec<&str> = patterns.iter().map(String::as_str).collect();
                if routes(&known).is_err() {
                    patterns.pop();
                }
            }
            let known: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let routes = routes(&known).unwrap_or_else(|err| panic!("{err}"));
            for _ in 0..50 {
                let path: Vec<&str> = (0..below(6))
                    .map(|_| ["a", "b", "c", "d", "e", ""][below(6) as usize])
                    .collect();
                let path = path.join("/");
                let found = routes.find(&path);
                served += usize::from(found.is_some());
                assert_eq!(
                    found,
                    find_slowly(&patterns, &path),
                    "{path:?} in {patterns:?}"
                );
            }
        }
        assert!(
            served > 20_000,
            "most paths must be served for this to say something: {served}"
        );
    }
}
