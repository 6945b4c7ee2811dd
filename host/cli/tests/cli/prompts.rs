//! Secrets typed on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Starts `operator unseal` with a terminal as its stdin, types `keys` once it asks, and returns what the terminal showed,
/// what the command said and its exit code.
fn check(keys: &[u8]) -> (String, String, Option<i32>) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the system has terminals");
    grantpt(&master).expect("a new terminal can be granted");
    unlockpt(&master).expect("a new terminal can be unlocked");
    let name = ptsname(&master, Vec::new()).expect("a terminal has a name");
    let slave = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("a terminal opens");
    let mut child: Child = Command::new(env!("CARGO_BIN_EXE_coffer"))
        .args(["operator", "unseal"])
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("VAULT_ADDR", "unix:///nonexistent/coffer.sock")
        .stdin(Stdio::from(slave))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");

    let mut stderr = child.stderr.take().expect("stderr is a pipe");
    let mut said = Vec::new();
    while !said.ends_with(b"(will be hidden): ") {
        let mut byte = [0];
        stderr.read_exact(&mut byte).expect("it asks");
        said.extend(byte);
    }
    let mut terminal = File::from(master);
    terminal.write_all(keys).expect("a terminal takes keys");
    stderr.read_to_end(&mut said).expect("it ends");
    let code = child.wait().expect("it ends").code();
    let mut shown = Vec::new();
    // Ends in an error when nobody holds the other side any more.
    let _ = terminal.read_to_end(&mut shown);
    (
        String::from_utf8_lossy(&shown).into_owned(),
        String::from_utf8_lossy(&said).into_owned(),
        code,
    )
}

#[test]
fn what_is_typed_is_not_shown() {
    let (shown, said, code) = check(b"c2VjcmV0\n");
    assert!(
        !shown.contains("c2VjcmV0") && !said.contains("c2VjcmV0"),
        "{shown}{said}"
    );
    assert!(said.contains("Error unsealing: Put"), "{said}");
    assert_eq!(code, Some(2));
}

#[test]
fn an_interrupted_prompt_ends_without_a_request() {
    let (_, said, code) = check(b"half\x03");
    assert_eq!(said, "Unseal Key (will be hidden): \nuser interrupted\n");
    assert_eq!(code, Some(1));
}
