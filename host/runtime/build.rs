//! Builds the engines in `engines/` for WebAssembly and makes components of them, for
//! `src/embedded.rs` to embed.
//!
//! They are built by a cargo of their own in a directory of its own, `engines/` under the target
//! directory: in the same one it would wait for the lock that the outer cargo holds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use wit_component::ComponentEncoder;

/// Folders of `engines/`.
const ENGINES: &[&str] = &["kv"];
const TARGET: &str = "wasm32-unknown-unknown";

fn main() {
    let root = PathBuf::from(set("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(set("OUT_DIR"));
    for source in ["wit", "sdk/rust", "engines", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    // <target>/<profile>/build/<package>/out
    let target = out
        .ancestors()
        .nth(4)
        .expect("OUT_DIR lies in a target directory");
    let target = target.join("engines");

    require_target();
    build(&root, &target);
    for engine in ENGINES {
        let module = target
            .join(TARGET)
            .join(format!("engine/engines_{engine}.wasm"));
        let component = encode(&module);
        fs::write(out.join(format!("{engine}.wasm")), component).expect("OUT_DIR can be written");
    }
}

/// A missing target is a common state of a fresh machine, and its own error message is long.
fn require_target() {
    let output = Command::new(set("RUSTC"))
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .expect("rustc runs");
    let libdir = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !Path::new(libdir.trim()).is_dir() {
        fail(&format!(
            "the engines need the target {TARGET}: run `rustup target add {TARGET}`"
        ));
    }
}

fn build(root: &Path, target: &Path) {
    let mut cargo = Command::new(set("CARGO"));
    // What the outer cargo said about the host does not hold for WebAssembly: its flags, its
    // wrappers (clippy is one), its target. Paths are left out of panic messages: the same source
    // gives the same component everywhere.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let is_ours = [
            "CARGO_CFG_",
            "CARGO_FEATURE_",
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_PROFILE_",
            "CARGO_TARGET_",
            "CARGO_BUILD_",
            "DEP_",
            "RUSTC",
            "RUSTFLAGS",
            "RUSTDOC",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix));
        if is_ours {
            cargo.env_remove(name);
        }
    }
    let mut flags = vec![remap(root, "")];
    if let Some(home) = env::var_os("CARGO_HOME") {
        flags.push(remap(Path::new(&home), "cargo"));
    } else if let Some(home) = env::var_os("HOME") {
        flags.push(remap(&Path::new(&home).join(".cargo"), "cargo"));
    }
    cargo
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--profile",
            "engine",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(target);
    for engine in ENGINES {
        cargo.args(["-p", &format!("engines-{engine}")]);
    }
    let status = cargo.status().expect("cargo runs");
    if !status.success() {
        fail("the engines did not build; their errors are above");
    }
}

fn remap(from: &Path, to: &str) -> String {
    let from = fs::canonicalize(from).unwrap_or_else(|_| from.to_owned());
    format!("--remap-path-prefix={}={to}", from.display())
}

fn encode(module: &Path) -> Vec<u8> {
    let component = fs::read(module)
        .map_err(Into::into)
        .and_then(|module| ComponentEncoder::default().module(&module))
        .and_then(|encoder| encoder.validate(true).encode());
    match component {
        Ok(component) => component,
        Err(error) => fail(&format!(
            "{} makes no component: {error:?}",
            module.display()
        )),
    }
}

fn set(name: &str) -> std::ffi::OsString {
    env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name} for build scripts"))
}

fn fail(why: &str) -> ! {
    println!("cargo::error={why}");
    std::process::exit(1);
}
