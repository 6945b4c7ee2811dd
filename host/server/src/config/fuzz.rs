//! Any text is a configuration or an error that names its line, and none leaves a server more open than it says.

use std::path::Path;

use tests_fuzz::{Source, Verdict, fuzz};

use super::{Config, ConfigError, DEFAULT_ADDRESS, Listener};
use crate::limits;

const WORDS: &str = "\
    listener storage seal \"tcp\" \"unix\" \"redb\" \"inmem\" \"static\" \"shamir\" address \
    tls_disable tls_cert_file tls_key_file tls_min_version \"tls13\" socket_mode \"0660\" \
    path current_key env://HOME file:///nowhere default_lease_ttl max_lease_ttl log_level \
    log_format api_addr telemetry ui disable_mlock tls_client_ca_file proxy_protocol_behavior \
    true false null 1 0 -1 1e9 \"768h\" { } [ ] = : , \" \\\" ${ $${ %{ <<EOT\n EOT\n # // /* \
    */ \r\n \"127.0.0.1:8200\" [::1]:8200 f( )";

#[test]
fn a_configuration_is_closed_where_it_says_so_or_its_error_names_a_line() {
    let source = Source {
        target: "config",
        seeds: Vec::new(),
        words: WORDS,
    };
    fuzz(source, |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return Verdict::Refused;
        };
        check_hides_key(text);
        let config = Config::parse(Path::new("fuzz.hcl"), text);
        match &config {
            Ok(config) => check(text, config),
            Err(error) => check_error(text, error),
        }
        Verdict::of(&config)
    });
}

fn check(text: &str, config: &Config) {
    assert!(!config.listeners.is_empty(), "there is a way in");
    assert!(config.default_lease_ttl <= config.max_lease_ttl);
    assert!((1..=limits::LEASE_SECONDS).contains(&config.max_lease_ttl));
    let is_default = config
        .notes
        .iter()
        .any(|note| note.starts_with("no listener"));
    for listener in &config.listeners {
        match listener {
            Listener::Tcp { address, tls: None } => assert!(
                text.contains("tls_disable") || (is_default && address == DEFAULT_ADDRESS),
                "plain HTTP that nobody asked for"
            ),
            Listener::Tcp { .. } => {}
            Listener::Unix { mode, .. } => assert!(*mode <= 0o777),
        }
    }
}

fn check_error(text: &str, error: &ConfigError) {
    let shown = error.to_string();
    let place = match error {
        ConfigError::Syntax(error) => &error.place,
        ConfigError::Wrong { place, .. } => place,
        ConfigError::Missing(_) => return,
        other => panic!("no file was read: {other}"),
    };
    let place = place.to_string();
    let line = place
        .strip_prefix("fuzz.hcl:")
        .and_then(|line| line.parse::<usize>().ok());
    let lines = text.matches('\n').count() + 1;
    assert!(
        line.is_some_and(|line| (1..=lines).contains(&line)),
        "{shown}, of {lines} lines"
    );
}

/// What stands where a key stands is not shown, however wrongly it is written: the line with the key is tried alone.
fn check_hides_key(text: &str) {
    // In the key of the corpus again and again.
    const PIECE: &str = "5ec2e7";
    let after = text.split_once("current_key =").map(|(_, after)| after);
    let value = after
        .and_then(|after| after.lines().next())
        .unwrap_or_default();
    // A file's name, a variable's and the end of a heredoc are no keys.
    if !value.contains(PIECE) || value.contains("://") || value.contains("<<") {
        return;
    }
    let text = format!("storage \"inmem\" {{}}\nseal \"static\" {{\n  current_key ={value}\n}}\n");
    let shown = match Config::parse(Path::new("fuzz.hcl"), &text) {
        Ok(config) => format!("{config:?}"),
        Err(error) => error.to_string(),
    };
    assert!(!shown.contains(PIECE), "{text}\n{shown}");
}

// ---- What was found ----------------------------------------------------------------------------

/// Each bracket was a call in a call: twenty kilobytes of them ended the process.
#[test]
fn a_configuration_in_json_nests_only_so_deep() {
    let text = format!(
        r#"{{"telemetry":{}{}}}"#,
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    let error = Config::parse(Path::new("fuzz.json"), &text).expect_err("too deep");
    assert_eq!(error.to_string(), "fuzz.json:1: nested too deeply");
}

/// The error said which word to put in quotes, on the terminal and in the log.
#[test]
fn a_key_without_quotes_is_not_shown() {
    let text = "seal \"static\" {\n  current_key = a5ec2e75ec2e7\n}\n";
    let error = Config::parse(Path::new("fuzz.hcl"), text).expect_err("no quotes");
    assert_eq!(error.to_string(), "fuzz.hcl:2: put the text in quotes");
}
