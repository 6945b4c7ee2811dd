//! Tools and packages from registries, each in a folder of its own under `tools`, installed once
//! for what they are made of.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

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
    let stamp = stamp(pins, recipe)?;
    let lock = File::create(tools.join(name).with_extension("lock"))?;
    lock.lock()?;
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

/// Copies `from` into `folder`, under its own name.
pub(crate) fn copy_into(folder: &Path, from: &Path) -> Result<()> {
    let name = from
        .file_name()
        .with_context(|| format!("{} is no file", from.display()))?;
    fs::copy(from, folder.join(name)).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}

/// Need not resist anyone, only notice.
fn stamp(pins: &[&Path], recipe: &str) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    for pin in pins {
        let contents = fs::read(pin).with_context(|| format!("reading {}", pin.display()))?;
        contents.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
