//! Any text is a policy or is refused, and a policy grants what is written in it and nothing else.

use host_logical::Operation;
use serde_json::{Map, Value, json};
use tests_fuzz::{Source, Verdict, fuzz};

use super::limits::{MAX_DEPTH, MAX_POLICY_BYTES};
use super::rule::{Parameters, Rule};
use super::{Acl, Asked, DEFAULT_POLICY_TEXT, Policy, PolicyError, PolicyName};

const WORDS: &str = "\
    path name capabilities policy allowed_parameters denied_parameters required_parameters \
    min_wrapping_ttl max_wrapping_ttl control_group expiration comment \"read\" \"deny\" \
    \"sudo\" \"list\" \"create\" \"write\" \"secret/*\" \"+/data/+\" \"\" \
    {{identity.entity.id}} { } [ ] = , : \" \\\" * + / # // /* */ <<EOT\n <<-E\n EOT\n ${ %{ \
    $${ {{ }} null true -1 1e9 010 5m \"5m\" \\u0041 \r\n";

#[test]
fn a_policy_grants_what_is_written_in_it_and_nothing_else() {
    let source = Source {
        target: "policy",
        seeds: vec![DEFAULT_POLICY_TEXT.into()],
        words: WORDS,
    };
    fuzz(source, |input| {
        std::str::from_utf8(input).map_or(Verdict::Refused, check)
    });
}

fn check(text: &str) -> Verdict {
    let name = PolicyName::parse("fuzz").expect("a name");
    match Policy::parse(&name, text) {
        Ok(policy) => {
            check_written_as_json(&policy);
            check_grants(&policy);
            Verdict::Accepted
        }
        Err(error) => {
            check_error(text, &error);
            Verdict::Refused
        }
    }
}

/// An error can be shown, and names a place that is there.
fn check_error(text: &str, error: &PolicyError) {
    assert!(!error.to_string().is_empty());
    if let PolicyError::Syntax { line, column, .. } = error {
        assert!(
            (1..=text.matches('\n').count() + 1).contains(line),
            "{error}"
        );
        assert!(*column >= 1, "{error}");
    }
}

/// The same rules in the other language are the same rules: no key is lost or made up between the text and its meaning.
fn check_written_as_json(policy: &Policy) {
    let rules: Vec<Value> = policy.rules.iter().map(written).collect();
    let text = json!({ "path": rules }).to_string();
    // Braces that touch a template's cannot be told from them once they are printed.
    let touches = |rule: &Rule| rule.path.to_string().contains("}}}");
    if text.len() > MAX_POLICY_BYTES || depth(&text) > MAX_DEPTH || policy.rules.iter().any(touches)
    {
        return;
    }
    let again =
        Policy::parse(&policy.name, &text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let told = |policy: &Policy| -> Vec<_> {
        let told = |rule: &Rule| {
            (
                rule.path.to_string(),
                rule.permissions.clone(),
                rule.unenforceable.clone(),
            )
        };
        policy.rules.iter().map(told).collect()
    };
    assert_eq!(told(policy), told(&again), "{text}");
}

fn written(rule: &Rule) -> Value {
    let permissions = &rule.permissions;
    let parameters = |parameters: &Parameters| -> Map<String, Value> {
        let entry =
            |(name, values): (&String, &Vec<Value>)| (name.clone(), Value::Array(values.clone()));
        parameters.iter().map(entry).collect()
    };
    let words = permissions.capabilities.names();
    let mut body = json!({
        // What grants nothing has the name of a denial, and need not be one.
        "capabilities": if words == ["deny"] && !permissions.denies() { vec![] } else { words },
        "allowed_parameters": parameters(&permissions.allowed_parameters),
        "denied_parameters": parameters(&permissions.denied_parameters),
        "required_parameters": permissions.required_parameters,
        "min_wrapping_ttl": permissions.min_wrapping_ttl.map(|ttl| ttl.to_string()).unwrap_or_default(),
        "max_wrapping_ttl": permissions.max_wrapping_ttl.map(|ttl| ttl.to_string()).unwrap_or_default(),
    });
    for key in &rule.unenforceable {
        body[key] = Value::Bool(true);
    }
    json!({ rule.path.to_string(): body })
}

fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for c in json.chars() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// What is allowed is granted by a rule whose pattern has the path, and nothing is allowed where a plain path says no.
fn check_grants(policy: &Policy) {
    let acl = Acl::new([policy], None);
    let rules: Vec<(String, &Rule)> = policy
        .rules
        .iter()
        .filter_map(|rule| Some((rule.path.fill(None)?, rule)))
        .collect();
    let near = rules.iter().take(4).flat_map(|(pattern, _)| {
        let inside = pattern.trim_start_matches('/').replace('+', "x");
        [inside.replace('*', ""), inside.replace('*', "y/z"), inside]
    });
    for path in near.chain([
        "sys/seal".to_owned(),
        "secret/data/app".to_owned(),
        String::new(),
    ]) {
        for (operation, word) in [
            (Operation::Read, "read"),
            (Operation::Update, "update"),
            (Operation::List, "list"),
        ] {
            let decision = acl.check(&Asked {
                operation,
                path: &path,
                data: None,
                wrap_ttl: None,
            });
            let says =
                |rule: &Rule, word: &str| rule.permissions.capabilities.names().contains(&word);
            let is_granted = rules
                .iter()
                .any(|(pattern, rule)| says(rule, word) && reaches(pattern, &path, operation));
            assert!(!decision.allowed || is_granted, "{operation:?} {path:?}");
            let is_denied = rules.iter().any(|(pattern, rule)| {
                let is_plain = !pattern.contains(['+', '*']);
                is_plain && rule.permissions.denies() && pattern.trim_start_matches('/') == path
            });
            assert!(
                !decision.allowed || !is_denied || operation == Operation::List,
                "{operation:?} {path:?}"
            );
        }
    }
}

fn reaches(pattern: &str, path: &str, operation: Operation) -> bool {
    let pattern = pattern.trim_start_matches('/');
    let (text, is_open) = pattern
        .strip_suffix('*')
        .map_or((pattern, false), |text| (text, true));
    let matches = |path: &str| {
        let (wanted, found): (Vec<_>, Vec<_>) =
            (text.split('/').collect(), path.split('/').collect());
        let last = wanted.len() - 1;
        let is_long_enough = if is_open {
            found.len() >= wanted.len()
        } else {
            found.len() == wanted.len()
        };
        is_long_enough
            && wanted
                .iter()
                .zip(&found)
                .enumerate()
                .all(|(at, (wanted, found))| {
                    *wanted == "+"
                        || wanted == found
                        || (is_open && at == last && found.starts_with(wanted))
                })
    };
    // The slash at the end of a list's path counts for nothing.
    let bare = path.strip_suffix('/').unwrap_or(path);
    matches(path)
        || (operation == Operation::List && (matches(bare) || matches(&format!("{bare}/"))))
}

// ---- What was found ----------------------------------------------------------------------------

fn parse(text: &str) -> Result<Policy, PolicyError> {
    Policy::parse(&PolicyName::parse("fuzz").expect("a name"), text)
}

/// serde_json counts no column on a last line without characters, and people count from one.
#[test]
fn an_error_behind_the_last_line_end_has_a_column() {
    let error = parse("{\n").expect_err("no end");
    assert_eq!(error.to_string(), "At 2:1: EOF while parsing an object");
}

/// A block may stand twice, and its author was warned twice, or five thousand times.
#[test]
fn a_restriction_that_stands_twice_is_warned_of_once() {
    let text = "path \"a\" {\n mfa_methods { a = 1 }\n mfa_methods { a = 1 }\n}\n";
    assert_eq!(parse(text).expect("a policy").warnings().len(), 1);
}
