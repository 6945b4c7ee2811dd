//! Builds the friendly guests of `tests/guests`: one small engine for each language that we say
//! compiles to a component, so that a change of `wit/engine.wit` shows in all of them.
//!
//! Toolchains come from each language's own registry, pinned by files beside the sources, and are
//! kept under `tools`; nothing is installed for the machine. Needed beforehand: Rust, Go, Python 3
//! with `venv`, Node with `npm`. Bindings for C and Go are made in this process, from the same
//! crates that the `wit-bindgen` command is made of.
//!
//! A guest is built again only when something it is made of has changed: the WIT, its sources,
//! its pins, or this file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use wasi_preview1_component_adapter_provider as wasi_adapter;
use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::shell::repository;
use crate::tools::{copy, copy_tree, install, lock, stamp};

/// A toolchain, and the notes engine built with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// CPython, by componentize-py.
    Python,
    /// JavaScript on SpiderMonkey, by componentize-js.
    JavaScriptSpiderMonkey,
    /// The same source on QuickJS, by componentize-qjs.
    JavaScriptQuickJs,
    /// The stock Go compiler, by wit-bindgen-go and the preview 1 adapter.
    Go,
    /// C, by wit-bindgen-c and the clang that comes with zig.
    C,
}

impl Guest {
    /// Every one of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Python,
        Self::JavaScriptSpiderMonkey,
        Self::JavaScriptQuickJs,
        Self::Go,
        Self::C,
    ];

    /// The name of its file, without `.wasm`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python => "notes-python",
            Self::JavaScriptSpiderMonkey => "notes-javascript-spidermonkey",
            Self::JavaScriptQuickJs => "notes-javascript-quickjs",
            Self::Go => "notes-go",
            Self::C => "notes-c",
        }
    }

    /// What it answers for `language`, and the folder of its sources.
    pub(crate) fn language(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScriptSpiderMonkey | Self::JavaScriptQuickJs => "javascript",
            Self::Go => "go",
            Self::C => "c",
        }
    }
}

/// Makes `out_dir/<name>.wasm` and says where it is; does nothing if it is there and up to date.
/// Several processes may ask for the same guest at once: one builds, the others wait.
pub(crate) fn build(guest: Guest, out_dir: &Path, tools: &Path) -> Result<PathBuf> {
    let repository = repository();
    let sources = repository.join("tests/guests").join(guest.language());
    let engine_wit = repository.join("wit/engine.wit");
    let world_wit = repository.join("tests/guests/wit/notes.wit");

    fs::create_dir_all(out_dir)?;
    let out_dir = &out_dir.canonicalize()?;
    let component = out_dir.join(guest.name()).with_extension("wasm");
    let stamp_file = out_dir.join(guest.name()).with_extension("stamp");
    let stamp = stamp(
        include_str!("guests.rs"),
        &[&sources, &engine_wit, &world_wit],
    )?;

    let _lock = lock(out_dir, guest.name())?;
    if component.exists() && fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        return Ok(component);
    }

    // A fresh folder each time: bindings of an earlier WIT must not be compiled in.
    let work = out_dir.join("build").join(guest.name());
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let wit = work.join("wit");
    copy(&world_wit, &wit.join("notes.wit"))?;
    copy(&engine_wit, &wit.join("deps/coffer-engine/engine.wit"))?;
    fs::create_dir_all(tools)?;
    let workshop = Workshop {
        sources,
        tools: tools.canonicalize()?,
        made: work.join("made.wasm"),
        wit,
        work,
    };
    match guest {
        Guest::Python => workshop.python(),
        Guest::JavaScriptSpiderMonkey => workshop.javascript_spidermonkey(),
        Guest::JavaScriptQuickJs => workshop.javascript_quickjs(),
        Guest::Go => workshop.go(),
        Guest::C => workshop.c(),
    }
    .with_context(|| format!("building the guest {}", guest.name()))?;

    fs::rename(&workshop.made, &component)?;
    fs::write(&stamp_file, stamp)?;
    Ok(component)
}

/// Where one guest is made. Paths are absolute: each command runs in its own folder.
struct Workshop {
    sources: PathBuf,
    tools: PathBuf,
    work: PathBuf,
    /// `notes.wit`, with the engine's package under `deps`.
    wit: PathBuf,
    /// The component that comes out.
    made: PathBuf,
}

impl Workshop {
    fn python(&self) -> Result<()> {
        let venv = self.python_packages("guest-python")?;
        // A copy: the sources are imported while the component is made, which leaves `__pycache__`.
        let app = self.work.join("app");
        copy_tree(&self.sources, &app)?;
        // Without WASI: an engine has the host's clock and randomness or none.
        run(Command::new(venv.join("bin/componentize-py"))
            .current_dir(app)
            .arg("--wit-path")
            .arg(&self.wit)
            .args(["--world", "notes", "componentize", "--stub-wasi", "notes"])
            .arg("--output")
            .arg(&self.made))
    }

    fn javascript_spidermonkey(&self) -> Result<()> {
        let bin = self.node_packages()?;
        let mut command = Command::new(bin.join("componentize-js"));
        command.arg(self.sources.join("notes.js"));
        command.arg("--wit").arg(&self.wit);
        command.args(["--world-name", "notes"]);
        // Each is a WASI import that an engine has no use for.
        for feature in ["stdio", "random", "clocks", "http", "fetch-event"] {
            command.args(["--disable", feature]);
        }
        run(command.arg("--out").arg(&self.made))
    }

    fn javascript_quickjs(&self) -> Result<()> {
        let bin = self.node_packages()?;
        // `--sync`: the other runtime speaks the asynchronous ABI, which the host has off.
        run(Command::new(bin.join("componentize-qjs"))
            .arg("--wit")
            .arg(&self.wit)
            .args(["--world", "notes", "--sync", "--stub-wasi", "--opt-size"])
            .arg("--js")
            .arg(self.sources.join("notes.js"))
            .arg("--output")
            .arg(&self.made))
    }

    fn go(&self) -> Result<()> {
        let module = self.work.join("module");
        let (resolve, world) = self.resolve()?;
        let options = wit_bindgen_go::Opts {
            format: wit_bindgen_go::Format::False,
            ..Default::default()
        };
        self.bindings(options.build(), &mut resolve.clone(), world, &module)?;
        // Ours last: its go.mod names a release of the support package that can be had.
        copy_tree(&self.sources, &module)?;

        let core = self.work.join("core.wasm");
        run(Command::new("go")
            .current_dir(&module)
            .env("GOOS", "wasip1")
            .env("GOARCH", "wasm")
            .env("GOTOOLCHAIN", "local")
            // The bindings reach `runtime.sbrk` by name, which the linker refuses otherwise.
            .args([
                "build",
                "-buildmode=c-shared",
                "-trimpath",
                "-buildvcs=false",
            ])
            .arg("-ldflags=-s -w -checklinkname=0")
            .arg("-o")
            .arg(&core)
            .arg("."))?;

        let mut core = fs::read(core)?;
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8)?;
        self.component(&core)
    }

    fn c(&self) -> Result<()> {
        let venv = self.python_packages("guest-c")?;
        let generated = self.work.join("generated");
        let (mut resolve, world) = self.resolve()?;
        let options = wit_bindgen_c::Opts::default();
        self.bindings(options.build(), &mut resolve, world, &generated)?;

        let core = self.work.join("core.wasm");
        run(Command::new(venv.join("bin/python"))
            .current_dir(&self.work)
            .env("ZIG_GLOBAL_CACHE_DIR", self.tools.join("zig-cache"))
            .env("ZIG_LOCAL_CACHE_DIR", self.work.join("zig-cache"))
            .args(["-m", "ziglang", "cc", "-target", "wasm32-wasi"])
            .args(["-mexec-model=reactor", "-std=c17", "-Os"])
            .args(["-Wall", "-Wextra", "-Werror", "-Wl,--strip-all"])
            // The host zeroes the memory after each call, and zig would have a stack of 16 MiB.
            .arg("-Wl,-z,stack-size=65536")
            .arg("-I")
            .arg(&generated)
            .arg(self.sources.join("notes.c"))
            .arg(generated.join("notes.c"))
            .arg(generated.join("notes_component_type.o"))
            .arg("-o")
            .arg(&core))?;
        self.component(&fs::read(core)?)
    }

    fn resolve(&self) -> Result<(Resolve, WorldId)> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(&self.wit)?;
        let world = resolve.select_world(&[package], Some("notes"))?;
        Ok((resolve, world))
    }

    fn bindings(
        &self,
        mut generator: Box<dyn WorldGenerator>,
        resolve: &mut Resolve,
        world: WorldId,
        folder: &Path,
    ) -> Result<()> {
        let mut files = Files::default();
        generator.generate(resolve, world, &mut files)?;
        for (name, contents) in files.iter() {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
            fs::write(path, contents)?;
        }
        Ok(())
    }

    /// Wraps a core module. The adapter is linked only where the module asks for preview 1.
    fn component(&self, core: &[u8]) -> Result<()> {
        let component = ComponentEncoder::default()
            .module(core)?
            .adapter(
                wasi_adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                wasi_adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )?
            .validate(true)
            .encode()?;
        Ok(fs::write(&self.made, component)?)
    }

    /// A virtual environment with what `requirements.txt` pins.
    fn python_packages(&self, name: &str) -> Result<PathBuf> {
        let pins = self.sources.join("requirements.txt");
        install(&self.tools, name, &[&pins], name, |folder| {
            run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
            run(Command::new(folder.join("bin/python"))
                .args(["-m", "pip", "install", "--quiet"])
                .args(["--disable-pip-version-check", "--requirement"])
                .arg(&pins))
        })
    }

    /// The commands of the packages that `package-lock.json` pins.
    fn node_packages(&self) -> Result<PathBuf> {
        let manifest = self.sources.join("package.json");
        let pins = self.sources.join("package-lock.json");
        let folder = install(
            &self.tools,
            "guest-javascript",
            &[&manifest, &pins],
            "guest-javascript",
            |folder| {
                copy(&manifest, &folder.join("package.json"))?;
                copy(&pins, &folder.join("package-lock.json"))?;
                run(Command::new("npm").current_dir(folder).args([
                    "ci",
                    "--no-audit",
                    "--no-fund",
                    "--loglevel=error",
                ]))
            },
        )?;
        Ok(folder.join("node_modules/.bin"))
    }
}

/// Runs to the end, quietly: what it printed is shown only if it failed.
fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("{program} cannot be started: is it installed?"))?;
    ensure!(
        output.status.success(),
        "{program} failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Ok(())
}
