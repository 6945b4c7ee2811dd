//! Tools and packages from registries, each in a folder of its own under `tools`, installed once
//! for what they are made of.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell::run;

/// Fills `tools/<name>` by `fill`, unless that was done from the same `pins` by the same `recipe`,
/// which is the source text of who calls. Of several processes one installs and the others wait.
pub(crate) fn install(
    tools: &Path,
    name: &str,
    pins: &[&Path],
    recipe: &str,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    fs::create_dir_all(tools)?;
    // Absolute: what is installed is used from other folders.
    let tools = tools.canonicalize()?;
    let folder = tools.join(name);
    let stamp_file = folder.join("installed.stamp");
    let stamp = stamp(recipe, pins)?;
    let _lock = lock(&tools, name)?;
    if fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    fill(&folder).with_context(|| format!("installing {name}"))?;
    // Written last: an installation that was broken off is done again.
    fs::write(stamp_file, stamp)?;
    Ok(folder)
}

/// A Python of its own in `folder`, with the packages that `pins` lists.
pub(crate) fn python_packages(folder: &Path, pins: &Path) -> Result<()> {
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    run(Command::new(folder.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet"])
        .arg("--disable-pip-version-check")
        // All that is installed is pinned: nothing comes along unseen.
        .args(["--no-deps", "--requirement"])
        .arg(pins))
}

/// Held until dropped; the file stays, empty.
pub(crate) fn lock(folder: &Path, name: &str) -> Result<File> {
    let file = File::create(folder.join(name).with_extension("lock"))?;
    file.lock()?;
    Ok(file)
}

/// Stands for the `recipe`, and for the names and contents of `inputs`, folders with all that is in
/// them. It need not resist anyone, only notice.
pub(crate) fn stamp(recipe: &str, inputs: &[&Path]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    for input in inputs {
        for file in files_under(input)? {
            file.hash(&mut hasher);
            fs::read(&file)
                .with_context(|| format!("reading {}", file.display()))?
                .hash(&mut hasher);
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// `path` itself if it is a file; in a steady order.
fn files_under(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut children = fs::read_dir(path)
        .with_context(|| format!("reading {}", path.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    children.sort();
    let mut files = Vec::new();
    for child in &children {
        files.extend(files_under(child)?);
    }
    Ok(files)
}

/// A folder with all that is in it.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    for file in files_under(from)? {
        copy(&file, &to.join(file.strip_prefix(from)?))?;
    }
    Ok(())
}

/// One file, to the name `to`, whose folder is made.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}
