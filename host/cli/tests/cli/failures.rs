//! What goes wrong, how it is said, and the flags and variables of every command.

use expect_test::expect;

use crate::support::{Run, denied, ok, raw, status};

#[test]
fn a_refusal_says_what_to_try() {
    Run::new("read sys/x").answers([denied()]).check(expect![[r#"
        > GET /v1/sys/x
        ! Error reading sys/x: Error making API request.
        !
        ! URL: GET http://SERVER/v1/sys/x
        ! Code: 403. Errors:
        !
        ! * 1 error occurred:
        ! 	* permission denied
        !
        !
        ! Hint: the token's policies do not allow this: "coffer token capabilities sys/x" shows what they allow
        exit 2
    "#]]);
    let no_token = r#"{"errors":["permission denied"]}"#;
    Run::new("read sys/x")
        .without_token()
        .answers([raw(403, no_token)])
        .check(expect![[r#"
        > GET /v1/sys/x
        ! Error reading sys/x: Error making API request.
        !
        ! URL: GET http://SERVER/v1/sys/x
        ! Code: 403. Errors:
        !
        ! * permission denied
        ! Hint: no token was sent: run "coffer login", or set VAULT_TOKEN
        exit 2
    "#]]);
    let wrong_token =
        r#"{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}"#;
    Run::new("read sys/x")
        .answers([raw(403, wrong_token)])
        .check(expect![[r#"
        > GET /v1/sys/x
        ! Error reading sys/x: Error making API request.
        !
        ! URL: GET http://SERVER/v1/sys/x
        ! Code: 403. Errors:
        !
        ! * 2 errors occurred:
        ! 	* permission denied
        ! 	* invalid token
        !
        !
        ! Hint: the token is wrong, expired or revoked: get a new one with "coffer login"
        exit 2
    "#]]);
    Run::new("kv get secret/app")
        .answers([raw(503, r#"{"errors":["Vault is sealed"]}"#)])
        .check(expect![[r#"
        > GET /v1/sys/internal/ui/mounts/secret/app
        ! Error making API request.
        !
        ! URL: GET http://SERVER/v1/sys/internal/ui/mounts/secret/app
        ! Code: 503. Errors:
        !
        ! * Vault is sealed
        ! Hint: run "coffer operator unseal" with one of the unseal shares
        exit 2
    "#]]);
    Run::new("read sys/x")
        .answers([raw(502, "<html>bad gateway</html>")])
        .check(expect![[r#"
        > GET /v1/sys/x
        ! Error reading sys/x: Error making API request.
        !
        ! URL: GET http://SERVER/v1/sys/x
        ! Code: 502. Raw Message:
        !
        ! <html>bad gateway</html>
        exit 2
    "#]]);
    Run::new("token lookup hvs.X")
        .answers([raw(403, r#"{"errors":["bad token"]}"#)])
        .check(expect![[r#"
        > POST /v1/auth/token/lookup {"token":"hvs.X"}
        ! Error looking up token: Error making API request.
        !
        ! URL: POST http://SERVER/v1/auth/token/lookup
        ! Code: 403. Errors:
        !
        ! * bad token
        ! Hint: the token asked about is mistyped, expired or revoked
        exit 2
    "#]]);
    Run::new("read x/y")
        .answers([raw(404, r#"{"errors":["namespace not found"]}"#)])
        .check(expect![[r#"
        > GET /v1/x/y
        ! No value found at x/y
        ! Hint: the server has no such namespace: look at -namespace and VAULT_NAMESPACE
        exit 2
    "#]]);
}

#[test]
fn a_passing_failure_is_tried_again_when_asked_for() {
    let busy = || raw(503, r#"{"errors":["busy"]}"#).header("Retry-After: 0");
    Run::new("read x/y")
        .env("VAULT_MAX_RETRIES", "2")
        .answers([busy(), busy(), ok(r#"{"a":"1"}"#)])
        .check(expect![[r#"
        > GET /v1/x/y
        > GET /v1/x/y
        > GET /v1/x/y
        Key    Value
        ---    -----
        a      1
        exit 0
    "#]]);
}

#[test]
fn a_redirect_is_followed_with_everything_in_it() {
    let there = raw(307, "").header("Location: /v1/elsewhere?x=1");
    Run::new("write x/y a=1")
        .answers([there, status(204)])
        .check(expect![[r#"
        > PUT /v1/x/y {"a":"1"}
        > PUT /v1/elsewhere?x=1 {"a":"1"}
        Success! Data written to: x/y
        exit 0
    "#]]);
}

#[test]
fn an_answer_that_is_none_is_said() {
    Run::new("read x/y").answers([raw(200, "not json")]).check(expect![[r#"
        > GET /v1/x/y
        ! Error reading x/y: error reading the answer of http://SERVER/v1/x/y: expected ident at line 1 column 2
        exit 2
    "#]]);
}

#[test]
fn nobody_there_is_said_with_the_address() {
    Run::new("read x/y").env("VAULT_ADDR", "unix:///nonexistent/coffer.sock").check(expect![[r#"
        ! Error reading x/y: Get "http://localhost/v1/x/y": dial unix /nonexistent/coffer.sock: connect: no such file or directory
        ! Hint: is the server running? VAULT_ADDR is unix:///nonexistent/coffer.sock
        exit 2
    "#]]);
    Run::new("read x/y").env("VAULT_ADDR", "127.0.0.1:8200").check(expect![[r#"
        ! failed to create client: "127.0.0.1:8200" has no scheme: write http://127.0.0.1:8200 or https://127.0.0.1:8200
        ! Hint: an address looks like http://127.0.0.1:8200
        exit 1
    "#]]);
}

#[test]
fn mistakes_of_the_command_line_exit_1_and_unknown_commands_127() {
    Run::new("kv get").check(expect![[r#"
        ! error: the following required arguments were not provided:
        !   <PATH>
        !
        ! Usage: coffer kv get <PATH>
        !
        ! For more information, try '--help'.
        exit 1
    "#]]);
    Run::new("kv get -formt=json secret/a").check(expect![[r#"
        ! error: unexpected argument '--formt' found
        !
        !   tip: a similar argument exists: '--format'
        !
        ! Usage: coffer kv get --format <FORMAT> <PATH>
        !
        ! For more information, try '--help'.
        exit 1
    "#]]);
    Run::new("kv gett secret/a").check(expect![[r#"
        ! error: unrecognized subcommand 'gett'
        !
        !   tip: some similar subcommands exist: 'metadata', 'get'
        !
        ! Usage: coffer kv [OPTIONS] <COMMAND>
        !
        ! For more information, try '--help'.
        exit 1
    "#]]);
    Run::new("sttus").check(expect![[r#"
        ! error: unrecognized subcommand 'sttus'
        !
        !   tip: a similar subcommand exists: 'status'
        !
        ! Usage: coffer [OPTIONS] <COMMAND>
        !
        ! For more information, try '--help'.
        exit 127
    "#]]);
    Run::new("kv get -format=xml secret/a").check(expect![[r#"
        ! Invalid output format: xml
        exit 1
    "#]]);
    Run::new("kv get -format=raw secret/a").check(expect![[r#"
        ! This command does not support the -format=raw option.
        exit 1
    "#]]);
    Run::new("read -header=X-Vault-Token=x a").check(expect![[r#"
        ! failed to setup Headers[X-Vault-Token]: Header starting by 'X-Vault-' are for internal usage only
        exit 1
    "#]]);
    Run::new("read a").env("VAULT_SKIP_VERIFY", "maybe").check(expect![[r#"
        ! failed to read environment: could not parse VAULT_SKIP_VERIFY: it is neither true nor false
        exit 1
    "#]]);
}

#[test]
fn flags_and_variables_reach_the_wire() {
    let run = Run::new("read -ns=team -header=X-Trace=1 -mfa=m:123456 a").env("BAO_WRAP_TTL", "5m");
    run.show_headers()
        .answers([ok(r#"{"a":"1"}"#)])
        .check(expect![[r#"
        > GET /v1/a
        >   host: SERVER
        >   x-vault-request: true
        >   x-vault-token: root
        >   x-vault-namespace: team/
        >   x-vault-wrap-ttl: 5m0s
        >   x-vault-mfa: m:123456
        >   x-trace: 1
        Key    Value
        ---    -----
        a      1
        exit 0
    "#]]);
}

#[test]
fn version_is_local() {
    Run::new("version").check(expect![[r#"
        Coffer v0.1.0
        exit 0
    "#]]);
    Run::new("-version").check(expect![[r#"
        Coffer v0.1.0
        exit 0
    "#]]);
}
