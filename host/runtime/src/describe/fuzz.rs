//! Whatever an engine says of itself, routes, help and forms can be made of what is taken.

use std::collections::BTreeSet;

use tests_fuzz::{Source, Verdict, fuzz};

use super::*;

const WORDS: &str = "\
    name version help path operation field default allowed login trait read create list \
    {name} {path...} { } {} {...} ... / // . .. a roles data \n \0 null [ \" {\"a\":1} 1e999";

/// The input is a recipe, a line for each part: engines describe themselves in records, not in bytes.
#[test]
fn a_description_that_is_taken_can_be_worked_with() {
    let source = Source {
        target: "description",
        seeds: Vec::new(),
        words: WORDS,
    };
    fuzz(source, |input| {
        let taken = description(
            EngineKind::Secrets,
            described(&String::from_utf8_lossy(input)),
        );
        match &taken {
            Ok(taken) => check_taken(taken),
            Err(error) => assert!(matches!(error, EngineError::Malformed(_)), "{error}"),
        }
        Verdict::of(&taken)
    });
}

fn described(recipe: &str) -> wit::Description {
    let mut all = wit::Description {
        name: "fuzz".to_owned(),
        version: "v1".to_owned(),
        type_: wit::EngineType::Secrets,
        help: String::new(),
        paths: Vec::new(),
        storage_version: 1,
    };
    for line in recipe.split('\n') {
        let (part, text) = line.split_once(' ').unwrap_or((line, ""));
        let text = text.to_owned();
        match (part, all.paths.last_mut()) {
            ("name", _) => all.name = text,
            ("version", _) => all.version = text,
            ("path", _) => all.paths.push(wit::Path {
                pattern: text,
                traits: vec![wit::PathTrait::ExistenceCheck],
                operations: Vec::new(),
                fields: Vec::new(),
                help: String::new(),
                login_name: None,
            }),
            ("help", None) => all.help = text,
            ("help", Some(path)) => path.help = text,
            ("login", Some(path)) => path.login_name = Some(text),
            ("operation", Some(path)) => path.operations.push(wit::OperationHelp {
                operation: if text == "list" {
                    types::Operation::List
                } else {
                    types::Operation::Read
                },
                summary: text,
                returns: Vec::new(),
            }),
            ("field", Some(path)) => path.fields.push(wit::Field {
                name: text,
                type_: wit::FieldType::Text,
                description: String::new(),
                required: false,
                default: None,
                allowed: Vec::new(),
                secret: false,
            }),
            ("default", Some(path)) => {
                path.fields
                    .iter_mut()
                    .next_back()
                    .into_iter()
                    .for_each(|field| field.default = Some(text.clone().into()));
            }
            ("allowed", Some(path)) => {
                path.fields
                    .iter_mut()
                    .next_back()
                    .into_iter()
                    .for_each(|field| field.allowed.push(text.clone()));
            }
            _ => {}
        }
    }
    all
}

fn check_taken(taken: &Description) {
    assert!(!taken.name.is_empty() && taken.name.len() <= limits::NAME_BYTES);
    assert!(taken.paths.len() <= limits::PATHS);
    let mut shapes = BTreeSet::new();
    for path in &taken.paths {
        let segments: Vec<&str> = path
            .pattern
            .split('/')
            .filter(|_| !path.pattern.is_empty())
            .collect();
        assert!(
            segments
                .iter()
                .all(|segment| !matches!(*segment, "" | "." | "..")),
            "{:?}",
            path.pattern
        );
        let open = segments
            .iter()
            .position(|segment| segment.ends_with("...}"));
        assert!(
            open.is_none_or(|at| at + 1 == segments.len()),
            "{:?}",
            path.pattern
        );
        let shape: Vec<&str> = segments
            .iter()
            .map(
                |segment| match (segment.starts_with('{'), segment.ends_with("...}")) {
                    (true, true) => "*",
                    (true, false) => "+",
                    (false, _) => segment,
                },
            )
            .collect();
        assert!(
            shapes.insert(shape.join("/")),
            "two paths match the same: {:?}",
            path.pattern
        );
        assert!(!path.operations.is_empty());
        let names: BTreeSet<&str> = path
            .fields
            .iter()
            .map(|field| field.name.as_str())
            .collect();
        assert_eq!(names.len(), path.fields.len());
        assert!(
            path.fields
                .iter()
                .all(|field| !field.name.is_empty() && !field.name.contains(char::is_control))
        );
        if let Some(name) = &path.login_name {
            assert!(names.contains(name.as_str()) || path.pattern.contains(name.as_str()));
        }
    }
}
