//! `status` and `operator`.

use expect_test::expect;

use crate::support::{Run, ok, raw, status};

const OPEN: &str = r#"{"type":"shamir","initialized":true,"sealed":false,"t":3,"n":5,"progress":0,"nonce":"","version":"1.18.5","build_date":"2026-01-01T00:00:00Z","migration":false,"cluster_name":"vault-cluster-1","cluster_id":"f1a7","recovery_seal":false,"storage_type":"redb"}"#;
const SEALED: &str = r#"{"type":"shamir","initialized":true,"sealed":true,"t":3,"n":5,"progress":1,"nonce":"abc","version":"1.18.5","build_date":"2026-01-01T00:00:00Z","migration":false,"recovery_seal":false,"storage_type":"redb"}"#;
const ALONE: &str = r#"{"ha_enabled":false,"is_self":false,"active_time":"0001-01-01T00:00:00Z","leader_address":"","leader_cluster_address":""}"#;
const INIT: &str = r#"{"keys":["aa","bb"],"keys_base64":["qg==","uw=="],"root_token":"hvs.root"}"#;

#[test]
fn status_shows_the_seal_and_exits_by_it() {
    Run::new("status")
        .answers([raw(200, OPEN), raw(200, ALONE)])
        .check(expect![[r#"
        > GET /v1/sys/seal-status
        > GET /v1/sys/leader
        Key             Value
        ---             -----
        Seal Type       shamir
        Initialized     true
        Sealed          false
        Total Shares    5
        Threshold       3
        Version         1.18.5
        Build Date      2026-01-01T00:00:00Z
        Storage Type    redb
        Cluster Name    vault-cluster-1
        Cluster ID      f1a7
        HA Enabled      false
        exit 0
    "#]]);
    Run::new("status")
        .answers([
            raw(200, SEALED),
            raw(503, r#"{"errors":["Vault is sealed"]}"#),
        ])
        .check(expect![[r#"
        > GET /v1/sys/seal-status
        > GET /v1/sys/leader
        Key                Value
        ---                -----
        Seal Type          shamir
        Initialized        true
        Sealed             true
        Total Shares       5
        Threshold          3
        Unseal Progress    1/3
        Unseal Nonce       abc
        Version            1.18.5
        Build Date         2026-01-01T00:00:00Z
        Storage Type       redb
        HA Enabled         true
        exit 2
    "#]]);
    Run::new("status -format=json")
        .answers([raw(200, OPEN), raw(200, ALONE)])
        .check(expect![[r#"
        > GET /v1/sys/seal-status
        > GET /v1/sys/leader
        {
          "type": "shamir",
          "initialized": true,
          "sealed": false,
          "t": 3,
          "n": 5,
          "progress": 0,
          "nonce": "",
          "version": "1.18.5",
          "build_date": "2026-01-01T00:00:00Z",
          "migration": false,
          "cluster_name": "vault-cluster-1",
          "cluster_id": "f1a7",
          "recovery_seal": false,
          "storage_type": "redb",
          "ha_enabled": false,
          "active_time": "0001-01-01T00:00:00Z"
        }
        exit 0
    "#]]);
    Run::new("status -field=version")
        .answers([raw(200, OPEN), raw(200, ALONE)])
        .check(expect![[r#"
        > GET /v1/sys/seal-status
        > GET /v1/sys/leader
        1.18.5<no newline>
        exit 0
    "#]]);
}

#[test]
fn init_prints_what_nobody_will_print_again() {
    Run::new("operator init").answers([raw(200, SEALED), raw(200, INIT)]).check(expect![[r#"
        > GET /v1/sys/seal-status
        > PUT /v1/sys/init {"secret_shares":5,"secret_threshold":3,"pgp_keys":null,"recovery_shares":0,"recovery_threshold":0,"recovery_pgp_keys":null,"root_token_pgp_key":""}
        Unseal Key 1: qg==
        Unseal Key 2: uw==

        Initial Root Token: hvs.root

        Vault initialized with 5 key shares and a key threshold of 3. Please securely
        distribute the key shares printed above. When the Vault is re-sealed,
        restarted, or stopped, you must supply at least 3 of these keys to unseal it
        before it can start servicing requests.

        Vault does not store the generated root key. Without at least 3 keys to
        reconstruct the root key, Vault will remain permanently sealed!

        It is possible to generate new unseal keys, provided you have a quorum of
        existing unseal keys shares. See "coffer operator rekey" for more information.
        exit 0
    "#]]);
    Run::new("operator init -n 1 -format=json").answers([raw(200, SEALED), raw(200, INIT)]).check(expect![[r#"
        > GET /v1/sys/seal-status
        > PUT /v1/sys/init {"secret_shares":1,"secret_threshold":1,"pgp_keys":null,"recovery_shares":0,"recovery_threshold":0,"recovery_pgp_keys":null,"root_token_pgp_key":""}
        {
          "unseal_keys_b64": [
            "qg==",
            "uw=="
          ],
          "unseal_keys_hex": [
            "aa",
            "bb"
          ],
          "unseal_shares": 1,
          "unseal_threshold": 1,
          "recovery_keys_b64": [],
          "recovery_keys_hex": [],
          "recovery_keys_shares": 0,
          "recovery_keys_threshold": 0,
          "root_token": "hvs.root"
        }
        exit 0
    "#]]);
    Run::new("operator init -status")
        .answers([raw(200, r#"{"initialized":false}"#)])
        .check(expect![[r#"
        > GET /v1/sys/init
        Vault is not initialized
        exit 2
    "#]]);
    let again = r#"{"errors":["Vault is already initialized"]}"#;
    Run::new("operator init").answers([raw(200, OPEN), raw(400, again)]).check(expect![[r#"
        > GET /v1/sys/seal-status
        > PUT /v1/sys/init {"secret_shares":5,"secret_threshold":3,"pgp_keys":null,"recovery_shares":0,"recovery_threshold":0,"recovery_pgp_keys":null,"root_token_pgp_key":""}
        ! Error initializing: Error making API request.
        !
        ! URL: PUT http://SERVER/v1/sys/init
        ! Code: 400. Errors:
        !
        ! * Vault is already initialized
        exit 2
    "#]]);
}

#[test]
fn unseal_takes_a_share_from_anywhere_but_a_silent_pipe() {
    Run::new("operator unseal qg==")
        .answers([raw(200, SEALED), raw(200, ALONE)])
        .check(expect![[r#"
        > PUT /v1/sys/unseal {"key":"qg==","reset":false,"migrate":false}
        > GET /v1/sys/leader
        Key                Value
        ---                -----
        Seal Type          shamir
        Initialized        true
        Sealed             true
        Total Shares       5
        Threshold          3
        Unseal Progress    1/3
        Unseal Nonce       abc
        Version            1.18.5
        Build Date         2026-01-01T00:00:00Z
        Storage Type       redb
        HA Enabled         false
        exit 0
    "#]]);
    Run::new("operator unseal -")
        .stdin("qg==\n")
        .answers([raw(200, OPEN), raw(200, ALONE)])
        .check(expect![[r#"
        > PUT /v1/sys/unseal {"key":"qg==","reset":false,"migrate":false}
        > GET /v1/sys/leader
        Key             Value
        ---             -----
        Seal Type       shamir
        Initialized     true
        Sealed          false
        Total Shares    5
        Threshold       3
        Version         1.18.5
        Build Date      2026-01-01T00:00:00Z
        Storage Type    redb
        Cluster Name    vault-cluster-1
        Cluster ID      f1a7
        HA Enabled      false
        exit 0
    "#]]);
    Run::new("operator unseal -reset")
        .answers([raw(200, SEALED), raw(200, ALONE)])
        .check(expect![[r#"
        > PUT /v1/sys/unseal {"reset":true}
        > GET /v1/sys/leader
        Key                Value
        ---                -----
        Seal Type          shamir
        Initialized        true
        Sealed             true
        Total Shares       5
        Threshold          3
        Unseal Progress    1/3
        Unseal Nonce       abc
        Version            1.18.5
        Build Date         2026-01-01T00:00:00Z
        Storage Type       redb
        HA Enabled         false
        exit 0
    "#]]);
    Run::new("operator unseal")
        .stdin("qg==\n")
        .check(expect![[r#"
        ! An error occurred attempting to ask for an unseal key. The raw error message
        ! is shown below, but usually this is because you attempted to pipe a value
        ! into the unseal command or you are executing outside of a terminal (tty). You
        ! should run the unseal command from a terminal for maximum security. If this
        ! is not an option, the unseal key can be provided as the first argument to the
        ! unseal command. The raw error was:
        !
        ! Inappropriate ioctl for device (os error 25)
        ! Hint: "-" as the argument reads the share from a pipe
        exit 1
    "#]]);
}

#[test]
fn seal_rotate_and_key_status() {
    let key = r#"{"term":2,"install_time":"2026-01-02T15:04:05.123456789Z","encryptions":15}"#;
    Run::new("operator seal")
        .answers([status(204)])
        .check(expect![[r#"
        > PUT /v1/sys/seal
        Success! Vault is sealed.
        exit 0
    "#]]);
    Run::new("operator rotate")
        .answers([status(204), ok(key)])
        .check(expect![[r#"
        > POST /v1/sys/rotate {}
        > GET /v1/sys/key-status
        Success! Rotated key

        Key Term            2
        Install Time        02 Jan 26 15:04 UTC
        Encryption Count    15
        exit 0
    "#]]);
    Run::new("operator key-status -format=json")
        .answers([ok(key)])
        .check(expect![[r#"
        > GET /v1/sys/key-status
        {
          "term": 2,
          "install_time": "2026-01-02T15:04:05.123456789Z",
          "encryptions": 15
        }
        exit 0
    "#]]);
}
