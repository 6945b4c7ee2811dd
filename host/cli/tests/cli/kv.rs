//! `kv`, both versions.

use expect_test::expect;

use crate::support::{Run, V1, V2, denied, ok, raw, status};

const WRITTEN: &str = r#"{"created_time":"2026-01-02T03:04:05.123456789Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":2}"#;
const SECRET: &str = r#"{"data":{"password":"hunter2","n":9007199254740993,"nested":{"b":[1,2],"a":null}},"metadata":{"created_time":"2026-01-02T03:04:05.123456789Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":2}}"#;
const DELETED: &str = r#"{"request_id":"r","data":{"data":null,"metadata":{"created_time":"2026-01-02T03:04:05Z","custom_metadata":{"team":"a","owner":"b"},"deletion_time":"2026-01-03T03:04:05Z","destroyed":false,"version":2}}}"#;

#[test]
fn get_shows_path_metadata_and_data() {
    Run::new("kv get secret/app")
        .answers([ok(V2), ok(SECRET)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        = Secret Path =
        secret/data/app

        ======= Metadata =======
        Key                Value
        ---                -----
        created_time       2026-01-02T03:04:05.123456789Z
        custom_metadata    <nil>
        deletion_time      n/a
        destroyed          false
        version            2

        ====== Data ======
        Key         Value
        ---         -----
        n           9007199254740993
        nested      map[a:<nil> b:[1 2]]
        password    hunter2
        exit 0
    "#]]);
}

#[test]
fn get_of_an_old_version_by_mount_flag_names_both() {
    Run::new("kv get -mount=secret -version=1 app")
        .answers([ok(V2), ok(SECRET)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret
        > GET /v1/secret/data/app?version=1
        = Secret Path =
        secret/data/app

        ======= Metadata =======
        Key                Value
        ---                -----
        created_time       2026-01-02T03:04:05.123456789Z
        custom_metadata    <nil>
        deletion_time      n/a
        destroyed          false
        version            2

        ====== Data ======
        Key         Value
        ---         -----
        n           9007199254740993
        nested      map[a:<nil> b:[1 2]]
        password    hunter2
        exit 0
    "#]]);
}

#[test]
fn a_field_is_printed_byte_for_byte() {
    Run::new("kv get -field=password secret/app")
        .answers([ok(V2), ok(SECRET)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        hunter2<no newline>
        exit 0
    "#]]);
    Run::new("kv get -field=n secret/app")
        .answers([ok(V2), ok(SECRET)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        9007199254740993<no newline>
        exit 0
    "#]]);
    Run::new("kv get -field=nope secret/app")
        .answers([ok(V2), ok(SECRET)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        ! Field "nope" not present in secret
        exit 1
    "#]]);
}

#[test]
fn a_deleted_version_shows_its_metadata_and_has_no_field() {
    Run::new("kv get secret/app")
        .answers([ok(V2), raw(404, DELETED)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        = Secret Path =
        secret/data/app

        ======= Metadata =======
        Key                Value
        ---                -----
        created_time       2026-01-02T03:04:05Z
        custom_metadata    map[owner:b team:a]
        deletion_time      2026-01-03T03:04:05Z
        destroyed          false
        version            2

        exit 0
    "#]]);
    Run::new("kv get -field=password secret/app")
        .answers([ok(V2), raw(404, DELETED)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        ! No data found at secret/data/app
        exit 2
    "#]]);
}

#[test]
fn what_is_not_there_is_said_with_what_to_try() {
    Run::new("kv get secret/none")
        .answers([ok(V2), status(404)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/none
        > GET /v1/secret/data/none
        ! No value found at secret/data/none
        exit 2
    "#]]);
    Run::new("kv get secret/data/app")
        .answers([ok(V2), status(404)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/data/app
        > GET /v1/secret/data/data/app
        ! No value found at secret/data/data/app
        ! Hint: kv commands put "data/" into the path themselves: try "coffer kv get secret/app"
        exit 2
    "#]]);
}

#[test]
fn json_and_yaml_print_the_envelope() {
    Run::new("kv get -format=json secret/app")
        .answers([ok(V2), ok(SECRET)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        {
          "request_id": "r-1",
          "lease_id": "",
          "lease_duration": 0,
          "renewable": false,
          "data": {
            "data": {
              "n": 9007199254740993,
              "nested": {
                "a": null,
                "b": [
                  1,
                  2
                ]
              },
              "password": "hunter2"
            },
            "metadata": {
              "created_time": "2026-01-02T03:04:05.123456789Z",
              "custom_metadata": null,
              "deletion_time": "",
              "destroyed": false,
              "version": 2
            }
          },
          "warnings": null
        }
        exit 0
    "#]]);
    Run::new("kv get secret/app")
        .env("VAULT_FORMAT", "yaml")
        .answers([ok(V2), ok(SECRET)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        data:
          data:
            "n": 9007199254740993
            nested:
              a: null
              b:
              - 1
              - 2
            password: hunter2
          metadata:
            created_time: "2026-01-02T03:04:05.123456789Z"
            custom_metadata: null
            deletion_time: ""
            destroyed: false
            version: 2
        lease_duration: 0
        lease_id: ""
        renewable: false
        request_id: r-1
        warnings: null
        exit 0
    "#]]);
}

#[test]
fn version_1_knows_neither_metadata_nor_data_in_the_path() {
    let secret = r#"{"password":"x","metadata":"mine"}"#;
    Run::new("kv get kv1/app")
        .answers([ok(V1), ok(secret)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/kv1/app
        > GET /v1/kv1/app
        ====== Data ======
        Key         Value
        ---         -----
        metadata    mine
        password    x
        exit 0
    "#]]);
    Run::new("kv put kv1/app a=1")
        .answers([ok(V1), status(204)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/kv1/app
        > PUT /v1/kv1/app {"a":"1"}
        Success! Data written to: kv1/app
        exit 0
    "#]]);
    Run::new("kv patch kv1/app a=1")
        .answers([ok(V1)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/kv1/app
        ! K/V engine mount must be version 2 for patch support
        exit 2
    "#]]);
    Run::new("kv metadata get kv1/app")
        .answers([ok(V1)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/kv1/app
        ! Metadata not supported on KV Version 1
        exit 1
    "#]]);
}

#[test]
fn put_writes_strings_and_shows_the_new_version() {
    Run::new("kv put secret/app a=1 b=x=y")
        .answers([ok(V2), ok(WRITTEN)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > PUT /v1/secret/data/app {"data":{"a":"1","b":"x=y"},"options":{}}
        = Secret Path =
        secret/data/app

        ======= Metadata =======
        Key                Value
        ---                -----
        created_time       2026-01-02T03:04:05.123456789Z
        custom_metadata    <nil>
        deletion_time      n/a
        destroyed          false
        version            2
        exit 0
    "#]]);
    Run::new("kv put -cas=0 secret/app -")
        .stdin(r#"{"n":9007199254740993}"#)
        .answers([ok(V2), ok(WRITTEN)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > PUT /v1/secret/data/app {"data":{"n":9007199254740993},"options":{"cas":0}}
        = Secret Path =
        secret/data/app

        ======= Metadata =======
        Key                Value
        ---                -----
        created_time       2026-01-02T03:04:05.123456789Z
        custom_metadata    <nil>
        deletion_time      n/a
        destroyed          false
        version            2
        exit 0
    "#]]);
    Run::new("kv put secret/app").check(expect![[r#"
        ! Must supply data
        exit 1
    "#]]);
}

#[test]
fn a_lost_race_is_an_error_of_the_server() {
    let error = "check-and-set parameter did not match the current version";
    Run::new("kv put -cas=1 secret/app a=1")
        .answers([ok(V2), raw(400, &format!(r#"{{"errors":["{error}"]}}"#))])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > PUT /v1/secret/data/app {"data":{"a":"1"},"options":{"cas":1}}
        ! Error writing data to secret/data/app: Error making API request.
        !
        ! URL: PUT http://SERVER/v1/secret/data/app
        ! Code: 400. Errors:
        !
        ! * check-and-set parameter did not match the current version
        exit 2
    "#]]);
}

#[test]
fn patch_lets_the_server_merge() {
    Run::new("kv patch -cas=2 -remove-data=old secret/app a=1")
        .answers([ok(V2), ok(WRITTEN)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > PATCH /v1/secret/data/app {"data":{"a":"1","old":null},"options":{"cas":2}}
        >   content-type: application/merge-patch+json
        = Secret Path =
        secret/data/app

        ======= Metadata =======
        Key                Value
        ---                -----
        created_time       2026-01-02T03:04:05.123456789Z
        custom_metadata    <nil>
        deletion_time      n/a
        destroyed          false
        version            2
        exit 0
    "#]]);
    Run::new("kv patch secret/none a=1")
        .answers([ok(V2), raw(404, "")])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/none
        > PATCH /v1/secret/data/none {"data":{"a":"1"},"options":{}}
        >   content-type: application/merge-patch+json
        ! Error writing data to secret/data/none: Error making API request.
        !
        ! URL: PATCH http://SERVER/v1/secret/data/none
        ! Code: 404. Raw Message:
        !
        !
        ! Hint: only what is there can be patched: "coffer kv put" writes a new secret
        exit 2
    "#]]);
}

#[test]
fn patch_without_the_capability_reads_and_writes() {
    Run::new("kv patch secret/app password=new").answers([ok(V2), denied(), ok(SECRET), ok(WRITTEN)]).check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > PATCH /v1/secret/data/app {"data":{"password":"new"},"options":{}}
        >   content-type: application/merge-patch+json
        > GET /v1/secret/data/app
        > PUT /v1/secret/data/app {"data":{"n":9007199254740993,"nested":{"a":null,"b":[1,2]},"password":"new"},"options":{"cas":2}}
        = Secret Path =
        secret/data/app

        ======= Metadata =======
        Key                Value
        ---                -----
        created_time       2026-01-02T03:04:05.123456789Z
        custom_metadata    <nil>
        deletion_time      n/a
        destroyed          false
        version            2
        ! Data was written to secret/data/app but we recommend that you add the "patch" capability to your ACL policy in order to use HTTP PATCH in the future.
        exit 0
    "#]]);
    Run::new("kv patch -method=patch secret/app a=1").answers([ok(V2), denied()]).check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > PATCH /v1/secret/data/app {"data":{"a":"1"},"options":{}}
        >   content-type: application/merge-patch+json
        ! Error writing data to secret/data/app: Error making API request.
        !
        ! URL: PATCH http://SERVER/v1/secret/data/app
        ! Code: 403. Errors:
        !
        ! * 1 error occurred:
        ! 	* permission denied
        !
        !
        ! Hint: the token's policies do not allow this: "coffer token capabilities secret/data/app" shows what they allow
        exit 2
    "#]]);
    Run::new("kv patch -method=rw secret/app a=1")
        .answers([ok(V2), raw(404, DELETED)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        ! No data found at secret/data/app; patch only works on existing data
        exit 2
    "#]]);
}

#[test]
fn list_shows_keys_and_exits_2_on_none() {
    Run::new("kv list secret")
        .answers([ok(V2), ok(r#"{"keys":["b/","a"]}"#)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret
        > GET /v1/secret/metadata?list=true
        Keys
        ----
        a
        b/
        exit 0
    "#]]);
    Run::new("kv list -format=json -mount=secret")
        .answers([ok(V2), ok(r#"{"keys":["b/","a"]}"#)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret
        > GET /v1/secret/metadata?list=true
        [
          "b/",
          "a"
        ]
        exit 0
    "#]]);
    Run::new("kv list secret/none")
        .answers([ok(V2), status(404)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/none
        > GET /v1/secret/metadata/none?list=true
        ! No value found at secret/metadata/none
        exit 2
    "#]]);
    Run::new("kv list -format=json secret/none")
        .answers([ok(V2), status(404)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/none
        > GET /v1/secret/metadata/none?list=true
        {}
        exit 2
    "#]]);
}

#[test]
fn versions_are_deleted_undeleted_and_destroyed() {
    Run::new("kv delete secret/app")
        .answers([ok(V2), status(204)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > DELETE /v1/secret/data/app
        Success! Data deleted (if it existed) at: secret/data/app
        exit 0
    "#]]);
    Run::new("kv delete -versions=1,2 -versions=3 secret/app")
        .answers([ok(V2), status(204)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > PUT /v1/secret/delete/app {"versions":["1","2","3"]}
        Success! Data deleted (if it existed) at: secret/data/app
        exit 0
    "#]]);
    Run::new("kv undelete -versions=2 secret/app")
        .answers([ok(V2), status(204)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > PUT /v1/secret/undelete/app {"versions":["2"]}
        Success! Data written to: secret/undelete/app
        exit 0
    "#]]);
    Run::new("kv destroy -mount=secret -versions=2 app")
        .answers([ok(V2), status(204)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret
        > PUT /v1/secret/destroy/app {"versions":["2"]}
        Success! Data written to: secret/destroy/app
        exit 0
    "#]]);
    Run::new("kv destroy secret/app").check(expect![[r#"
        ! No versions provided, use the "-versions" flag to specify the version to destroy.
        exit 1
    "#]]);
}

#[test]
fn rollback_writes_an_old_version_against_the_newest() {
    let old = r#"{"data":{"a":"1"},"metadata":{"deletion_time":"","destroyed":false,"version":1}}"#;
    Run::new("kv rollback -version=1 secret/app")
        .answers([ok(V2), raw(404, DELETED), ok(old), ok(WRITTEN)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        > GET /v1/secret/data/app?version=1
        > PUT /v1/secret/data/app {"data":{"a":"1"},"options":{"cas":2}}
        Key                Value
        ---                -----
        created_time       2026-01-02T03:04:05.123456789Z
        custom_metadata    <nil>
        deletion_time      n/a
        destroyed          false
        version            2
        exit 0
    "#]]);
    Run::new("kv rollback -version=1 secret/app")
        .answers([ok(V2), ok(SECRET), raw(404, DELETED)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        > GET /v1/secret/data/app?version=1
        ! Cannot roll back to a version that has been deleted
        exit 2
    "#]]);
    Run::new("kv rollback secret/app").check(expect![[r#"
        ! Version flag must be specified
        exit 1
    "#]]);
}

#[test]
fn metadata_shows_each_version() {
    let metadata = r#"{"cas_required":false,"created_time":"2026-01-02T03:04:05Z","current_version":10,"custom_metadata":{"owner":"x"},"delete_version_after":"0s","max_versions":0,"oldest_version":0,"updated_time":"2026-01-02T03:04:05Z","versions":{"10":{"created_time":"2026-01-02T03:04:05Z","deletion_time":"","destroyed":false},"9":{"created_time":"2026-01-02T03:04:05Z","deletion_time":"","destroyed":true}}}"#;
    Run::new("kv metadata get secret/app")
        .answers([ok(V2), ok(metadata)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/metadata/app
        == Metadata Path ==
        secret/metadata/app

        ========== Metadata ==========
        Key                     Value
        ---                     -----
        cas_required            false
        created_time            2026-01-02T03:04:05Z
        current_version         10
        custom_metadata         map[owner:x]
        delete_version_after    0s
        max_versions            0
        oldest_version          0
        updated_time            2026-01-02T03:04:05Z

        ====== Version 9 ======
        Key              Value
        ---              -----
        created_time     2026-01-02T03:04:05Z
        deletion_time    n/a
        destroyed        true

        ===== Version 10 =====
        Key              Value
        ---              -----
        created_time     2026-01-02T03:04:05Z
        deletion_time    n/a
        destroyed        false
        exit 0
    "#]]);
}

#[test]
fn metadata_sends_only_what_is_given() {
    let put = "kv metadata put -max-versions=5 -cas-required=false -delete-version-after=90m -custom-metadata=a=1 -custom-metadata=b=2 secret/app";
    Run::new(put).answers([ok(V2), status(204)]).check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > PUT /v1/secret/metadata/app {"max_versions":5,"cas_required":false,"delete_version_after":"1h30m0s","custom_metadata":{"a":"1","b":"2"}}
        Success! Data written to: secret/metadata/app
        exit 0
    "#]]);
    Run::new("kv metadata put secret/app")
        .answers([ok(V2), status(204)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > PUT /v1/secret/metadata/app {}
        Success! Data written to: secret/metadata/app
        exit 0
    "#]]);
    let patch = "kv metadata patch -custom-metadata=a=1 -remove-custom-metadata=b secret/app";
    Run::new(patch)
        .answers([ok(V2), status(204)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > PATCH /v1/secret/metadata/app {"custom_metadata":{"a":"1","b":null}}
        >   content-type: application/merge-patch+json
        Success! Data written to: secret/metadata/app
        exit 0
    "#]]);
    Run::new("kv metadata delete secret/app")
        .answers([ok(V2), status(204)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > DELETE /v1/secret/metadata/app
        Success! Data deleted (if it existed) at: secret/metadata/app
        exit 0
    "#]]);
}

#[test]
fn versioning_is_enabled_by_a_tune() {
    Run::new("kv enable-versioning kv1").answers([status(204)]).check(expect![[r#"
        > POST /v1/sys/mounts/kv1/tune {"options":{"version":"2"},"default_lease_ttl":"","max_lease_ttl":"","force_no_cache":false}
        Success! Tuned the secrets engine at: kv1/
        exit 0
    "#]]);
}

#[test]
fn a_refused_preflight_is_told_alone() {
    let error = r#"preflight capability check returned 403, please ensure client's policies grant access to path \"other/\""#;
    Run::new("kv get other/app").answers([raw(403, &format!(r#"{{"errors":["{error}"]}}"#))]).check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/other/app
        ! Error making API request.
        !
        ! URL: GET http://SERVER/v1/sys/internal/ui/mounts/other/app
        ! Code: 403. Errors:
        !
        ! * preflight capability check returned 403, please ensure client's policies grant access to path "other/"
        ! Hint: there is no such mount, or the token may do nothing in it: "coffer secrets list" shows the mounts
        exit 2
    "#]]);
}
