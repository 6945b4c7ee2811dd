//! Path patterns: what a rule's path matches, and which of two matching ones decides.
//!
//! A pattern is a plain path, or a prefix (`secret/*`), or has `+` for whole segments (`secret/+/config`, `+/data/*`).
//! A `*` elsewhere than at the end and a `+` inside a segment are literal.

use std::cmp::Reverse;
use std::fmt;

/// What the templates in a path stand for: the identity of whoever asks.
pub(crate) trait TemplateValues {
    /// The value of a selector such as `identity.entity.id`, if there is one.
    fn value(&self, selector: &str) -> Option<String>;
}

/// A rule's path as written, with its `{{…}}` told apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PathTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Selector(String),
}

/// The braces of a template do not pair up.
#[derive(Debug)]
pub(super) struct Unbalanced;

impl PathTemplate {
    pub(super) fn parse(raw: &str) -> Result<Self, Unbalanced> {
        let mut pieces = raw.split("{{");
        let before = pieces.next().unwrap_or_default();
        if before.contains("}}") {
            return Err(Unbalanced);
        }
        let mut parts = vec![Part::Text(before.to_owned())];
        for piece in pieces {
            let (selector, text) = piece.split_once("}}").ok_or(Unbalanced)?;
            if text.contains("}}") {
                return Err(Unbalanced);
            }
            parts.push(Part::Selector(selector.trim().to_owned()));
            parts.push(Part::Text(text.to_owned()));
        }
        Ok(Self(parts))
    }

    pub(super) fn is_templated(&self) -> bool {
        self.0.len() > 1
    }

    /// The path with its values filled in; `None` drops the rule.
    ///
    /// People can choose what they or their logins are called. A value that could hold `*`, `+` or `/` would let a
    /// name such as `+` read everybody's secrets (GHSA-59w7), so a value with anything beyond `[A-Za-z0-9_.@-]`
    /// counts as none, and so does an empty one, which would turn `a/{{…}}/*` into something that nobody wrote.
    pub(super) fn fill(&self, values: Option<&dyn TemplateValues>) -> Option<String> {
        let mut path = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Selector(selector) => {
                    let value = values?.value(selector)?;
                    let is_plain =
                        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'@' | b'-');
                    if value.is_empty() || !value.bytes().all(is_plain) {
                        return None;
                    }
                    path.push_str(&value);
                }
            }
        }
        Some(path)
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Selector(selector) => write!(f, "{{{{{selector}}}}}"),
        })
    }
}

/// What a filled-in path matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pattern {
    /// This path only.
    Exact(String),
    /// Every path that starts so.
    Prefix(String),
    /// `+` stands for segments.
    Wildcard(Wildcard),
}

impl Pattern {
    pub(super) fn new(path: &str) -> Self {
        let path = path.trim_start_matches('/');
        let (text, is_open) = match path.strip_suffix('*') {
            Some(text) => (text, true),
            None => (path, false),
        };
        if text.split('/').any(|segment| segment == "+") {
            Self::Wildcard(Wildcard::new(text, is_open))
        } else if is_open {
            Self::Prefix(text.to_owned())
        } else {
            Self::Exact(text.to_owned())
        }
    }
}

/// A pattern with `+` segments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wildcard {
    /// Without the `*` at its end.
    text: String,
    /// Whether it ended in `*`: its last segment is a prefix, and more segments may follow.
    is_open: bool,
    /// Where the first `+` stands.
    first_plus: usize,
    plus_count: usize,
}

impl Wildcard {
    fn new(text: &str, is_open: bool) -> Self {
        let is_plus = |segment: &&str| *segment == "+";
        let before = text.split('/').take_while(|segment| !is_plus(segment));
        Self {
            text: text.to_owned(),
            is_open,
            first_plus: before.map(|segment| segment.len() + 1).sum(),
            plus_count: text.split('/').filter(is_plus).count(),
        }
    }

    /// Whether some path below `mount`, which ends in `/`, may match.
    pub(super) fn reaches_below(&self, mount: &str) -> bool {
        let mut mount = Some(mount.strip_suffix('/').unwrap_or(mount));
        let mut pattern = self.text.split('/').peekable();
        while let Some(rest) = mount {
            let Some(wanted) = pattern.next() else {
                return false;
            };
            let (segment, after) = next_segment(rest);
            if self.is_open && pattern.peek().is_none() {
                return rest.starts_with(wanted);
            }
            if wanted != "+" && wanted != segment {
                return false;
            }
            mount = after;
        }
        pattern.peek().is_some()
    }

    pub(super) fn rank(&self) -> Rank<'_> {
        Rank {
            first_wildcard: self.first_plus,
            is_closed: !self.is_open,
            plus_count: Reverse(self.plus_count),
            length: self.text.len(),
            text: &self.text,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// As written, without the `*` at its end.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// The first segment, and what is after its slash, if there is one.
pub(super) fn next_segment(path: &str) -> (&str, Option<&str>) {
    match path.split_once('/') {
        Some((segment, after)) => (segment, Some(after)),
        None => (path, None),
    }
}

/// Of two patterns that match a path the one that ranks higher decides. The order of the fields is the order of the
/// criteria: the first wildcard stands later, it does not end in `*`, it has fewer `+`, it is longer, it is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank<'p> {
    first_wildcard: usize,
    is_closed: bool,
    plus_count: Reverse<usize>,
    length: usize,
    text: &'p str,
}

impl<'p> Rank<'p> {
    pub(super) fn of_prefix(prefix: &'p str) -> Self {
        Self {
            first_wildcard: prefix.len(),
            is_closed: false,
            plus_count: Reverse(0),
            length: prefix.len(),
            text: prefix,
        }
    }
}
