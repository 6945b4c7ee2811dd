//! `secrets` and `auth`.

use expect_test::expect;

use crate::support::{Run, ok, status};

const MOUNTS: &str = r#"{"secret/":{"accessor":"kv_1","config":{"default_lease_ttl":0,"force_no_cache":false,"max_lease_ttl":3600},"deprecation_status":"supported","description":"key/value secret storage","external_entropy_access":false,"local":false,"options":{"version":"2"},"plugin_version":"","running_plugin_version":"v0.20.0+builtin","running_sha256":"","seal_wrap":false,"type":"kv","uuid":"u-1"},"cubbyhole/":{"accessor":"cubbyhole_1","config":{"default_lease_ttl":0,"force_no_cache":false,"max_lease_ttl":0},"description":"","external_entropy_access":false,"local":true,"options":null,"seal_wrap":false,"type":"cubbyhole","uuid":"u-2"}}"#;

#[test]
fn secrets_are_listed_sorted() {
    Run::new("secrets list")
        .answers([ok(MOUNTS)])
        .check(expect![[r#"
        > GET /v1/sys/mounts
        Path          Type         Accessor       Description
        ----          ----         --------       -----------
        cubbyhole/    cubbyhole    cubbyhole_1    n/a
        secret/       kv           kv_1           key/value secret storage
        exit 0
    "#]]);
    Run::new("secrets list -detailed").answers([ok(MOUNTS)]).check(expect![[r#"
        > GET /v1/sys/mounts
        Path          Plugin       Accessor       Default TTL    Max TTL    Force No Cache    Replication    Seal Wrap    External Entropy Access    Options           Description                 UUID    Version    Running Version    Running SHA256    Deprecation Status
        ----          ------       --------       -----------    -------    --------------    -----------    ---------    -----------------------    -------           -----------                 ----    -------    ---------------    --------------    ------------------
        cubbyhole/    cubbyhole    cubbyhole_1    n/a            n/a        false             local          false        false                      map[]             n/a                         u-2     n/a        n/a                n/a               n/a
        secret/       kv           kv_1           system         3600       false             replicated     false        false                      map[version:2]    key/value secret storage    u-1     n/a        v0.20.0+builtin    n/a               supported
        exit 0
    "#]]);
    Run::new("secrets list -format=json")
        .answers([ok(MOUNTS)])
        .check(expect![[r#"
        > GET /v1/sys/mounts
        {
          "cubbyhole/": {
            "uuid": "u-2",
            "type": "cubbyhole",
            "description": "",
            "accessor": "cubbyhole_1",
            "config": {
              "default_lease_ttl": 0,
              "max_lease_ttl": 0,
              "force_no_cache": false
            },
            "options": null,
            "local": true,
            "seal_wrap": false,
            "external_entropy_access": false,
            "plugin_version": "",
            "running_plugin_version": "",
            "running_sha256": "",
            "deprecation_status": ""
          },
          "secret/": {
            "uuid": "u-1",
            "type": "kv",
            "description": "key/value secret storage",
            "accessor": "kv_1",
            "config": {
              "default_lease_ttl": 0,
              "max_lease_ttl": 3600,
              "force_no_cache": false
            },
            "options": {
              "version": "2"
            },
            "local": false,
            "seal_wrap": false,
            "external_entropy_access": false,
            "plugin_version": "",
            "running_plugin_version": "v0.20.0+builtin",
            "running_sha256": "",
            "deprecation_status": "supported"
          }
        }
        exit 0
    "#]]);
}

#[test]
fn auth_methods_are_listed_with_their_version() {
    let auth = r#"{"token/":{"accessor":"auth_token_1","config":{"default_lease_ttl":0,"force_no_cache":false,"max_lease_ttl":0,"token_type":"default-service"},"description":"token based credentials","external_entropy_access":false,"local":false,"options":null,"seal_wrap":false,"type":"token","uuid":"u"}}"#;
    Run::new("auth list").answers([ok(auth)]).check(expect![[r#"
        > GET /v1/sys/auth
        Path      Type     Accessor        Description                Version
        ----      ----     --------        -----------                -------
        token/    token    auth_token_1    token based credentials    n/a
        exit 0
    "#]]);
    Run::new("auth list -detailed").answers([ok(auth)]).check(expect![[r#"
        > GET /v1/sys/auth
        Path      Plugin    Accessor        Default TTL    Max TTL    Token Type         Replication    Seal Wrap    External Entropy Access    Options    Description                UUID    Version    Running Version    Running SHA256    Deprecation Status
        ----      ------    --------        -----------    -------    ----------         -----------    ---------    -----------------------    -------    -----------                ----    -------    ---------------    --------------    ------------------
        token/    token     auth_token_1    system         system     default-service    replicated     false        false                      map[]      token based credentials    u       n/a        n/a                n/a               n/a
        exit 0
    "#]]);
}

#[test]
fn engines_are_enabled_tuned_and_disabled() {
    Run::new("secrets enable -path=secret -version=2 kv").answers([status(204)]).check(expect![[r#"
        > POST /v1/sys/mounts/secret {"type":"kv","description":"","config":{"options":null,"default_lease_ttl":"0s","max_lease_ttl":"0s","force_no_cache":false},"local":false,"seal_wrap":false,"external_entropy_access":false,"options":{"version":"2"}}
        Success! Enabled the kv secrets engine at: secret/
        exit 0
    "#]]);
    Run::new("secrets enable -default-lease-ttl=1h -description=keys kv-v2").answers([status(204)]).check(expect![[r#"
        > POST /v1/sys/mounts/kv-v2 {"type":"kv-v2","description":"keys","config":{"options":null,"default_lease_ttl":"1h0m0s","max_lease_ttl":"0s","force_no_cache":false},"local":false,"seal_wrap":false,"external_entropy_access":false,"options":null}
        Success! Enabled the kv-v2 secrets engine at: kv-v2/
        exit 0
    "#]]);
    Run::new("secrets tune -max-lease-ttl=87600h pki/").answers([status(204)]).check(expect![[r#"
        > POST /v1/sys/mounts/pki/tune {"options":null,"default_lease_ttl":"","max_lease_ttl":"87600h0m0s","force_no_cache":false}
        Success! Tuned the secrets engine at: pki/
        exit 0
    "#]]);
    Run::new("secrets tune -default-lease-ttl=-1 -options=version=2 -description= kv").answers([status(204)]).check(expect![[r#"
        > POST /v1/sys/mounts/kv/tune {"options":{"version":"2"},"default_lease_ttl":"system","description":"","max_lease_ttl":"","force_no_cache":false}
        Success! Tuned the secrets engine at: kv/
        exit 0
    "#]]);
    Run::new("secrets disable kv1")
        .answers([status(204)])
        .check(expect![[r#"
        > DELETE /v1/sys/mounts/kv1
        Success! Disabled the secrets engine (if it existed) at: kv1/
        exit 0
    "#]]);
}

#[test]
fn a_move_is_watched_to_its_end() {
    let status = |text: &str| {
        ok(&format!(
            r#"{{"migration_id":"m-1","migration_info":{{"source_mount":"a/","target_mount":"b/","status":"{text}"}}}}"#
        ))
    };
    Run::new("secrets move a b")
        .answers([ok(r#"{"migration_id":"m-1"}"#), status("success")])
        .check(expect![[r#"
        > POST /v1/sys/remount {"from":"a/","to":"b/"}
        > GET /v1/sys/remount/status/m-1
        Started moving secrets engine a/ to b/, with migration ID m-1
        Success! Finished moving secrets engine a/ to b/, with migration ID m-1
        exit 0
    "#]]);
    Run::new("secrets move a b")
        .answers([ok(r#"{"migration_id":"m-1"}"#), status("failure")])
        .check(expect![[r#"
        > POST /v1/sys/remount {"from":"a/","to":"b/"}
        > GET /v1/sys/remount/status/m-1
        Started moving secrets engine a/ to b/, with migration ID m-1
        ! Failure! Error encountered moving secrets engine a/ to b/, with migration ID m-1
        exit 2
    "#]]);
}
