//! The description of a native engine, in as few words as it takes.

use host_logical::{
    Description, EngineKind, Field, FieldType, Operation, OperationHelp, PathDescription, PathTrait,
};

/// A secrets engine or an auth method that is part of the host.
pub(super) fn engine(
    name: &str,
    kind: EngineKind,
    help: &str,
    paths: Vec<PathDescription>,
) -> Description {
    Description {
        name: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kind,
        help: help.to_owned(),
        paths,
        storage_version: 1,
    }
}

/// A path that serves `operations`.
pub(super) fn path(pattern: &str, help: &str, operations: &[Operation]) -> PathDescription {
    let operations = operations.iter().map(|operation| OperationHelp {
        operation: *operation,
        summary: help.to_owned(),
        returns: Vec::new(),
    });
    PathDescription {
        pattern: pattern.to_owned(),
        traits: Vec::new(),
        operations: operations.collect(),
        fields: Vec::new(),
        help: help.to_owned(),
        login_name: None,
    }
}

/// What makes a path more than its pattern.
pub(super) trait Describe: Sized {
    fn with(self, path_trait: PathTrait) -> Self;
    fn fields(self, field_type: FieldType, names: &[&str]) -> Self;
    fn field(self, name: &str, field_type: FieldType, description: &str) -> Self;
}

impl Describe for PathDescription {
    fn with(mut self, path_trait: PathTrait) -> Self {
        self.traits.push(path_trait);
        self
    }

    fn fields(mut self, field_type: FieldType, names: &[&str]) -> Self {
        for name in names {
            self = self.field(name, field_type, "");
        }
        self
    }

    fn field(mut self, name: &str, field_type: FieldType, description: &str) -> Self {
        self.fields.push(Field {
            name: name.to_owned(),
            field_type,
            description: description.to_owned(),
            required: false,
            default: None,
            allowed: Vec::new(),
            secret: false,
        });
        self
    }
}
