//! `read`, `write`, `patch`, `delete`, `list`, `unwrap`, `path-help`, wrapping, and requests shown as curl commands.

use expect_test::expect;

use crate::support::{Run, V2, ok, raw, status};

#[test]
fn read_shows_an_answer_and_a_bare_one() {
    Run::new("read cubbyhole/x")
        .answers([ok(r#"{"b":{"y":1,"x":2},"a":"1"}"#)])
        .check(expect![[r#"
        > GET /v1/cubbyhole/x
        Key    Value
        ---    -----
        a      1
        b      map[x:2 y:1]
        exit 0
    "#]]);
    Run::new("read sys/seal-status")
        .answers([raw(200, r#"{"sealed":false,"n":1}"#)])
        .check(expect![[r#"
        > GET /v1/sys/seal-status
        Key       Value
        ---       -----
        n         1
        sealed    false
        exit 0
    "#]]);
    Run::new("read -format=raw pki/ca/pem")
        .answers([raw(200, "-----BEGIN-----\n")])
        .check(expect![[r#"
        > GET /v1/pki/ca/pem
        -----BEGIN-----

        exit 0
    "#]]);
    Run::new("read pki/certs b=2 a=x a=y")
        .answers([status(404)])
        .check(expect![[r#"
        > GET /v1/pki/certs?a=x&a=y&b=2
        ! No value found at pki/certs
        exit 2
    "#]]);
}

#[test]
fn read_of_an_unmounted_path_says_so() {
    let error = r#"{"errors":["no handler for route \"nope/x\". route entry not found."]}"#;
    Run::new("read nope/x").answers([raw(404, error)]).check(expect![[r#"
        > GET /v1/nope/x
        ! No value found at nope/x
        ! Hint: no handler for route "nope/x": nothing is mounted there; "coffer secrets list" shows the mounts, "coffer secrets enable -path=nope TYPE" adds one
        exit 2
    "#]]);
}

#[test]
fn a_warning_goes_to_stderr() {
    let body = r#"{"request_id":"r","data":null,"warnings":["Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If using the Vault CLI, use 'vault kv get' for this operation."]}"#;
    Run::new("read secret/app")
        .answers([raw(404, body)])
        .check(expect![[r#"
        > GET /v1/secret/app
        ! WARNING! The following warnings were returned from Vault:
        !
        !   * Invalid path for a versioned K/V secrets engine. See the API docs for the
        !   appropriate API endpoints to use. If using the Vault CLI, use 'vault kv get'
        !   for this operation.
        !
        exit 0
    "#]]);
    Run::new("write secret/app a=1")
        .answers([raw(404, body)])
        .check(expect![[r#"
        > PUT /v1/secret/app {"a":"1"}
        ! Error writing data to secret/app: Error making API request.
        !
        ! URL: PUT http://SERVER/v1/secret/app
        ! Code: 404. Errors:
        !
        !
        ! WARNING! The following warnings were returned from Vault:
        !
        !   * Invalid path for a versioned K/V secrets engine. See the API docs for the
        !   appropriate API endpoints to use. If using the Vault CLI, use 'vault kv get'
        !   for this operation.
        !
        exit 2
    "#]]);
}

#[test]
fn write_sends_what_is_given() {
    Run::new("write auth/userpass/users/alice password=pw policies=dev")
        .answers([status(204)])
        .check(expect![[r#"
        > PUT /v1/auth/userpass/users/alice {"password":"pw","policies":"dev"}
        Success! Data written to: auth/userpass/users/alice
        exit 0
    "#]]);
    Run::new("write -force transit/keys/k")
        .answers([status(204)])
        .check(expect![[r#"
        > PUT /v1/transit/keys/k null
        Success! Data written to: transit/keys/k
        exit 0
    "#]]);
    Run::new("write transit/keys/k").check(expect![[r#"
        ! Must supply data or use -force
        exit 1
    "#]]);
    Run::new("write -format=json sys/x a=1")
        .answers([status(204)])
        .check(expect![[r#"
        > PUT /v1/sys/x {"a":"1"}
        exit 0
    "#]]);
    Run::new("patch pki/roles/web ttl=1h")
        .answers([status(204)])
        .check(expect![[r#"
        > PATCH /v1/pki/roles/web {"ttl":"1h"}
        >   content-type: application/merge-patch+json
        Success! Data written to: pki/roles/web
        exit 0
    "#]]);
    Run::new("write x noequals").check(expect![[r#"
        ! Failed to parse K=V data: invalid key/value pair "noequals": format must be key=value
        exit 1
    "#]]);
}

#[test]
fn delete_and_list() {
    Run::new("delete aws/roles/x force=true")
        .answers([status(204)])
        .check(expect![[r#"
        > DELETE /v1/aws/roles/x?force=true
        Success! Data deleted (if it existed) at: aws/roles/x
        exit 0
    "#]]);
    Run::new("list -after=a -limit=2 secret/metadata/")
        .answers([ok(r#"{"keys":["b","c"]}"#)])
        .check(expect![[r#"
        > GET /v1/secret/metadata?list=true&after=a&limit=2
        Keys
        ----
        b
        c
        exit 0
    "#]]);
    let detailed = r#"{"keys":["1"],"key_info":{"1":{"name":"root","ttl":60}}}"#;
    Run::new("list -detailed pki/issuers")
        .answers([ok(detailed)])
        .check(expect![[r#"
        > GET /v1/pki/issuers?list=true
        Keys    name    ttl
        ----    ----    ---
        1       root    1m
        exit 0
    "#]]);
}

#[test]
fn wrapping_is_asked_for_and_shown() {
    let wrapped = r#"{"request_id":"","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":{"token":"hvs.W","accessor":"acc","ttl":60,"creation_time":"2026-01-02T03:04:05.123456789Z","creation_path":"secret/data/app"},"warnings":null,"auth":null}"#;
    Run::new("kv get -wrap-ttl=60 secret/app")
        .answers([ok(V2), raw(200, wrapped)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        >   x-vault-wrap-ttl: 1m0s
        Key                              Value
        ---                              -----
        wrapping_token:                  hvs.W
        wrapping_accessor:               acc
        wrapping_token_ttl:              1m
        wrapping_token_creation_time:    2026-01-02 03:04:05.123456789 +0000 UTC
        wrapping_token_creation_path:    secret/data/app
        exit 0
    "#]]);
    Run::new("kv get -wrap-ttl=60s -field=wrapping_token secret/app")
        .answers([ok(V2), raw(200, wrapped)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        > GET /v1/secret/data/app
        >   x-vault-wrap-ttl: 1m0s
        hvs.W<no newline>
        exit 0
    "#]]);
    Run::new("unwrap hvs.W")
        .answers([ok(r#"{"a":"1"}"#)])
        .check(expect![[r#"
        > PUT /v1/sys/wrapping/unwrap {"token":"hvs.W"}
        Key    Value
        ---    -----
        a      1
        exit 0
    "#]]);
    Run::new("unwrap hvs.W")
        .without_token()
        .answers([ok(r#"{"a":"1"}"#)])
        .check(expect![[r#"
        > PUT /v1/sys/wrapping/unwrap null
        >   x-vault-token: hvs.W
        Key    Value
        ---    -----
        a      1
        exit 0
    "#]]);
    let used = r#"{"errors":["wrapping token is not valid or does not exist"]}"#;
    Run::new("unwrap hvs.W")
        .answers([raw(400, used)])
        .check(expect![[r#"
        > PUT /v1/sys/wrapping/unwrap {"token":"hvs.W"}
        ! Error unwrapping: Error making API request.
        !
        ! URL: PUT http://SERVER/v1/sys/wrapping/unwrap
        ! Code: 400. Errors:
        !
        ! * wrapping token is not valid or does not exist
        exit 2
    "#]]);
    let unknown = r#"{"errors":["1 error occurred:\n\t* unsupported path\n\n"]}"#;
    Run::new("unwrap hvs.W")
        .answers([raw(404, unknown)])
        .check(expect![[r#"
        > PUT /v1/sys/wrapping/unwrap {"token":"hvs.W"}
        ! Error unwrapping:
        !
        ! * 1 error occurred:
        ! 	* unsupported path
        exit 2
    "#]]);
}

#[test]
fn path_help_prints_the_engines_words() {
    let help = r#"{"help":"DESCRIPTION\n\nKV","see_also":null,"openapi":{"openapi":"3.0.2"}}"#;
    Run::new("path-help secret")
        .answers([raw(200, help)])
        .check(expect![[r#"
        > GET /v1/secret?help=1
        DESCRIPTION

        KV
        exit 0
    "#]]);
    Run::new("path-help -format=json secret")
        .answers([raw(200, help)])
        .check(expect![[r#"
        > GET /v1/secret?help=1
        {"openapi":"3.0.2"}
        exit 0
    "#]]);
}

#[test]
fn a_curl_command_leaves_the_token_out() {
    Run::new("kv put -output-curl-string secret/app a=it's").answers([ok(V2)]).check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        curl -X PUT -H 'x-vault-request: true' -H "X-Vault-Token: $(coffer print token)" -d '{"data":{"a":"it'"'"'s"},"options":{}}' 'http://SERVER/v1/secret/data/app'
        exit 0
    "#]]);
}
