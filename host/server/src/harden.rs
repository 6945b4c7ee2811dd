//! The process: what others on the machine may see of it, and how many files it may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits;

/// Closes what can be closed: no core dump and no debugger may read keys from memory, no file is
/// made for others to read, and no program that this one starts gains rights. What the system
/// refuses is given back as notes for the log, which is not there yet.
pub(crate) fn process() -> Vec<String> {
    let mut notes = Vec::new();
    let mut check = |what: &str, done: rustix::io::Result<()>| {
        if let Err(err) = done {
            notes.push(format!("{what}: {err}"));
        }
    };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    check(
        "core dumps cannot be switched off",
        setrlimit(Resource::Core, none),
    );
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        check(
            "memory cannot be closed to debuggers",
            set_dumpable_behavior(DumpableBehavior::NotDumpable),
        );
        check(
            "new privileges cannot be given up",
            rustix::thread::set_no_new_privs(true),
        );
    }
    // The soft limit is often 1,024 for the sake of `select`, which nothing here uses.
    let files = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    check(
        "the limit on open files cannot be raised",
        setrlimit(Resource::Nofile, all),
    );
    notes
}

/// Whether the system lets this process open what a server needs at least; otherwise how many files it may
/// open. Without this, libraries find out in the middle of their work.
pub(crate) fn enough_files() -> Result<(), u64> {
    match getrlimit(Resource::Nofile).current {
        Some(files) if files < limits::LEAST_FILES => Err(files),
        _ => Ok(()),
    }
}

/// How many connections may be open at a time: ours to choose, unless the system gives fewer files.
pub(crate) fn connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let reserved = limits::RESERVED_FILES.min(files / 2);
    (files - reserved).clamp(1, limits::CONNECTIONS)
}
