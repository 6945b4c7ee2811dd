//! A second evaluator, slow and plain, written from the contract alone. The fast one must always agree with it.
//!
//! It keeps every rule as text, tries all of them on every request, and sorts what matches.

use std::collections::BTreeMap;

use host_logical::Operation;
use proptest::prelude::*;

use super::{acl, decide};
use crate::policy::{Acl, Asked};

type Rules = BTreeMap<String, Vec<&'static str>>;

/// Patterns with the union of their capabilities.
fn merge(policies: &[Vec<(String, Vec<&'static str>)>]) -> Rules {
    let mut rules = Rules::new();
    for (pattern, capabilities) in policies.iter().flatten() {
        let pattern = pattern.trim_start_matches('/').to_owned();
        rules.entry(pattern).or_default().extend(capabilities);
    }
    rules
}

fn has_plus(pattern: &str) -> bool {
    pattern
        .trim_end_matches('*')
        .split('/')
        .any(|segment| segment == "+")
}

fn is_exact(pattern: &str) -> bool {
    !pattern.ends_with('*') && !has_plus(pattern)
}

fn matches(pattern: &str, path: &str) -> bool {
    match (pattern.strip_suffix('*'), has_plus(pattern)) {
        (None, false) => pattern == path,
        (Some(prefix), false) => path.starts_with(prefix),
        (None, true) => same_segments(pattern, path),
        // Whatever the star stands for may be spelled out: try each length of it.
        (Some(start), true) => path
            .char_indices()
            .map(|(end, _)| end)
            .chain([path.len()])
            .any(|end| ends_like(start, &path[..end]) && same_segments(start, &path[..end])),
    }
}

/// A `+` before the star's segment must not have been cut short.
fn ends_like(start: &str, piece: &str) -> bool {
    start.split('/').count() == piece.split('/').count()
}

fn same_segments(pattern: &str, path: &str) -> bool {
    let wanted: Vec<&str> = pattern.split('/').collect();
    let found: Vec<&str> = path.split('/').collect();
    let last = found.len() - 1;
    wanted.len() == found.len()
        && (0..=last).all(|i| {
            let plus = wanted[i] == "+" && (!found[i].is_empty() || i == last);
            plus || wanted[i] == found[i]
        })
}

/// Larger decides. The contract's criteria a to e.
fn rank(pattern: &str) -> (usize, bool, isize, usize, String) {
    let text = pattern.strip_suffix('*').unwrap_or(pattern);
    let mut first = text.len();
    let mut at = 0;
    for segment in text.split('/') {
        if segment == "+" {
            first = first.min(at);
        }
        at += segment.len() + 1;
    }
    let pluses = text.split('/').filter(|segment| *segment == "+").count();
    (
        first,
        !pattern.ends_with('*'),
        -isize::try_from(pluses).expect("few"),
        text.len(),
        text.to_owned(),
    )
}

fn best<'r>(rules: &'r Rules, path: &str) -> Option<&'r String> {
    let matching = rules.keys().filter(|p| !is_exact(p) && matches(p, path));
    matching.max_by_key(|pattern| rank(pattern))
}

fn deciding<'r>(rules: &'r Rules, path: &str, is_list: bool) -> Option<&'r String> {
    let exact = |path: &str| rules.keys().find(|p| is_exact(p) && p.as_str() == path);
    let short = path.strip_suffix('/').filter(|_| is_list);
    if let Some(pattern) = exact(path).or_else(|| short.and_then(exact)) {
        return Some(pattern);
    }
    let full = best(rules, path);
    let short = short.and_then(|path| best(rules, path));
    match (full, short) {
        (Some(full), Some(short)) => {
            let short_denies = rules[short].contains(&"deny");
            Some(if short_denies && rank(short) > rank(full) {
                short
            } else {
                full
            })
        }
        (full, short) => full.or(short),
    }
}

fn allows(rules: &Rules, operation: &str, path: &str) -> bool {
    deciding(rules, path, operation == "list").is_some_and(|pattern| {
        let capabilities = &rules[pattern];
        capabilities.contains(&operation) && !capabilities.contains(&"deny")
    })
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "+", "+", "a+", ""]);
    let end = prop::sample::select(vec!["", "", "/", "*", "/*", "/a*"]);
    (prop::collection::vec(segment, 1..4), end)
        .prop_map(|(segments, end)| segments.join("/") + end)
        .prop_filter("+* is refused", |pattern| !pattern.contains("+*"))
}

fn policies() -> impl Strategy<Value = Vec<Vec<(String, Vec<&'static str>)>>> {
    let words = prop::sample::subsequence(vec!["read", "list", "update", "deny"], 0..3);
    let rule = (pattern(), words);
    prop::collection::vec(prop::collection::vec(rule, 0..6), 1..4)
}

/// As the server makes them: no leading slash, no empty segment but after the slash of a list.
fn path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "a+", "abc"]);
    prop::collection::vec(segment, 1..5).prop_map(|segments| segments.join("/"))
}

fn build(policies: &[Vec<(String, Vec<&'static str>)>]) -> Acl {
    let text = |rules: &Vec<(String, Vec<&'static str>)>| -> String {
        let line = |(pattern, words): &(String, Vec<&'static str>)| {
            format!("path {pattern:?} {{ capabilities = {words:?} }}\n")
        };
        rules.iter().map(line).collect()
    };
    let texts: Vec<String> = policies.iter().map(text).collect();
    acl(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_decision_is_the_references(policies in policies(), paths in prop::collection::vec(path(), 6)) {
        let acl = build(&policies);
        let rules = merge(&policies);
        for path in paths {
            for (operation, path) in [("read", path.clone()), ("update", path.clone()), ("list", format!("{path}/"))] {
                let request = format!("{operation} {path}");
                let wanted = if allows(&rules, operation, &path) { "allow" } else { "deny" };
                prop_assert_eq!(decide(&acl, &request), format!("{request}: {wanted}"), "{:?}", rules);
            }
        }
    }

    #[test]
    fn reported_capabilities_are_those_that_decide(policies in policies(), path in path()) {
        let acl = build(&policies);
        let told = acl.capabilities(&path).names();
        for (operation, word) in [(Operation::Read, "read"), (Operation::Update, "update")] {
            let asked = Asked { operation, path: &path, data: None, wrap_ttl: None };
            prop_assert_eq!(acl.check(&asked).allowed, told.contains(&word));
        }
        let directory = format!("{path}/");
        let asked = Asked { operation: Operation::List, path: &directory, data: None, wrap_ttl: None };
        prop_assert_eq!(acl.check(&asked).allowed, acl.capabilities(&directory).names().contains(&"list"));
    }

    #[test]
    fn whoever_may_do_something_below_a_mount_may_know_it(policies in policies(), mount in path(), below in path()) {
        let acl = build(&policies);
        let mount = format!("{mount}/");
        let is_granting = acl.capabilities(&format!("{mount}{below}")).is_granting();
        prop_assert!(!is_granting || acl.touches_below(&mount));
    }
}
