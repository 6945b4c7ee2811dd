//! What a component asks for, read from its bytes before anything is compiled: no import, no power.
//! It is refused by the name of the import, with what mends it.

use host_logical::EngineError;
use wasmparser::{CanonicalFunction, CanonicalOption, Encoding, Parser, Payload};

use crate::imports;
use crate::limits;

/// What matters of a component that may run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// It imports some of WASI 0.2.
    pub(crate) wants_wasi: bool,
}

/// Reads the imports and exports of `wasm`, and refuses what this host does not offer.
pub(crate) fn admit(wasm: &[u8]) -> Result<Admitted, EngineError> {
    if wasm.len() > limits::COMPONENT_BYTES {
        return Err(refuse(format!(
            "it has {} bytes, of {} at most",
            wasm.len(),
            limits::COMPONENT_BYTES
        )));
    }
    let outline = Outline::read(wasm)?;
    let mut wants_wasi = false;
    for import in &outline.imports {
        wants_wasi |= check_import(import)?;
    }
    for wanted in ["metadata", "backend"] {
        let exported = outline
            .exports
            .iter()
            .filter_map(|export| Interface::parse(export))
            .any(|export| export.is_engine() && export.name == wanted);
        if !exported {
            return Err(refuse(format!(
                "it does not export coffer:engine/{wanted}@0.1.0: build it against a world of wit/engine.wit"
            )));
        }
    }
    Ok(Admitted { wants_wasi })
}

/// Whether the import is one of WASI's, if it may be there at all.
fn check_import(import: &str) -> Result<bool, EngineError> {
    let Some(interface) = Interface::parse(import) else {
        return Err(refuse(format!(
            "it imports {import}, which this host does not know: an engine imports interfaces of wit/engine.wit"
        )));
    };
    if interface.package == "coffer:engine" {
        if !interface.is_engine() {
            return Err(refuse(format!(
                "it imports {import}, and this host speaks version 0.1: build it against wit/engine.wit of this release"
            )));
        }
        if imports::OFFERED.contains(&interface.name) {
            return Ok(false);
        }
        if imports::NOT_YET.contains(&interface.name) {
            return Err(refuse(format!(
                "it imports {import}, which this host does not offer yet: build it against a world without {}",
                interface.name
            )));
        }
    }
    if let Some(package) = interface.package.strip_prefix("wasi:") {
        if imports::WASI.contains(&package) && interface.version.starts_with("0.2.") {
            return Ok(true);
        }
        return Err(refuse(format!(
            "it imports {import}, which no engine is given: build it without (Rust: target wasm32-unknown-unknown; Python: --stub-wasi; JavaScript: disable http and fetch-event)"
        )));
    }
    Err(refuse(format!(
        "it imports {import}, which this host does not know: an engine imports interfaces of wit/engine.wit"
    )))
}

/// `coffer:engine/storage@0.1.0`.
struct Interface<'a> {
    package: &'a str,
    name: &'a str,
    version: &'a str,
}

impl<'a> Interface<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (path, version) = text.split_once('@')?;
        let (package, name) = path.split_once('/')?;
        Some(Self {
            package,
            name,
            version,
        })
    }

    /// Of our package, in a version that this host links.
    fn is_engine(&self) -> bool {
        self.package == "coffer:engine" && self.version.starts_with("0.1.")
    }
}

/// The names at the border of a component.
struct Outline {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Outline {
    fn read(wasm: &[u8]) -> Result<Self, EngineError> {
        let malformed = |error: wasmparser::BinaryReaderError| {
            refuse(format!("it is not a WebAssembly component: {error}"))
        };
        let mut outline = Self {
            imports: Vec::new(),
            exports: Vec::new(),
        };
        // Components hold modules and components; only the names of the outermost count.
        let mut depth = 0usize;
        let mut parts = 0usize;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(malformed)? {
                Payload::Version { encoding, .. } => {
                    if depth == 0 && encoding == Encoding::Module {
                        return Err(refuse(
                            "it is a core module: make it a component, such as with `wasm-tools component new`".to_owned(),
                        ));
                    }
                    if parts > limits::COMPONENT_PARTS {
                        return Err(refuse(format!(
                            "it has more than {} modules and components inside",
                            limits::COMPONENT_PARTS
                        )));
                    }
                    parts += 1;
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section {
                        let import = import.map_err(malformed)?;
                        outline.imports.push(import.name.name.to_owned());
                    }
                }
                // At any depth: components inside pass texts to each other, and what transcodes
                // between two encodings has written out of bounds before (RUSTSEC-2026-0091).
                Payload::ComponentCanonicalSection(section) => {
                    for function in section {
                        check_texts(&function.map_err(malformed)?)?;
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section {
                        let export = export.map_err(malformed)?;
                        outline.exports.push(export.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(outline)
    }
}

/// Texts cross the border as UTF-8 and in no other way.
fn check_texts(function: &CanonicalFunction) -> Result<(), EngineError> {
    let (CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. }) =
        function
    else {
        return Ok(());
    };
    let other = options.iter().find_map(|option| match option {
        CanonicalOption::UTF16 => Some("UTF-16"),
        CanonicalOption::CompactUTF16 => Some("Latin-1 or UTF-16"),
        _ => None,
    });
    match other {
        Some(encoding) => Err(refuse(format!(
            "its texts are {encoding}: build it with UTF-8 (`wasm-tools component embed --encoding utf8`)"
        ))),
        None => Ok(()),
    }
}

fn refuse(why: String) -> EngineError {
    EngineError::Load(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORTS: &str = r#"
        (instance $i)
        (export "coffer:engine/metadata@0.1.0" (instance $i))
        (export "coffer:engine/backend@0.1.0" (instance $i))"#;

    fn check(text: &str) -> Result<Admitted, String> {
        let wasm = wat::parse_str(text).unwrap();
        admit(&wasm).map_err(|error| error.to_string())
    }

    fn importing(name: &str) -> Result<Admitted, String> {
        check(&format!(
            r#"(component (import "{name}" (instance)) {EXPORTS})"#
        ))
    }

    #[test]
    fn an_import_is_offered_or_refused_by_name() {
        for (name, wants_wasi) in [
            ("coffer:engine/storage@0.1.0", false),
            ("coffer:engine/log@0.1.7", false),
            ("wasi:io/poll@0.2.6", true),
            ("wasi:filesystem/preopens@0.2.12", true),
        ] {
            assert_eq!(importing(name), Ok(Admitted { wants_wasi }), "{name}");
        }
        for (name, says) in [
            (
                "coffer:engine/sql@0.1.0",
                "which this host does not offer yet: build it against a world without sql",
            ),
            (
                "coffer:engine/reveal@0.1.0",
                "which this host does not offer yet",
            ),
            (
                "coffer:engine/storage@0.2.0",
                "this host speaks version 0.1",
            ),
            (
                "coffer:engine/telepathy@0.1.0",
                "which this host does not know",
            ),
            ("wasi:sockets/tcp@0.2.6", "which no engine is given"),
            (
                "wasi:http/outgoing-handler@0.2.6",
                "which no engine is given",
            ),
            ("wasi:io/poll@0.3.0", "which no engine is given"),
            ("acme:tools/shell@1.0.0", "which this host does not know"),
            ("shell", "which this host does not know"),
        ] {
            let refused = importing(name).unwrap_err();
            assert!(
                refused.contains(&format!("it imports {name}, ")),
                "{refused}"
            );
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn what_is_no_engine_is_refused() {
        assert!(
            check("(module)")
                .unwrap_err()
                .contains("it is a core module")
        );
        assert!(
            check("(component)")
                .unwrap_err()
                .contains("does not export coffer:engine/metadata@0.1.0")
        );
        assert!(admit(b"").is_err());
        assert!(admit(b"\0asm\r\0\x01\0\x07\xff").is_err());
        assert!(admit(&[0x42; 64]).is_err());
    }

    #[test]
    fn names_inside_the_component_do_not_count() {
        let inner = format!(r#"(component (component (import "shell" (instance)) {EXPORTS}))"#);
        assert!(check(&inner).unwrap_err().contains("does not export"));
    }
}
