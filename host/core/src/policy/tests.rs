//! What policies promise, as data: texts, requests, decisions.

mod reference;

use std::collections::BTreeMap;
use std::time::Duration;

use expect_test::{Expect, expect};
use host_logical::Operation;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::pattern::TemplateValues;
use super::{
    Acl, Asked, Capabilities, DEFAULT_POLICY_TEXT, Policy, PolicyName, PolicyNameError,
    RESPONSE_WRAPPING_POLICY_TEXT,
};

fn policy(name: &str, text: &str) -> Policy {
    let name = PolicyName::parse(name).expect("a name");
    Policy::parse(&name, text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn default() -> PolicyName {
    PolicyName::parse(PolicyName::DEFAULT).expect("a name")
}

fn acl(texts: &[&str]) -> Acl {
    let policies: Vec<Policy> = texts
        .iter()
        .zip('a'..)
        .map(|(text, name)| policy(&name.to_string(), text))
        .collect();
    Acl::new(&policies, None)
}

/// Each request is `<operation> <path>`, then perhaps `wrap=<seconds>`, then perhaps a body.
fn decide(acl: &Acl, request: &str) -> String {
    let mut words = request.splitn(3, ' ');
    let operation = match words.next() {
        Some("create") => Operation::Create,
        Some("read") => Operation::Read,
        Some("head") => Operation::Head,
        Some("update") => Operation::Update,
        Some("patch") => Operation::Patch,
        Some("delete") => Operation::Delete,
        Some("list") => Operation::List,
        other => panic!("no operation: {other:?}"),
    };
    let path = words.next().unwrap_or_default();
    let rest = words.next().unwrap_or_default();
    let (wrap, body) = match rest.strip_prefix("wrap=") {
        Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
        None => ("", rest),
    };
    let data: Option<Map<String, Value>> =
        (!body.is_empty()).then(|| serde_json::from_str(body).expect("a JSON object"));
    let decision = acl.check(&Asked {
        operation,
        path,
        data: data.as_ref(),
        wrap_ttl: wrap.parse().ok().map(Duration::from_secs),
    });
    let sudo = if decision.sudo { ", sudo" } else { "" };
    format!(
        "{request}: {}{sudo}",
        if decision.allowed { "allow" } else { "deny" }
    )
}

fn check(texts: &[&str], requests: &[&str], expected: Expect) {
    let acl = acl(texts);
    let decisions: Vec<String> = requests.iter().map(|r| decide(&acl, r)).collect();
    expected.assert_eq(&decisions.join("\n"));
}

/// The rules of a policy, one a line, as `path: capabilities`.
fn check_text(text: &str, expected: Expect) {
    let outcome = match Policy::parse(&default(), text) {
        Ok(policy) => {
            let rules = policy.rules.iter();
            let lines = rules.map(|rule| {
                let mut line = format!("{}: {:?}", rule.path, rule.permissions.capabilities);
                for (name, parameters) in [
                    ("allowed", &rule.permissions.allowed_parameters),
                    ("denied", &rule.permissions.denied_parameters),
                ] {
                    if !parameters.is_empty() {
                        let parameters = serde_json::to_string(parameters).expect("JSON");
                        line.push_str(&format!(" {name}={parameters}"));
                    }
                }
                line
            });
            lines
                .chain(policy.warnings())
                .collect::<Vec<_>>()
                .join("\n")
        }
        Err(error) => format!("failed to parse policy: {error}"),
    };
    expected.assert_eq(&outcome);
}

// ---- Which rule decides -------------------------------------------------------------------------------------------

#[test]
fn an_exact_rule_beats_a_prefix() {
    check(
        &[r#"path "secret/*" { capabilities = ["read"] }
             path "secret/super" { capabilities = ["deny"] }"#],
        &[
            "read secret/super",
            "read secret/other",
            "read secret/super/x",
        ],
        expect![[r#"
            read secret/super: deny
            read secret/other: allow
            read secret/super/x: allow"#]],
    );
}

#[test]
fn a_longer_prefix_beats_a_shorter_deny() {
    check(
        &[r#"path "secret/*" { capabilities = ["deny"] }
             path "secret/app/*" { capabilities = ["read"] }"#],
        &["read secret/app/x", "read secret/x", "read secret/app"],
        expect![[r#"
            read secret/app/x: allow
            read secret/x: deny
            read secret/app: deny"#]],
    );
}

#[test]
fn the_pattern_whose_first_wildcard_stands_later_decides() {
    check(
        &[r#"path "secret/+/team" { capabilities = ["read"] }
             path "secret/a*" { capabilities = ["deny"] }"#],
        &["read secret/a/team", "read secret/b/team"],
        expect![[r#"
            read secret/a/team: deny
            read secret/b/team: allow"#]],
    );
    check(
        &[r#"path "secret/+/+" { capabilities = ["read"] }
             path "secret/foo/+" { capabilities = ["list"] }"#],
        &[
            "read secret/foo/bar",
            "read secret/bar/foo",
            "list secret/foo/bar",
        ],
        expect![[r#"
            read secret/foo/bar: deny
            read secret/bar/foo: allow
            list secret/foo/bar: allow"#]],
    );
}

#[test]
fn then_a_pattern_that_does_not_end_in_a_star_decides() {
    check(
        &[r#"path "p/+/*" { capabilities = ["read"] }
             path "p/+/team" { capabilities = ["deny"] }"#],
        &["read p/a/team", "read p/a/teams", "read p/a/team/x"],
        expect![[r#"
            read p/a/team: deny
            read p/a/teams: allow
            read p/a/team/x: allow"#]],
    );
}

#[test]
fn then_fewer_pluses_then_the_longer_then_the_larger_text_decides() {
    check(
        &[r#"path "p/+/+/c" { capabilities = ["deny"] }
             path "p/+/b/c" { capabilities = ["read"] }"#],
        &["read p/a/b/c", "read p/a/x/c"],
        expect![[r#"
            read p/a/b/c: allow
            read p/a/x/c: deny"#]],
    );
    check(
        &[r#"path "p/+/b*" { capabilities = ["deny"] }
             path "p/+/ba*" { capabilities = ["read"] }"#],
        &["read p/a/bar", "read p/a/box"],
        expect![[r#"
            read p/a/bar: allow
            read p/a/box: deny"#]],
    );
    check(
        &[r#"path "p/+/a/+" { capabilities = ["read"] }
             path "p/+/+/b" { capabilities = ["deny"] }"#],
        &["read p/x/a/b", "read p/x/a/c", "read p/x/c/b"],
        expect![[r#"
            read p/x/a/b: allow
            read p/x/a/c: allow
            read p/x/c/b: deny"#]],
    );
}

#[test]
fn a_prefix_matches_at_any_depth_and_what_equals_it() {
    check(
        &[r#"path "secret/foo*" { capabilities = ["read"] }
             path "kv/*" { capabilities = ["read"] }"#],
        &[
            "read secret/foobar/x",
            "read secret/foo",
            "read secret/fo",
            "read kv/",
            "read kv",
        ],
        expect![[r#"
            read secret/foobar/x: allow
            read secret/foo: allow
            read secret/fo: deny
            read kv/: allow
            read kv: deny"#]],
    );
}

#[test]
fn a_plus_matches_one_whole_segment() {
    check(
        &[r#"path "secret/+" { capabilities = ["read"] }
             path "+/data/x" { capabilities = ["read"] }"#],
        &[
            "read secret/a",
            "read secret/a/b",
            "read secret",
            "read kv/data/x",
            "read a/b/data/x",
            "read /data/x",
        ],
        expect![[r#"
            read secret/a: allow
            read secret/a/b: deny
            read secret: deny
            read kv/data/x: allow
            read a/b/data/x: deny
            read /data/x: deny"#]],
    );
}

#[test]
fn a_star_inside_and_a_plus_within_a_segment_are_literal() {
    check(
        &[r#"path "a*b/c" { capabilities = ["read"] }
             path "a+/c" { capabilities = ["read"] }
             path "x/+y" { capabilities = ["read"] }
             path "v+w/*" { capabilities = ["read"] }"#],
        &[
            "read a*b/c",
            "read axb/c",
            "read a+/c",
            "read aa/c",
            "read x/+y",
            "read x/zy",
            "read v+w/k",
            "read v/w/k",
        ],
        expect![[r#"
            read a*b/c: allow
            read axb/c: deny
            read a+/c: allow
            read aa/c: deny
            read x/+y: allow
            read x/zy: deny
            read v+w/k: allow
            read v/w/k: deny"#]],
    );
}

#[test]
fn paths_are_case_sensitive_and_a_leading_slash_is_dropped_from_patterns() {
    check(
        &[r#"path "/Secret/x" { capabilities = ["read"] }
             path "/v1/secret/x" { capabilities = ["read"] }"#],
        &["read Secret/x", "read secret/x"],
        expect![[r#"
            read Secret/x: allow
            read secret/x: deny"#]],
    );
}

#[test]
fn what_no_rule_matches_is_refused_and_so_is_a_rule_without_capabilities() {
    check(
        &[r#"path "a" {} path "b" { capabilities = [] }"#, "# nothing"],
        &["read a", "read b", "read c", "list "],
        expect![[r#"
            read a: deny
            read b: deny
            read c: deny
            list : deny"#]],
    );
}

// ---- Lists --------------------------------------------------------------------------------------------------------

#[test]
fn a_list_finds_the_rule_with_and_without_a_slash() {
    check(
        &[r#"path "a/foo" { capabilities = ["list"] }
             path "b/foo/" { capabilities = ["list"] }
             path "p/*" { capabilities = ["list"] }
             path "+/roles" { capabilities = ["list"] }
             path "auth/+/role/+" { capabilities = ["list"] }"#],
        &[
            "list a/foo/",
            "list a/foo",
            "list b/foo",
            "list b/foo/",
            "list p",
            "list p/",
            "list x/roles/",
            "list auth/approle/role/",
            "list auth/approle/role/r/",
        ],
        expect![[r#"
            list a/foo/: allow
            list a/foo: allow
            list b/foo: allow
            list b/foo/: allow
            list p: allow
            list p/: allow
            list x/roles/: allow
            list auth/approle/role/: allow
            list auth/approle/role/r/: allow"#]],
    );
}

#[test]
fn the_rule_with_the_slash_goes_first() {
    check(
        &[r#"path "a/foo" { capabilities = ["list"] }
             path "a/foo/" { capabilities = ["deny"] }
             path "b/foo" { capabilities = ["deny"] }
             path "b/foo/" { capabilities = ["list"] }"#],
        &["list a/foo/", "list b/foo/"],
        expect![[r#"
            list a/foo/: deny
            list b/foo/: allow"#]],
    );
}

/// OpenBao until 2.6.0 looked without the slash first, where the deny does not match (GHSA-xp3c-3jw3-4vcr).
#[test]
fn a_deny_on_everything_below_a_directory_covers_listing_it() {
    check(
        &[r#"path "secret/metadata/*" { capabilities = ["list"] }
             path "secret/metadata/restricted/*" { capabilities = ["deny"] }
             path "secret/metadata/+/private/*" { capabilities = ["deny"] }"#],
        &[
            "list secret/metadata/restricted/",
            "list secret/metadata/other/",
            "list secret/metadata/restricted/x/",
        ],
        expect![[r#"
            list secret/metadata/restricted/: deny
            list secret/metadata/other/: allow
            list secret/metadata/restricted/x/: deny"#]],
    );
}

/// The same from the other side: the deny matches only without the slash, the allow with it.
#[test]
fn a_deny_written_with_plus_covers_listing_the_directory() {
    check(
        &[r#"path "secret/*" { capabilities = ["list"] }
             path "secret/+" { capabilities = ["deny"] }"#],
        &["list secret/foo/", "list secret/foo/bar/"],
        expect![[r#"
            list secret/foo/: deny
            list secret/foo/bar/: allow"#]],
    );
    check(
        &[r#"path "secret/*" { capabilities = ["deny"] }
             path "secret/+" { capabilities = ["list"] }"#],
        &["list secret/foo/"],
        expect!["list secret/foo/: deny"],
    );
    check(
        &[r#"path "secret/*" { capabilities = ["deny"] }
             path "secret/foo/*" { capabilities = ["list"] }"#],
        &["list secret/foo/"],
        expect!["list secret/foo/: allow"],
    );
}

// ---- Merging ------------------------------------------------------------------------------------------------------

#[test]
fn rules_of_the_same_pattern_add_up_and_others_do_not() {
    check(
        &[
            r#"path "p/*" { capabilities = ["read"] } path "q/x" { capabilities = ["read"] }"#,
            r#"path "/p/*" { capabilities = ["update"] } path "q/*" { capabilities = ["update"] }"#,
        ],
        &[
            "update p/x",
            "read p/x",
            "delete p/x",
            "update q/x",
            "read q/x",
            "update q/y",
        ],
        expect![[r#"
            update p/x: allow
            read p/x: allow
            delete p/x: deny
            update q/x: deny
            read q/x: allow
            update q/y: allow"#]],
    );
}

#[test]
fn a_deny_wins_in_whichever_policy_and_order() {
    let allow = r#"path "p/*" { capabilities = ["read", "sudo"] }"#;
    let deny = r#"path "p/*" { capabilities = ["read", "deny"] }"#;
    for texts in [[allow, deny], [deny, allow]] {
        check(&texts, &["read p/x"], expect!["read p/x: deny"]);
    }
}

#[test]
fn the_same_path_twice_in_one_policy_adds_up() {
    check(
        &[r#"path "p/x" { capabilities = ["read"] }
             path "p/x" { capabilities = ["update"] }
             path "p/y" { capabilities = ["read"] }
             path "p/y" { capabilities = ["deny"] }"#],
        &["read p/x", "update p/x", "read p/y"],
        expect![[r#"
            read p/x: allow
            update p/x: allow
            read p/y: deny"#]],
    );
}

#[test]
fn parameters_of_the_same_pattern_add_up_value_by_value() {
    check(
        &[
            r#"path "p" { capabilities = ["update"]
               allowed_parameters = { "ttl" = ["1h"], "any" = ["x"] }
               denied_parameters = { "bad" = ["x"] }
               required_parameters = ["ttl"] }"#,
            r#"path "p" { capabilities = ["update"]
               allowed_parameters = { "TTL" = ["2h"], "any" = [], "bad" = [] }
               denied_parameters = { "bad" = ["y"] }
               required_parameters = ["Any"] }"#,
        ],
        &[
            r#"update p {"ttl":"1h","any":"z"}"#,
            r#"update p {"ttl":"2h","any":"z"}"#,
            r#"update p {"ttl":"3h","any":"z"}"#,
            r#"update p {"ttl":"1h"}"#,
            r#"update p {"any":"z"}"#,
            r#"update p {"ttl":"1h","any":"z","bad":"x"}"#,
            r#"update p {"ttl":"1h","any":"z","bad":"y"}"#,
            r#"update p {"ttl":"1h","any":"z","bad":"z"}"#,
        ],
        expect![[r#"
            update p {"ttl":"1h","any":"z"}: allow
            update p {"ttl":"2h","any":"z"}: allow
            update p {"ttl":"3h","any":"z"}: deny
            update p {"ttl":"1h"}: deny
            update p {"any":"z"}: deny
            update p {"ttl":"1h","any":"z","bad":"x"}: deny
            update p {"ttl":"1h","any":"z","bad":"y"}: deny
            update p {"ttl":"1h","any":"z","bad":"z"}: allow"#]],
    );
}

#[test]
fn the_smaller_wrapping_limits_win_and_may_leave_nothing() {
    check(
        &[
            r#"path "p" { capabilities = ["read"] min_wrapping_ttl = "10s" max_wrapping_ttl = "100s" }"#,
            r#"path "p" { capabilities = ["read"] min_wrapping_ttl = "5s" max_wrapping_ttl = "50s" }"#,
        ],
        &[
            "read p wrap=4",
            "read p wrap=5",
            "read p wrap=50",
            "read p wrap=51",
            "read p",
        ],
        expect![[r#"
            read p wrap=4: deny
            read p wrap=5: allow
            read p wrap=50: allow
            read p wrap=51: deny
            read p: deny"#]],
    );
    check(
        &[
            r#"path "p" { capabilities = ["read"] min_wrapping_ttl = "10s" }"#,
            r#"path "p" { capabilities = ["read"] max_wrapping_ttl = "5s" }"#,
        ],
        &["read p wrap=4", "read p wrap=7", "read p wrap=12"],
        expect![[r#"
            read p wrap=4: deny
            read p wrap=7: deny
            read p wrap=12: deny"#]],
    );
}

// ---- Operations, sudo, root ---------------------------------------------------------------------------------------

#[test]
fn each_operation_needs_its_own_capability() {
    let mut lines = Vec::new();
    let operations = [
        "create", "read", "head", "update", "patch", "delete", "list",
    ];
    for capability in [
        "create", "read", "update", "patch", "delete", "list", "sudo",
    ] {
        let acl = acl(&[&format!(
            r#"path "p/*" {{ capabilities = ["{capability}"] }}"#
        )]);
        let allowed: Vec<&str> = operations
            .into_iter()
            .filter(|operation| decide(&acl, &format!("{operation} p/x")).contains("allow"))
            .collect();
        lines.push(format!("{capability}: {}", allowed.join(" ")));
    }
    expect![[r#"
        create: create
        read: read head
        update: update
        patch: patch
        delete: delete
        list: list
        sudo: "#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn sudo_is_told_apart_from_being_allowed() {
    check(
        &[r#"path "sys/audit" { capabilities = ["read"] }
             path "sys/raw/*" { capabilities = ["read", "sudo"] }
             path "sys/seal" { capabilities = ["sudo"] }"#],
        &["read sys/audit", "read sys/raw/x", "update sys/seal"],
        expect![[r#"
            read sys/audit: allow
            read sys/raw/x: allow, sudo
            update sys/seal: deny, sudo"#]],
    );
}

#[test]
fn root_may_do_everything_and_no_text_grants_root() {
    let root = Acl::root();
    assert!(root.is_root() && root.touches_below("anything/"));
    assert_eq!(root.capabilities("any/path").names(), ["root"]);
    expect!["delete any/path: allow, sudo"].assert_eq(&decide(&root, "delete any/path"));
    let named_root = policy("root", r#"path "a" { capabilities = ["read"] }"#);
    let acl = Acl::new([&named_root], None);
    assert!(!acl.is_root());
    expect!["delete any/path: deny"].assert_eq(&decide(&acl, "delete any/path"));
}

#[test]
fn a_decision_names_the_policies_that_allowed_it() {
    let acl = acl(&[
        r#"path "p" { capabilities = ["read"] }"#,
        r#"path "p" { capabilities = ["update"] }"#,
        r#"path "p" { capabilities = ["read", "update"] }"#,
        r#"path "p/*" { capabilities = ["read"] }"#,
    ]);
    let granting = |acl: &Acl, operation| {
        let asked = Asked {
            operation,
            path: "p",
            data: None,
            wrap_ttl: None,
        };
        let decision = acl.check(&asked);
        let names: Vec<String> = decision
            .granting_policies()
            .map(|name| name.to_string())
            .collect();
        names.join(" ")
    };
    assert_eq!(granting(&acl, Operation::Read), "a c");
    assert_eq!(granting(&acl, Operation::Update), "b c");
    assert_eq!(granting(&acl, Operation::Delete), "");
    assert_eq!(granting(&Acl::root(), Operation::Delete), "root");
}

// ---- Parameters and wrapping --------------------------------------------------------------------------------------

#[test]
fn allowed_parameters_name_keys_and_values() {
    check(
        &[
            r#"path "p" { capabilities = ["create", "update", "patch", "read", "delete", "list"]
               allowed_parameters = { "ttl" = ["1h", "2*"], "n" = [1, true] } }"#,
        ],
        &[
            "update p",
            "update p {}",
            r#"update p {"ttl":"1h"}"#,
            r#"update p {"TTL":"1h"}"#,
            r#"update p {"ttl":"2days"}"#,
            r#"update p {"ttl":"3h"}"#,
            r#"update p {"n":1}"#,
            r#"update p {"n":1.0}"#,
            r#"update p {"n":"1"}"#,
            r#"update p {"n":true}"#,
            r#"update p {"n":false}"#,
            r#"update p {"ttl":"1h","other":"x"}"#,
            r#"create p {"other":1}"#,
            r#"patch p {"other":1}"#,
            r#"read p {"other":1}"#,
            r#"delete p {"other":1}"#,
            r#"list p {"other":1}"#,
        ],
        expect![[r#"
            update p: allow
            update p {}: allow
            update p {"ttl":"1h"}: allow
            update p {"TTL":"1h"}: allow
            update p {"ttl":"2days"}: allow
            update p {"ttl":"3h"}: deny
            update p {"n":1}: allow
            update p {"n":1.0}: deny
            update p {"n":"1"}: deny
            update p {"n":true}: allow
            update p {"n":false}: deny
            update p {"ttl":"1h","other":"x"}: deny
            create p {"other":1}: deny
            patch p {"other":1}: deny
            read p {"other":1}: deny
            delete p {"other":1}: allow
            list p {"other":1}: allow"#]],
    );
}

#[test]
fn a_star_allows_the_other_parameters() {
    check(
        &[
            r#"path "p" { capabilities = ["update"] allowed_parameters = { "*" = [] } }
             path "q" { capabilities = ["update"] allowed_parameters = { "ttl" = ["1h"], "*" = [] } }
             path "r" { capabilities = ["update"] allowed_parameters = {} }"#,
        ],
        &[
            r#"update p {"x":1}"#,
            r#"update q {"x":1}"#,
            r#"update q {"x":1,"ttl":"2h"}"#,
            r#"update r {"x":1}"#,
        ],
        expect![[r#"
            update p {"x":1}: allow
            update q {"x":1}: allow
            update q {"x":1,"ttl":"2h"}: deny
            update r {"x":1}: allow"#]],
    );
}

#[test]
fn denied_parameters_win() {
    check(
        &[r#"path "p" { capabilities = ["update"]
               denied_parameters = { "policy" = ["root*"], "id" = [] }
               allowed_parameters = { "policy" = [], "id" = [] } }
             path "q" { capabilities = ["update"] denied_parameters = { "*" = [] } }"#],
        &[
            r#"update p {"policy":"rootish"}"#,
            r#"update p {"Policy":"root"}"#,
            r#"update p {"policy":"dev"}"#,
            r#"update p {"id":1}"#,
            r#"update p {"policy":["root"]}"#,
            r#"update q {"x":1}"#,
            "update q",
            "update q {}",
        ],
        expect![[r#"
            update p {"policy":"rootish"}: deny
            update p {"Policy":"root"}: deny
            update p {"policy":"dev"}: allow
            update p {"id":1}: deny
            update p {"policy":["root"]}: allow
            update q {"x":1}: deny
            update q: allow
            update q {}: allow"#]],
    );
}

#[test]
fn required_parameters_must_be_there_even_in_a_read() {
    check(
        &[
            r#"path "p" { capabilities = ["read", "update", "delete"] required_parameters = ["Version"] }"#,
        ],
        &[
            "read p",
            r#"read p {"version":"1"}"#,
            r#"update p {"x":1}"#,
            r#"update p {"version":null}"#,
            "delete p",
        ],
        expect![[r#"
            read p: deny
            read p {"version":"1"}: allow
            update p {"x":1}: deny
            update p {"version":null}: allow
            delete p: allow"#]],
    );
}

#[test]
fn values_match_by_a_star_at_either_end() {
    check(
        &[r#"path "p" { capabilities = ["update"]
               allowed_parameters = { "a" = ["x*"], "b" = ["*x"], "c" = ["*x*"], "d" = ["*"], "e" = ["a*b"], "f" = [["l", 1]], "g" = ["**"] } }"#],
        &[
            r#"update p {"a":"xyz"}"#,
            r#"update p {"a":"yx"}"#,
            r#"update p {"b":"yx"}"#,
            r#"update p {"b":"xy"}"#,
            r#"update p {"c":"axb"}"#,
            r#"update p {"c":"ab"}"#,
            r#"update p {"d":""}"#,
            r#"update p {"d":1}"#,
            r#"update p {"e":"a*b"}"#,
            r#"update p {"e":"axb"}"#,
            r#"update p {"f":["l",1]}"#,
            r#"update p {"f":["l"]}"#,
            r#"update p {"g":"x"}"#,
        ],
        expect![[r#"
            update p {"a":"xyz"}: allow
            update p {"a":"yx"}: deny
            update p {"b":"yx"}: allow
            update p {"b":"xy"}: deny
            update p {"c":"axb"}: allow
            update p {"c":"ab"}: deny
            update p {"d":""}: allow
            update p {"d":1}: deny
            update p {"e":"a*b"}: allow
            update p {"e":"axb"}: deny
            update p {"f":["l",1]}: allow
            update p {"f":["l"]}: deny
            update p {"g":"x"}: allow"#]],
    );
}

#[test]
fn a_wrapping_limit_forces_wrapping() {
    check(
        &[
            r#"path "min" { capabilities = ["read"] min_wrapping_ttl = "1s" }
             path "max" { capabilities = ["list"] max_wrapping_ttl = 90 }
             path "both" { capabilities = ["read"] min_wrapping_ttl = "1m" max_wrapping_ttl = "1h30m" }
             path "none" { capabilities = ["read"] min_wrapping_ttl = 0 max_wrapping_ttl = "" }"#,
        ],
        &[
            "read min",
            "read min wrap=1",
            "read min wrap=999999",
            "list max",
            "list max wrap=90",
            "list max wrap=91",
            "read both wrap=59",
            "read both wrap=60",
            "read both wrap=5400",
            "read both wrap=5401",
            "read none",
        ],
        expect![[r#"
            read min: deny
            read min wrap=1: allow
            read min wrap=999999: allow
            list max: deny
            list max wrap=90: allow
            list max wrap=91: deny
            read both wrap=59: deny
            read both wrap=60: allow
            read both wrap=5400: allow
            read both wrap=5401: deny
            read none: allow"#]],
    );
}

// ---- Templates ----------------------------------------------------------------------------------------------------

struct Identity(BTreeMap<&'static str, &'static str>);

impl TemplateValues for Identity {
    fn value(&self, selector: &str) -> Option<String> {
        self.0.get(selector).map(|value| (*value).to_owned())
    }
}

#[test]
fn templates_are_filled_in_and_a_rule_without_its_value_is_dropped() {
    let policy = policy(
        "templated",
        r#"path "secret/{{identity.entity.id}}/*" { capabilities = ["read"] }
           path "secret/{{ identity.entity.name }}/{{identity.entity.metadata.team}}" { capabilities = ["read"] }
           path "zz/{{zz}}" { capabilities = ["read"] }
           path "plain" { capabilities = ["read"] }"#,
    );
    assert!(policy.is_templated());
    let identity = Identity(BTreeMap::from([
        ("identity.entity.id", "e-1"),
        ("identity.entity.name", "ann@example.org"),
        ("identity.entity.metadata.team", "ops_2"),
    ]));
    let acl = Acl::new([&policy], Some(&identity));
    let resultant = acl.resultant();
    let paths: Vec<_> = resultant
        .exact_paths
        .keys()
        .chain(resultant.glob_paths.keys())
        .collect();
    expect![[r#"["plain", "secret/ann@example.org/ops_2", "secret/e-1/"]"#]]
        .assert_eq(&format!("{paths:?}"));
    let nobody = Acl::new([&policy], None);
    assert_eq!(
        nobody
            .resultant()
            .exact_paths
            .into_keys()
            .collect::<Vec<_>>(),
        ["plain"]
    );
}

/// A login may be called `*` or `+`, or `a/b`: it must not read what is not its own (GHSA-59w7).
#[test]
fn a_value_with_a_meaning_in_paths_drops_the_rule() {
    let policy = policy(
        "templated",
        r#"path "secret/{{name}}" { capabilities = ["read"] }
           path "secret/{{name}}/*" { capabilities = ["read"] }"#,
    );
    for value in [
        "*", "+", "a/b", "a*", "", " ", "a,b", "ä", "{{x}}", "a\n", "%2f",
    ] {
        let acl = Acl::new(
            [&policy],
            Some(&Identity(BTreeMap::from([("name", value)]))),
        );
        let resultant = acl.resultant();
        assert!(
            resultant.exact_paths.is_empty() && resultant.glob_paths.is_empty(),
            "{value:?}"
        );
    }
}

// ---- Capabilities, mounts, resultant ------------------------------------------------------------------------------

fn check_capabilities(text: &str, paths: &[&str], expected: Expect) {
    let acl = acl(&[text]);
    let line = |path: &&str| format!("{path}: {}", acl.capabilities(path).names().join(" "));
    expected.assert_eq(&paths.iter().map(line).collect::<Vec<_>>().join("\n"));
}

#[test]
fn capabilities_are_told_in_alphabetical_order() {
    check_capabilities(
        r#"path "all" { capabilities = ["update", "sudo", "scan", "subscribe", "read", "patch", "list", "delete", "create"] }
           path "none" {}
           path "denied" { capabilities = ["deny"] }
           path "dir" { capabilities = ["list"] }
           path "limited" { capabilities = ["read"] min_wrapping_ttl = "1s" required_parameters = ["x"] }"#,
        &[
            "all", "none", "denied", "nowhere", "dir/", "/dir", "limited",
        ],
        expect![[r#"
            all: create delete list patch read scan subscribe sudo update
            none: deny
            denied: deny
            nowhere: deny
            dir/: list
            /dir: list
            limited: read"#]],
    );
}

#[test]
fn a_mount_is_known_to_whoever_may_do_something_below_it() {
    let touched = |text: &str| {
        let acl = acl(&[text]);
        let mounts = ["secret/", "secret", "kv/", "a/b/", "sec/"];
        mounts
            .into_iter()
            .filter(|mount| acl.touches_below(mount))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut lines = Vec::new();
    for rule in [
        r#""secret/data/x" { capabilities = ["read"] }"#,
        r#""secret/data/x" { capabilities = ["deny"] }"#,
        r#""secret/data/x" {}"#,
        r#""secret/*" { capabilities = ["deny"] }"#,
        r#""secret/data/*" { capabilities = ["list"] }"#,
        r#""sec*" { capabilities = ["read"] }"#,
        r#""*" { capabilities = ["read"] }"#,
        r#""+/data/*" { capabilities = ["read"] }"#,
        r#""+/b/data" { capabilities = ["read"] }"#,
        r#""+/x/data" { capabilities = ["deny"] }"#,
        r#""a/+" { capabilities = ["read"] }"#,
        r#""a/+/x" { capabilities = ["read"] }"#,
        r#""+/b*" { capabilities = ["read"] }"#,
        r#""kv" { capabilities = ["read"] }"#,
    ] {
        lines.push(format!("{rule}: {}", touched(&format!("path {rule}"))));
    }
    expect![[r#"
        "secret/data/x" { capabilities = ["read"] }: secret/ secret
        "secret/data/x" { capabilities = ["deny"] }: 
        "secret/data/x" {}: 
        "secret/*" { capabilities = ["deny"] }: 
        "secret/data/*" { capabilities = ["list"] }: secret/ secret
        "sec*" { capabilities = ["read"] }: secret/ secret sec/
        "*" { capabilities = ["read"] }: secret/ secret kv/ a/b/ sec/
        "+/data/*" { capabilities = ["read"] }: secret/ secret kv/ sec/
        "+/b/data" { capabilities = ["read"] }: secret/ secret kv/ a/b/ sec/
        "+/x/data" { capabilities = ["deny"] }: 
        "a/+" { capabilities = ["read"] }: a/b/
        "a/+/x" { capabilities = ["read"] }: a/b/
        "+/b*" { capabilities = ["read"] }: secret/ secret kv/ a/b/ sec/
        "kv" { capabilities = ["read"] }: kv/"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn the_resultant_lists_what_is_merged() {
    let acl = acl(&[
        r#"path "a/b" { capabilities = ["read"] }
           path "secret/*" { capabilities = ["list"] }
           path "+/x" { capabilities = ["deny"] }
           path "t/+/x/*" { capabilities = ["read"] }"#,
        r#"path "a/b" { capabilities = ["update"] }"#,
    ]);
    expect![[r#"Resultant { root: false, exact_paths: {"a/b": read+update}, glob_paths: {"+/x": deny, "secret/": list, "t/+/x/": read} }"#]].assert_eq(&format!("{:?}", acl.resultant()));
}

// ---- Texts --------------------------------------------------------------------------------------------------------

#[test]
fn hcl_is_read_as_people_write_it() {
    check_text(
        r#"
# HashiCorp's own examples put the brace on the next line.
path "auth/*"
{
  capabilities = ["create", "read", "update", "delete", "list", "sudo"]
}
// Two on a line, with attributes side by side.
path "a" { policy = "read" capabilities = ["update"] } path "b" { capabilities = ["read"], comment = "x" }
path "c" { capabilities = ["read"]
}
/* Quoted keys, a block for a map, a list over lines,
   a comma at its end. */
"path" "d" {
  "capabilities" = [
    "create", # first
    "update",
  ]
  allowed_parameters { "a b" = [] bare = ["x", 1, -16, 2.50, true] }
}
name = "ignored"
path "e/${x}/%{z}" { capabilities = ["read"] }
path "e/${x}/%{z}" { capabilities = ["list"], }
path "f/\"\\\u00e9" { comment = <<END
  it's "free" text }
END
  policy = "deny"
}
path "g" {
  comment = <<-END
    indented
    END
  denied_parameters = { x = ["1"] y = ["${2}"] }
}
path = [{ "h/*" = { policy = "sudo" } }, { "i" { policy = "write" } }, { "i" { policy = "deny" } }]"#,
        expect![[r#"
            auth/*: create+delete+list+read+sudo+update
            a: list+read+update
            b: read
            c: read
            d: create+update allowed={"a b":[],"bare":["x",1,-16,2.50,true]}
            e/${x}/%{z}: read
            e/${x}/%{z}: list
            f/"\é: deny
            g: deny denied={"x":["1"],"y":["${2}"]}
            h/*: create+delete+list+read+sudo+update
            i: create+delete+list+read+update
            i: deny"#]],
    );
    check_text(
        r#"path { "j/*" { policy = "read" comment = "$${" } k { policy = "deny" } }"#,
        expect![[r#"
            j/*: list+read
            k: deny"#]],
    );
}

#[test]
fn hcl_that_the_parser_reads_as_it_is_may_hold_what_looks_like_a_template() {
    check_text(
        "path \"a/${b}\" {\n  policy = \"read\"\n}\npath = {\n  \"c/*\" = { capabilities = [\"list\"] }\n}\n",
        expect![[r#"
            a/${b}: list+read
            c/*: list"#]],
    );
    check_text(
        "path \"a\" {\n  allowed_parameters = {\n    x = [\"${b}\", \"%{c}\"]\n  }\n}\n",
        expect![[r#"a: deny allowed={"x":["${b}","%{c}"]}"#]],
    );
}

#[test]
fn json_is_read_in_both_shapes_and_keeps_what_is_written_twice() {
    check_text(
        r#" {"name":"x","path":{"secret/*":{"capabilities":["read"],"allowed_parameters":{"a":["x",1,null,{"k":[1.50]}]},"comment":null}}}"#,
        expect![[r#"secret/*: read allowed={"a":["x",1,null,{"k":[1.50]}]}"#]],
    );
    check_text(
        r#"{"path":[{"a":{"capabilities":["read"]}},{"b":{"policy":"write"},"c":[{"policy":"read"},{"policy":"deny"}]}]}"#,
        expect![[r#"
            a: read
            b: create+delete+list+read+update
            c: list+read
            c: deny"#]],
    );
    check_text(
        r#"{"path":{"a":{"policy":"deny"},"a":{"policy":"read"}},"path":{"b":{"capabilities":["read"],"capabilities":["list"]}}}"#,
        expect![[r#"
            a: deny
            a: list+read
            b: list+read"#]],
    );
}

#[test]
fn a_text_without_a_path_is_a_policy_that_allows_nothing() {
    for text in [
        "",
        "{}",
        "# a comment",
        "/* a comment */",
        r#"{"path":{}}"#,
        r#"{"path":[]}"#,
        "path {}",
    ] {
        check_text(text, expect![""]);
    }
}

#[test]
fn restrictions_that_cannot_be_enforced_grant_nothing() {
    check_text(
        r#"path "a" { capabilities = ["read"] mfa_methods = ["m"] }
           path "b" { capabilities = ["read"] control_group = { factor "f" { identity { group_names = ["g"] approvals = 1 } } } }
           path "c" { capabilities = ["list"] pagination_limit = 10 expiration = "2030-01-01T00:00:00Z" list_scan_response_keys_filter_path = "x" }
           path "d" { capabilities = ["read"] mfa_methods = [] pagination_limit = 0 expiration = "" control_group = {} }
           path "e" { capabilities = ["read", "subscribe"] subscribe_event_types = ["*"] }"#,
        expect![[r#"
            a: deny
            b: deny
            c: deny
            d: read
            e: read+subscribe
            path "a": mfa_methods cannot be enforced by this server, so the rule grants nothing
            path "b": control_group cannot be enforced by this server, so the rule grants nothing
            path "c": pagination_limit cannot be enforced by this server, so the rule grants nothing
            path "c": expiration cannot be enforced by this server, so the rule grants nothing
            path "c": list_scan_response_keys_filter_path cannot be enforced by this server, so the rule grants nothing"#]],
    );
}

#[test]
fn unknown_keys_are_named_with_their_lines() {
    check_text(
        "path \"a\" {\n}\nrule \"b\" {}",
        expect![[r#"
        failed to parse policy: 1 error occurred:
        	* invalid key "rule" on line 3

    "#]],
    );
    check_text(
        "x = 1\n\ny = 2",
        expect![[r#"
        failed to parse policy: 2 errors occurred:
        	* invalid key "x" on line 1
        	* invalid key "y" on line 3

    "#]],
    );
    check_text(
        "path \"a\" {\n  capabilities = [\"read\"]\n  capability = \"x\"\n}",
        expect![[r#"
            failed to parse policy: 1 error occurred:
            	* path "a": invalid key "capability" on line 3

        "#]],
    );
    check_text(
        "/* the\nlayout */ path \"a\"\n{\n  comment = <<E\n\n }\nE\n  capability = \"x\" polici = \"y\"\n}",
        expect![[r#"
            failed to parse policy: 2 errors occurred:
            	* path "a": invalid key "capability" on line 8
            	* path "a": invalid key "polici" on line 8

        "#]],
    );
    check_text(
        "{\"path\": {\"a\":\n {\"capabilities\": [],\n \"Policy\": 1}}}",
        expect![[r#"
            failed to parse policy: 1 error occurred:
            	* path "a": invalid key "Policy" on line 3

        "#]],
    );
    check_text(
        "{\"a\":1}",
        expect![[r#"
        failed to parse policy: 1 error occurred:
        	* invalid key "a" on line 1

    "#]],
    );
}

#[test]
fn wrong_rules_are_refused_in_vaults_words() {
    for (text, expected) in [
        (
            r#"path "x" { capabilities = ["y"] }"#,
            expect![[r#"failed to parse policy: path "x": invalid capability "y""#]],
        ),
        (
            r#"path "x" { capabilities = ["root"] }"#,
            expect![[r#"failed to parse policy: path "x": invalid capability "root""#]],
        ),
        (
            r#"path "x" { capabilities = ["deny", "Read"] }"#,
            expect![[r#"failed to parse policy: path "x": invalid capability "Read""#]],
        ),
        (
            r#"path "x" { policy = "y" }"#,
            expect![[r#"failed to parse policy: path "x": invalid policy "y""#]],
        ),
        (
            r#"path "a+*" { policy = "read" }"#,
            expect![[
                r#"failed to parse policy: path "a+*": invalid use of wildcards ('+*' is forbidden)"#
            ]],
        ),
        (
            r#"path "a/+*" {}"#,
            expect![[
                r#"failed to parse policy: path "a/+*": invalid use of wildcards ('+*' is forbidden)"#
            ]],
        ),
        (
            r#"path "x" { min_wrapping_ttl = "2s" max_wrapping_ttl = "1s" }"#,
            expect![
                "failed to parse policy: max_wrapping_ttl cannot be less than min_wrapping_ttl"
            ],
        ),
        (
            r#"path "x" { min_wrapping_ttl = "-2s" }"#,
            expect![
                "failed to parse policy: error parsing min_wrapping_ttl: duration is out of range"
            ],
        ),
        (
            r#"path "x" { max_wrapping_ttl = [1] }"#,
            expect![[
                r#"failed to parse policy: error parsing max_wrapping_ttl: expected a duration such as "90s", "1h30m" or "7d", or a whole number of seconds"#
            ]],
        ),
        (
            r#"path "x/{{y" {}"#,
            expect![
                "failed to parse policy: failed to validate policy templating: unbalanced templating characters"
            ],
        ),
        (
            r#"path "x/y}}" {}"#,
            expect![
                "failed to parse policy: failed to validate policy templating: unbalanced templating characters"
            ],
        ),
        (
            r#"path "x/{{y}}}}" {}"#,
            expect![
                "failed to parse policy: failed to validate policy templating: unbalanced templating characters"
            ],
        ),
        (
            r#"path "x/{{y{{z}}" {}"#,
            expect![
                "failed to parse policy: failed to validate policy templating: unbalanced templating characters"
            ],
        ),
        (
            r#"path "x" { capabilities = "read" }"#,
            expect![[
                r#"failed to parse policy: path "x": capabilities must be a list of strings"#
            ]],
        ),
        (
            r#"path "x" { capabilities = [1] }"#,
            expect![[
                r#"failed to parse policy: path "x": capabilities must be a list of strings"#
            ]],
        ),
        (
            r#"path "x" { allowed_parameters = { a = "b" } }"#,
            expect![[
                r#"failed to parse policy: path "x": allowed_parameters must be parameters with a list of values each"#
            ]],
        ),
        (
            r#"path "x" { allowed_parameters = ["a"] }"#,
            expect![[r#"failed to parse policy: path "x": allowed_parameters must be an object"#]],
        ),
        (
            r#"path "x" "y" {}"#,
            expect!["failed to parse policy: path must have one string and a block"],
        ),
        (
            r#"path = "x""#,
            expect!["failed to parse policy: path must have one string and a block"],
        ),
        (
            r#"{"path":{"x":"read"}}"#,
            expect![[r#"failed to parse policy: path "x": value must be an object"#]],
        ),
        (
            r#"{"path":{"x":{"policy":1}}}"#,
            expect![[r#"failed to parse policy: path "x": policy must be a string"#]],
        ),
    ] {
        check_text(text, expected);
    }
}

#[test]
fn what_is_neither_hcl_nor_json_is_refused_with_its_place() {
    for (text, expected) in [
        (
            "path",
            expect!["failed to parse policy: At 1:1: unexpected token"],
        ),
        (
            "path \"x\"",
            expect!["failed to parse policy: At 1:8: expected `{`"],
        ),
        (
            "path \"x\" {",
            expect![
                "failed to parse policy: At 1:10: invalid block body; expected `}`, newline or identifier"
            ],
        ),
        (
            "path \"x\" { capabilities = [\"read\" }",
            expect!["failed to parse policy: At 1:35: expected `]`"],
        ),
        (
            "path \"x\" { capabilities = [\"read\" \"list\"] }",
            expect!["failed to parse policy: At 1:35: expected `]`"],
        ),
        (
            "path \"x\" { capabilities = read }",
            expect!["failed to parse policy: At 1:27: a string must be in quotes"],
        ),
        (
            "path \"x\" = {}",
            expect!["failed to parse policy: At 1:10: expected `{`"],
        ),
        (
            "path \"x\" {}\n}",
            expect!["failed to parse policy: At 2:1: unexpected token"],
        ),
        (
            "path \"x {}",
            expect!["failed to parse policy: At 1:6: expected `{`"],
        ),
        (
            "path \"x\n\" {}",
            expect!["failed to parse policy: At 1:6: string is not terminated"],
        ),
        (
            "path \"\\q\" {}",
            expect![[
                r#"failed to parse policy: At 1:9: invalid escape sequence; expected `n`, `r`, `t`, `u`, `U`, `\` or `"`"#
            ]],
        ),
        (
            "/* path",
            expect!["failed to parse policy: At 1:1: unexpected token"],
        ),
        (
            "path \"x\" { comment = <<END\nend",
            expect!["failed to parse policy: At 2:1: expected heredoc end delimiter"],
        ),
        (
            "path \"x\" { comment = 08 }",
            expect!["failed to parse policy: At 1:22: illegal number"],
        ),
        (
            "path \"x\"\n{\n  comment = 010\n}",
            expect!["failed to parse policy: At 3:13: illegal number"],
        ),
        (
            "path \"x\" { policy = \"read\" policy = \"deny\" }",
            expect![
                "failed to parse policy: At 1:28: invalid attribute; expected unique attribute key; found redefined attribute"
            ],
        ),
        (
            "path \"x\" { denied_parameters = { a = [], a = [1] } }",
            expect![
                "failed to parse policy: At 1:42: invalid object item; expected unique object key; found redefined object key"
            ],
        ),
        (
            "path \"x\" { policy = \"read\" comment = 1 + 1 }",
            expect![
                "failed to parse policy: At 1:40: invalid block body; expected `}`, newline or identifier"
            ],
        ),
        (
            "path \"x\" {\n  policy = \"a\n\"\n}",
            expect!["failed to parse policy: At 2:12: string is not terminated"],
        ),
        (
            "path \"x\" {\n  comment = <<E\nE\n  policy = \"deny\"\n  x = <<E\nE\n}",
            expect!["failed to parse policy: At 2:13: a heredoc must not be empty"],
        ),
        (
            "path \"${x \"y\"}\" {}",
            expect!["failed to parse policy: path must have one string and a block"],
        ),
        (
            "path \"x\" { policy = \"read\" } /* path \"y\" {}",
            expect!["failed to parse policy: At 1:30: unexpected token"],
        ),
        (
            "= 1",
            expect!["failed to parse policy: At 1:1: unexpected token"],
        ),
        (
            "\u{0}",
            expect!["failed to parse policy: At 1:1: unexpected token"],
        ),
        (
            "é ö",
            expect!["failed to parse policy: At 1:4: expected `{`"],
        ),
        (
            "[]",
            expect!["failed to parse policy: At 1:1: unexpected token"],
        ),
        (
            "{\"path\": {\"x\": {\"capabilities\": [\"read\",]}}}",
            expect!["failed to parse policy: At 1:41: expected value"],
        ),
        (
            "{\"path\":\n {\"x\"}}",
            expect!["failed to parse policy: At 2:6: expected `:`"],
        ),
        (
            "{} {}",
            expect!["failed to parse policy: At 1:4: trailing characters"],
        ),
        (
            "{\"path\": {\"\\ud800\": {}}}",
            expect!["failed to parse policy: At 1:10: unexpected end of hex escape"],
        ),
    ] {
        check_text(text, expected);
    }
}

#[test]
fn limits_are_told() {
    let refusal = |text: String| {
        Policy::parse(&default(), &text)
            .expect_err("too much")
            .to_string()
    };
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_json = format!("{{\"a\":{}{}}}", "[".repeat(50), "]".repeat(50));
    let lines = [
        refusal("#".repeat((1 << 20) + 1)),
        refusal("path \"a\" {}\n".repeat(4097)),
        refusal(format!("path \"{}\" {{}}", "+/".repeat(128))).replace(&"+/".repeat(128), "…"),
        refusal(deep),
        refusal(format!("a = [{}]", "{a=1},".repeat(12_288))),
        refusal(deep_json),
    ];
    expect![[r#"
        policy is larger than 1048576 bytes
        policy has more than 4096 rules
        path "…": more than 128 segments
        At 1:70: invalid nesting depth; expected at most 64 nested levels
        At 1:73730: more than 12288 assignments
        At 1:22: nested too deeply"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn the_built_in_policies_say_what_the_contract_says() {
    check_text(
        DEFAULT_POLICY_TEXT,
        expect![[r#"
        auth/token/lookup-self: read
        auth/token/renew-self: update
        auth/token/revoke-self: update
        sys/capabilities-self: update
        sys/internal/ui/resultant-acl: read
        identity/entity/id/{{identity.entity.id}}: read
        identity/entity/name/{{identity.entity.name}}: read
        sys/leases/renew: update
        sys/renew: update
        sys/leases/lookup: update
        cubbyhole/*: create+delete+list+read+update
        sys/wrapping/wrap: update
        sys/wrapping/lookup: update
        sys/wrapping/unwrap: update
        sys/tools/hash: update
        sys/tools/hash/*: update
        sys/control-group/request: update
        identity/oidc/provider/+/authorize: read+update"#]],
    );
    check_text(
        RESPONSE_WRAPPING_POLICY_TEXT,
        expect![[r#"
        cubbyhole/response: create+read
        sys/wrapping/unwrap: update"#]],
    );
}

// ---- Names --------------------------------------------------------------------------------------------------------

#[test]
fn names_have_one_spelling() {
    for raw in ["root", "ROOT", " Root\t", "rOOt\n"] {
        let name = PolicyName::parse(raw).expect("a name");
        assert!(name.as_str() == PolicyName::ROOT, "{raw:?}");
    }
    assert_eq!(
        PolicyName::parse("Team/App 1").expect("a name").as_str(),
        "team/app 1"
    );
    for (raw, error) in [
        ("", PolicyNameError::Empty),
        (" \u{3000}", PolicyNameError::Empty),
        ("a,root", PolicyNameError::Character),
        ("ro\u{200b}ot", PolicyNameError::Character),
        ("root\0", PolicyNameError::Character),
        ("\u{feff}root", PolicyNameError::Character),
        ("ro\u{ad}ot", PolicyNameError::Character),
        ("root\u{301}", PolicyNameError::Character),
        ("../root", PolicyNameError::Segment),
        ("root/", PolicyNameError::Segment),
        ("/root", PolicyNameError::Segment),
        ("./root", PolicyNameError::Segment),
    ] {
        assert_eq!(PolicyName::parse(raw), Err(error), "{raw:?}");
    }
    assert_eq!(
        PolicyName::parse(&"x".repeat(257)),
        Err(PolicyNameError::TooLong)
    );
}

/// Characters that look like, fold to or decompose to those of `root`, and some that vanish.
const LOOKALIKES: &[&[&str]] = &[
    &["r", "R", "ｒ", "Ｒ", "ʀ", "г", "ŕ", "🅁", "r\u{200d}"],
    &["o", "O", "0", "ο", "о", "º", "ö", "Ｏ", "\u{2060}o"],
    &["o", "O", "0", "ο", "о", "º", "ö", "Ｏ", "o\u{fe0f}"],
    &["t", "T", "ｔ", "Ｔ", "т", "τ", "ť", "t\u{301}", "t "],
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_not_spelled_root_in_ascii_is_never_root(
        picks in [0..9_usize, 0..9_usize, 0..9_usize, 0..9_usize],
        before in "[ \t\u{a0}\u{200b}]{0,2}",
        after in "[ \t\u{a0}\u{200b}]{0,2}",
    ) {
        let letters: String = LOOKALIKES.iter().zip(picks).map(|(looks, pick)| looks[pick]).collect();
        let raw = format!("{before}{letters}{after}");
        let is_root = raw.trim().eq_ignore_ascii_case("root");
        prop_assert_eq!(PolicyName::parse(&raw).is_ok_and(|name| name.as_str() == PolicyName::ROOT), is_root);
    }

    #[test]
    fn a_name_is_its_own_normal_form(raw in ".{0,12}") {
        if let Ok(name) = PolicyName::parse(&raw) {
            prop_assert_eq!(PolicyName::parse(name.as_str()), Ok(name));
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in r##"([ \n{}\[\],="#\\$/*<-]|path|"a"|capabilities|policy|read|deny|EOF|0x?1|é|\x00){0,24}"##) {
        let _outcome = Policy::parse(&default(), &text);
    }

    #[test]
    fn hcl_and_json_say_the_same(
        blanks in prop::collection::vec(
            prop::sample::select(vec![" ", "\n", "\r\n\t", " # }\n", "// \"\n", "/* { \" */", "/*\n*/"]),
            7,
        ),
        rules in prop::collection::vec(
            (r#"([a-c/+*"\\}é]|a\$\{|%?\{){0,6}"#, prop::sample::subsequence(vec!["create", "read", "deny", "list"], 0..4), 0..4_u32),
            0..4,
        ),
    ) {
        let quoted = |text: &str| Value::String(text.to_owned()).to_string();
        let mut hcl = String::new();
        let mut json = Vec::new();
        for (path, words, ttl) in &rules {
            let path = quoted(path);
            let words = Value::from(words.clone());
            let tokens = ["path", &path, "{", "capabilities =", &words.to_string(), "min_wrapping_ttl =", &ttl.to_string(), "}"];
            for (token, blank) in tokens.iter().zip(blanks.iter().cycle()) {
                hcl.push_str(token);
                hcl.push_str(blank);
            }
            json.push(format!("{path}:{{\"capabilities\":{words},\"min_wrapping_ttl\":{ttl}}}"));
        }
        let json = format!("{{\"path\":{{{}}}}}", json.join(","));
        let name = default();
        prop_assert_eq!(Policy::parse(&name, &hcl), Policy::parse(&name, &json));
    }
}

#[test]
fn capabilities_print_as_words() {
    let some = Capabilities::READ | Capabilities::LIST;
    assert_eq!(
        format!("{some:?} {:?}", Capabilities::NONE),
        "list+read deny"
    );
}
