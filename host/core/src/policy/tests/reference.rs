//! A second evaluator, slow and plain, written from the contract alone. The fast one must always agree with it.
//!
//! It keeps every rule as text, tries all of them on every request, and sorts what matches.

use std::collections::BTreeMap;
use std::time::Duration;

use host_logical::Operation;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Map, Value, json};

use super::acl;
use crate::policy::{Acl, Asked};

/// What a rule says, or several of the same pattern.
#[derive(Clone, Debug, Default)]
struct Says {
    capabilities: Vec<&'static str>,
    allowed: BTreeMap<String, Vec<Value>>,
    denied: BTreeMap<String, Vec<Value>>,
    required: Vec<String>,
    /// Seconds.
    min_wrapping: Option<u64>,
    max_wrapping: Option<u64>,
}

/// A policy: patterns as written, in their order.
type Text = Vec<(String, Says)>;
type Rules = BTreeMap<String, Says>;

// ---- What several policies say together -------------------------------------------------------------------------

fn merge(policies: &[Text]) -> Rules {
    let mut rules = Rules::new();
    for (pattern, says) in policies.iter().flatten() {
        let pattern = pattern.trim_start_matches('/').to_owned();
        let merged = rules.entry(pattern).or_default();
        merged.capabilities.extend(&says.capabilities);
        for (into, from) in [
            (&mut merged.allowed, &says.allowed),
            (&mut merged.denied, &says.denied),
        ] {
            for (name, values) in from {
                // No values are any value, and that swallows all others.
                match into.get_mut(name) {
                    Some(known) if known.is_empty() => {}
                    Some(known) if values.is_empty() => known.clear(),
                    Some(known) => known.extend(values.iter().cloned()),
                    None => drop(into.insert(name.clone(), values.clone())),
                }
            }
        }
        merged.required.extend(says.required.iter().cloned());
        for (into, from) in [
            (&mut merged.min_wrapping, says.min_wrapping),
            (&mut merged.max_wrapping, says.max_wrapping),
        ] {
            *into = [*into, from].into_iter().flatten().min();
        }
    }
    rules
}

// ---- Which rule decides -----------------------------------------------------------------------------------------

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
            let short_denies = rules[short].denies();
            Some(if short_denies && rank(short) > rank(full) {
                short
            } else {
                full
            })
        }
        (full, short) => full.or(short),
    }
}

// ---- What it decides --------------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
struct Request {
    operation: Operation,
    path: String,
    data: Option<Map<String, Value>>,
    /// Seconds.
    wrap: Option<u64>,
}

/// Whether it is allowed, and whether it may go where sudo is needed.
fn decide(rules: &Rules, request: &Request) -> (bool, bool) {
    let is_list = request.operation == Operation::List;
    let path = match request.path.strip_suffix('/') {
        None if is_list => request.path.clone() + "/",
        _ => request.path.clone(),
    };
    let Some(says) = deciding(rules, &path, is_list).map(|pattern| &rules[pattern]) else {
        return (false, false);
    };
    if says.denies() {
        return (false, false);
    }
    let allowed = says.capabilities.contains(&capability(request.operation))
        && says.wrapping_is_within(request.wrap)
        && (matches!(request.operation, Operation::List | Operation::Delete)
            || says.parameters_are_within(&request.data.clone().unwrap_or_default()));
    (allowed, says.capabilities.contains(&"sudo"))
}

fn capability(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Read | Operation::Head => "read",
        Operation::Update => "update",
        Operation::Patch => "patch",
        Operation::Delete => "delete",
        Operation::List => "list",
    }
}

impl Says {
    fn denies(&self) -> bool {
        self.capabilities.contains(&"deny")
    }

    fn wrapping_is_within(&self, wrap: Option<u64>) -> bool {
        let long_enough = match self.min_wrapping {
            Some(min) => wrap.is_some_and(|ttl| ttl >= min),
            None => true,
        };
        let short_enough = match self.max_wrapping {
            Some(max) => wrap.is_some_and(|ttl| ttl <= max),
            None => true,
        };
        long_enough && short_enough
    }

    fn parameters_are_within(&self, data: &Map<String, Value>) -> bool {
        if self
            .required
            .iter()
            .any(|name| !data.contains_key(&name.to_lowercase()))
        {
            return false;
        }
        if data.is_empty() {
            return true;
        }
        if self.denied.keys().any(|name| name == "*") {
            return false;
        }
        for (name, value) in data {
            let is_denied = find(&self.denied, name).is_some_and(|values| is_among(value, values));
            let is_allowed = match find(&self.allowed, name) {
                Some(values) => is_among(value, values),
                None => self.allowed.is_empty() || self.allowed.contains_key("*"),
            };
            if is_denied || !is_allowed {
                return false;
            }
        }
        true
    }
}

/// Names differ in more than case.
fn find<'v>(parameters: &'v BTreeMap<String, Vec<Value>>, name: &str) -> Option<&'v Vec<Value>> {
    parameters.get(&name.to_lowercase())
}

fn is_among(value: &Value, values: &[Value]) -> bool {
    values.is_empty()
        || values.iter().any(|wanted| match (wanted, value) {
            (Value::String(glob), Value::String(text)) => is_glob(glob, text),
            _ => wanted == value,
        })
}

/// Some piece of the text is what stands between the stars, and what is left out of it there is a star for.
fn is_glob(glob: &str, text: &str) -> bool {
    let (open_start, glob) = match glob.strip_prefix('*') {
        Some(glob) => (true, glob),
        None => (false, glob),
    };
    let (open_end, glob) = match glob.strip_suffix('*') {
        Some(glob) => (true, glob),
        None => (false, glob),
    };
    (0..=text.len()).any(|start| {
        (start..=text.len()).any(|end| {
            text[start..end] == *glob
                && (open_start || start == 0)
                && (open_end || end == text.len())
        })
    })
}

// ---- Random policies and requests -------------------------------------------------------------------------------

fn pattern() -> impl Strategy<Value = String> {
    let start = prop::sample::select(vec!["", "", "", "/"]);
    let segment = prop::sample::select(vec!["a", "b", "ab", "+", "+", "a+", "a*b", ""]);
    let end = prop::sample::select(vec!["", "", "/", "*", "/*", "/a*"]);
    (start, prop::collection::vec(segment, 1..4), end)
        .prop_map(|(start, segments, end)| start.to_owned() + &segments.join("/") + end)
        .prop_filter("+* is refused", |pattern| !pattern.contains("+*"))
}

const WORDS: [&str; 8] = [
    "create", "read", "update", "patch", "delete", "list", "sudo", "deny",
];

fn capabilities() -> impl Strategy<Value = Vec<&'static str>> {
    // A deny is not in every second rule, or nothing else would be seen.
    let words = prop::sample::subsequence(WORDS[..7].to_vec(), 0..7);
    (words, prop::bool::weighted(0.1)).prop_map(|(mut words, denies)| {
        words.extend(denies.then_some("deny"));
        words
    })
}

fn value() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!("x"),
        json!("xyx"),
        json!(""),
        json!("x*"),
        json!("*x"),
        json!("*y*"),
        json!("*"),
        json!("a*b"),
        json!(1),
        json!(1.5),
        json!(true),
        json!(["x"]),
    ])
}

fn parameters() -> impl Strategy<Value = BTreeMap<String, Vec<Value>>> {
    let name = prop::sample::select(vec!["p", "q", "r", "*"]).prop_map(str::to_owned);
    prop::collection::btree_map(name, prop::collection::vec(value(), 0..3), 0..3)
}

fn says() -> impl Strategy<Value = Says> {
    let seldom = |most| prop::option::weighted(0.15, 1..most);
    let required = prop::collection::vec(prop::sample::select(vec!["p", "q", "Q"]), 0..2);
    let plain = capabilities().prop_map(|capabilities| Says {
        capabilities,
        ..Says::default()
    });
    let restricted = (
        capabilities(),
        parameters(),
        parameters(),
        required,
        seldom(6_u64),
        seldom(6_u64),
    );
    let restricted = restricted.prop_map(|(capabilities, allowed, denied, required, min, max)| {
        Says {
            capabilities,
            allowed,
            denied,
            required: required.into_iter().map(str::to_owned).collect(),
            min_wrapping: min,
            // In one rule the largest is not under the smallest: that is refused when it is written.
            max_wrapping: max.map(|max| max.max(min.unwrap_or(0))),
        }
    });
    prop_oneof![1 => plain, 1 => restricted]
}

fn policies() -> impl Strategy<Value = Vec<Text>> {
    prop::collection::vec(prop::collection::vec((pattern(), says()), 0..6), 1..4)
}

/// As the server makes them: no leading slash, no empty segment but after the slash of a list.
fn path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "a+", "abc", "a*b"]);
    prop::collection::vec(segment, 1..5).prop_map(|segments| segments.join("/"))
}

fn request() -> impl Strategy<Value = Request> {
    let operation = prop::sample::select(vec![
        Operation::Create,
        Operation::Read,
        Operation::Head,
        Operation::Update,
        Operation::Patch,
        Operation::Delete,
        Operation::List,
        Operation::List,
    ]);
    let name = prop::sample::select(vec!["p", "P", "q", "Q", "r", "s"]).prop_map(str::to_owned);
    let data = prop::collection::btree_map(name, value(), 0..3)
        .prop_map(|data| data.into_iter().collect::<Map<_, _>>());
    let wrap = prop::option::weighted(0.4, 1..6_u64);
    (
        operation,
        path(),
        any::<bool>(),
        prop::option::of(data),
        wrap,
    )
        .prop_map(|(operation, path, slash, data, wrap)| Request {
            operation,
            path: match operation {
                Operation::List if slash => path + "/",
                _ => path,
            },
            data,
            wrap,
        })
}

/// The policies as people write them.
fn build(policies: &[Text]) -> Acl {
    let block = |(pattern, says): &(String, Says)| {
        let mut block = format!("path {} {{\n", json!(pattern));
        let mut line = |name: &str, value: Value, is_said: bool| {
            if is_said {
                block.push_str(&format!("  {name} = {value}\n"));
            }
        };
        line("capabilities", json!(says.capabilities), true);
        line(
            "allowed_parameters",
            json!(says.allowed),
            !says.allowed.is_empty(),
        );
        line(
            "denied_parameters",
            json!(says.denied),
            !says.denied.is_empty(),
        );
        line(
            "required_parameters",
            json!(says.required),
            !says.required.is_empty(),
        );
        line(
            "min_wrapping_ttl",
            json!(says.min_wrapping),
            says.min_wrapping.is_some(),
        );
        line(
            "max_wrapping_ttl",
            json!(says.max_wrapping),
            says.max_wrapping.is_some(),
        );
        block + "}\n"
    };
    let texts: Vec<String> = policies
        .iter()
        .map(|text| text.iter().map(block).collect())
        .collect();
    acl(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

fn check(acl: &Acl, request: &Request) -> (bool, bool) {
    let decision = acl.check(&Asked {
        operation: request.operation,
        path: &request.path,
        data: request.data.as_ref(),
        wrap_ttl: request.wrap.map(Duration::from_secs),
    });
    (decision.allowed, decision.sudo)
}

fn config(in_ci: u32) -> ProptestConfig {
    ProptestConfig {
        cases: crate::tests::cases(in_ci),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// How often a random request was allowed and how often refused: of neither too few, or the test says little.
#[test]
fn random_requests_are_allowed_about_as_often_as_refused() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut allowed = 0;
    for _ in 0..2_000 {
        let mut draw = || {
            let tree = (policies(), request()).new_tree(&mut runner);
            tree.map(|tree| tree.current())
                .expect("nothing is filtered away")
        };
        let (policies, request) = draw();
        allowed += usize::from(decide(&merge(&policies), &request).0);
    }
    assert!((200..1_800).contains(&allowed), "{allowed} of 2000");
}

proptest! {
    #![proptest_config(config(100_000))]

    #[test]
    fn every_decision_is_the_references(policies in policies(), requests in prop::collection::vec(request(), 4)) {
        let acl = build(&policies);
        let rules = merge(&policies);
        for request in requests {
            prop_assert_eq!(check(&acl, &request), decide(&rules, &request), "{:?} under {:?}", request, rules);
            prop_assert_eq!(check(&Acl::root(), &request), (true, true));
        }
    }
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn reported_capabilities_are_those_of_the_rule_that_decides(policies in policies(), path in path(), slash in any::<bool>()) {
        let acl = build(&policies);
        let rules = merge(&policies);
        let path = if slash { path + "/" } else { path };
        let mut wanted = match deciding(&rules, &path, slash) {
            Some(pattern) => rules[pattern].capabilities.clone(),
            None => vec![],
        };
        if wanted.is_empty() || wanted.contains(&"deny") {
            wanted = vec!["deny"];
        }
        wanted.sort_unstable();
        wanted.dedup();
        prop_assert_eq!(acl.capabilities(&path).names(), wanted, "{:?} under {:?}", path, rules);
    }

    #[test]
    fn whoever_may_do_something_below_a_mount_may_know_it(policies in policies(), mount in path(), below in path()) {
        let acl = build(&policies);
        let mount = format!("{mount}/");
        let is_granting = acl.capabilities(&format!("{mount}{below}")).is_granting();
        prop_assert!(!is_granting || acl.touches_below(&mount));
    }
}
