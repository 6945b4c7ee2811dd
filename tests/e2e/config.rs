//! Configuration: the example starts, and what is wrong is said before anything is touched.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::{TestVault, coffer};

/// Starts a server that is not expected to come up.
fn fails(directory: &Path, config: &str) -> Output {
    let file = directory.join("coffer.hcl");
    std::fs::write(&file, config).expect("a configuration");
    Command::new(coffer())
        .arg("server")
        .arg(format!("-config={}", file.display()))
        .output()
        .expect("it starts and ends")
}

fn says(output: &Output) -> String {
    assert!(!output.status.success(), "it came up");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_example_configuration_starts_a_server() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../coffer.hcl");
    let example = std::fs::read_to_string(example).expect("the example");
    let directory = TempDir::new().expect("a directory");
    let data = directory.path().join("data").display().to_string();
    assert!(example.contains("/var/lib/coffer") && example.contains("127.0.0.1:8200"));
    let config = example
        .replace("/var/lib/coffer", &data)
        .replace("127.0.0.1:8200", "127.0.0.1:0");
    let vault = TestVault::start_from(directory, &config);
    assert_eq!(vault.client("").get("sys/init").body["initialized"], false);
}

#[test]
fn a_bad_configuration_is_named_with_its_line() {
    let directory = TempDir::new().expect("a directory");
    let cases = [
        ("storage \"inmem\" {}\nlistner \"tcp\" {}\n", "listener"),
        ("storage \"raft\" { path = \"x\" }\n", "redb"),
        ("storage \"inmem\" {\n", "coffer.hcl"),
        (
            "storage \"inmem\" {}\nlistener \"tcp\" {\n address = \"nonsense\"\n tls_disable = true\n}\n",
            "nonsense",
        ),
        (
            "storage \"inmem\" {}\nlistener \"tcp\" {}\n",
            "tls_disable = true",
        ),
    ];
    for (config, mentions) in cases {
        let said = says(&fails(directory.path(), config));
        assert!(said.contains(mentions), "{config}\n{said}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let (vault, _root) = TestVault::ready();
    let directory = TempDir::new().expect("a directory");
    let config = format!(
        "storage \"inmem\" {{}}\nlistener \"tcp\" {{\n address = \"{}\"\n tls_disable = true\n}}\n",
        vault.address()
    );
    let said = says(&fails(directory.path(), &config));
    assert!(said.contains(vault.address()), "{said}");
}

#[test]
fn a_second_server_on_the_same_file_is_refused() {
    let (vault, root) = TestVault::ready();
    let config = format!(
        "storage \"redb\" {{ path = {:?} }}\nlistener \"tcp\" {{\n address = \"127.0.0.1:0\"\n tls_disable = true\n}}\n",
        vault.directory().join("data")
    );
    let directory = TempDir::new().expect("a directory");
    let said = says(&fails(directory.path(), &config));
    assert!(said.contains("another process"), "{said}");
    assert_eq!(root.get("sys/mounts").status, 200);
}

#[test]
fn a_foreign_file_is_left_as_it_is() {
    let directory = TempDir::new().expect("a directory");
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("made");
    let foreign = b"this is somebody's file".repeat(1000);
    let file = data.join("coffer.redb");
    std::fs::write(&file, &foreign).expect("written");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).expect("set");
    let config = format!(
        "storage \"redb\" {{ path = {data:?} }}\nlistener \"tcp\" {{\n address = \"127.0.0.1:0\"\n tls_disable = true\n}}\n"
    );
    let said = says(&fails(directory.path(), &config));
    assert!(said.contains("coffer.redb"), "{said}");
    assert_eq!(std::fs::read(&file).expect("still there"), foreign);
}

#[test]
fn the_file_is_for_its_owner_alone() {
    let (vault, _root) = TestVault::ready();
    let file = vault.directory().join("data/coffer.redb");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(file).expect("there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn names_and_values_are_not_in_the_file() {
    let (vault, root) = TestVault::with_kv();
    root.put(
        "secret/data/canary-name",
        serde_json::json!({"data": {"canary-field": "canary-value"}}),
    );
    root.put(
        "sys/policies/acl/canary-policy",
        serde_json::json!({"policy": "path \"canary-path\" { capabilities = [\"read\"] }"}),
    );
    let data = vault.directory().join("data");
    let files = ["coffer.redb", "coffer.journal"];
    let file = files.map(|name| std::fs::read(data.join(name)).expect("the file"));
    let file = file.concat();
    for canary in [
        "canary-name",
        "canary-field",
        "canary-value",
        "canary-policy",
        "canary-path",
    ] {
        assert!(
            !file
                .windows(canary.len())
                .any(|window| window == canary.as_bytes()),
            "{canary}"
        );
    }
}
