//! `policy`, `token`, `login`, `print`.

use expect_test::expect;

use crate::support::{Home, Run, denied, ok, raw, status};

#[test]
fn policies_are_written_from_stdin_and_read_back() {
    Run::new("policy write Dev -")
        .stdin("path \"a\" {}\n")
        .answers([status(204)])
        .check(expect![[r#"
        > PUT /v1/sys/policies/acl/dev {"policy":"path \"a\" {}\n"}
        Success! Uploaded policy: dev
        ! Policy name was converted from "Dev" to "dev"
        exit 0
    "#]]);
    Run::new("policy read dev")
        .answers([ok(r#"{"name":"dev","policy":"path \"a\" {}\n"}"#)])
        .check(expect![[r#"
        > GET /v1/sys/policies/acl/dev
        path "a" {}
        exit 0
    "#]]);
    Run::new("policy read none")
        .answers([status(404)])
        .check(expect![[r#"
        > GET /v1/sys/policies/acl/none
        ! No policy named: none
        exit 2
    "#]]);
    Run::new("policy list")
        .answers([ok(r#"{"keys":["default","dev","root"]}"#)])
        .check(expect![[r#"
        > GET /v1/sys/policies/acl?list=true
        default
        dev
        root
        exit 0
    "#]]);
    Run::new("policy delete dev")
        .answers([status(204)])
        .check(expect![[r#"
        > DELETE /v1/sys/policies/acl/dev
        Success! Deleted policy: dev
        exit 0
    "#]]);
    Run::new("policy write dev nowhere.hcl").check(expect![[r#"
        ! Error opening policy file: error reading nowhere.hcl: No such file or directory (os error 2)
        exit 2
    "#]]);
}

#[test]
fn a_token_is_created_with_what_was_said() {
    let auth = r#"{"request_id":"r","auth":{"client_token":"hvs.A","accessor":"acc","policies":["default","dev"],"token_policies":["default","dev"],"metadata":null,"lease_duration":2764800,"renewable":true,"entity_id":"","token_type":"service","orphan":false,"mfa_requirement":null,"num_uses":0}}"#;
    Run::new("token create -policy=dev").answers([raw(200, auth)]).check(expect![[r#"
        > POST /v1/auth/token/create {"policies":["dev"],"ttl":"0s","explicit_max_ttl":"0s","period":"0s","display_name":"","num_uses":0,"renewable":true,"type":"service","entity_alias":""}
        Key                  Value
        ---                  -----
        token                hvs.A
        token_accessor       acc
        token_duration       768h
        token_renewable      true
        token_policies       ["default" "dev"]
        identity_policies    []
        policies             ["default" "dev"]
        exit 0
    "#]]);
    Run::new("token create -ttl=1h -renewable=false -orphan -metadata=a=b -use-limit=1 -role=r -field=token").answers([raw(200, auth)]).check(expect![[r#"
        > POST /v1/auth/token/create/r {"meta":{"a":"b"},"ttl":"1h0m0s","explicit_max_ttl":"0s","period":"0s","no_parent":true,"display_name":"","num_uses":1,"renewable":false,"type":"service","entity_alias":""}
        hvs.A<no newline>
        exit 0
    "#]]);
    Run::new("token create -format=json").answers([raw(200, auth)]).check(expect![[r#"
        > POST /v1/auth/token/create {"ttl":"0s","explicit_max_ttl":"0s","period":"0s","display_name":"","num_uses":0,"renewable":true,"type":"service","entity_alias":""}
        {
          "request_id": "r",
          "lease_id": "",
          "lease_duration": 0,
          "renewable": false,
          "data": null,
          "warnings": null,
          "auth": {
            "client_token": "hvs.A",
            "accessor": "acc",
            "policies": [
              "default",
              "dev"
            ],
            "token_policies": [
              "default",
              "dev"
            ],
            "identity_policies": null,
            "metadata": null,
            "orphan": false,
            "entity_id": "",
            "lease_duration": 2764800,
            "renewable": true,
            "mfa_requirement": null
          }
        }
        exit 0
    "#]]);
}

#[test]
fn tokens_are_looked_up_renewed_and_revoked() {
    let data = r#"{"accessor":"acc","id":"hvs.A","policies":["root"],"ttl":0,"expire_time":null,"meta":null}"#;
    Run::new("token lookup")
        .answers([ok(data)])
        .check(expect![[r#"
        > GET /v1/auth/token/lookup-self
        Key            Value
        ---            -----
        accessor       acc
        expire_time    <nil>
        id             hvs.A
        meta           <nil>
        policies       [root]
        ttl            0s
        exit 0
    "#]]);
    Run::new("token lookup -accessor acc")
        .answers([ok(data)])
        .check(expect![[r#"
        > POST /v1/auth/token/lookup-accessor {"accessor":"acc"}
        Key            Value
        ---            -----
        accessor       acc
        expire_time    <nil>
        id             hvs.A
        meta           <nil>
        policies       [root]
        ttl            0s
        exit 0
    "#]]);
    Run::new("token renew -increment=1h hvs.A")
        .answers([status(204)])
        .check(expect![[r#"
        > PUT /v1/auth/token/renew {"token":"hvs.A","increment":3600}
        exit 0
    "#]]);
    Run::new("token revoke -self")
        .answers([status(204)])
        .check(expect![[r#"
        > PUT /v1/auth/token/revoke-self null
        Success! Revoked token (if it existed)
        exit 0
    "#]]);
    Run::new("token revoke -mode=orphan hvs.A")
        .answers([status(204)])
        .check(expect![[r#"
        > PUT /v1/auth/token/revoke-orphan {"token":"hvs.A"}
        Success! Revoked token (if it existed)
        exit 0
    "#]]);
    Run::new("token revoke -mode=path auth/userpass/")
        .answers([status(204)])
        .check(expect![[r#"
        > PUT /v1/sys/leases/revoke-prefix/auth/userpass
        Success! Revoked token (if it existed)
        exit 0
    "#]]);
    Run::new("token revoke").check(expect![[r#"
        ! Not enough arguments (expected 1 or -self, got 0)
        exit 1
    "#]]);
    Run::new("token revoke -self -accessor").check(expect![[r#"
        ! Cannot use -self with -accessor!
        exit 1
    "#]]);
}

#[test]
fn capabilities_are_those_of_the_path() {
    let data = r#"{"capabilities":["update","read"],"secret/data/a":["update","read"]}"#;
    Run::new("token capabilities secret/data/a")
        .answers([ok(data)])
        .check(expect![[r#"
        > POST /v1/sys/capabilities-self {"token":"root","path":"secret/data/a"}
        read, update
        exit 0
    "#]]);
    Run::new("token capabilities hvs.B secret/data/a")
        .answers([ok(data)])
        .check(expect![[r#"
        > POST /v1/sys/capabilities {"token":"hvs.B","path":"secret/data/a"}
        read, update
        exit 0
    "#]]);
}

#[test]
fn login_keeps_the_token_for_the_next_command() {
    let data = r#"{"accessor":"acc","id":"hvs.L","policies":["dev"],"ttl":60,"renewable":true,"meta":{"user":"x"}}"#;
    let home = Home::new();
    Run::new("login hvs.L")
        .without_token()
        .home(&home)
        .answers([ok(data)])
        .check(expect![[r#"
        > GET /v1/auth/token/lookup-self
        >   x-vault-token: hvs.L
        Success! You are now authenticated. The token information displayed below
        is already stored in the token helper. You do NOT need to run "coffer login"
        again. Future Vault requests will automatically use this token.

        Key                  Value
        ---                  -----
        token                hvs.L
        token_accessor       acc
        token_duration       1m
        token_renewable      true
        token_policies       ["dev"]
        identity_policies    []
        policies             ["dev"]
        token_meta_user      x
        exit 0
    "#]]);
    Run::new("print token")
        .without_token()
        .home(&home)
        .check(expect![[r#"
        hvs.L
        exit 0
    "#]]);
    Run::new("login -no-store -")
        .stdin("hvs.L\n")
        .without_token()
        .home(&home)
        .answers([ok(data)])
        .check(expect![[r#"
        > GET /v1/auth/token/lookup-self
        >   x-vault-token: hvs.L
        Key                  Value
        ---                  -----
        token                hvs.L
        token_accessor       acc
        token_duration       1m
        token_renewable      true
        token_policies       ["dev"]
        identity_policies    []
        policies             ["dev"]
        token_meta_user      x
        ! The token was not stored in token helper. Set the VAULT_TOKEN environment
        ! variable or pass the token below with each request to Vault.
        !
        exit 0
    "#]]);
    Run::new("login -token-only hvs.L")
        .home(&home)
        .answers([ok(data)])
        .check(expect![[r#"
        > GET /v1/auth/token/lookup-self
        >   x-vault-token: hvs.L
        hvs.L<no newline>
        exit 0
    "#]]);
    Run::new("login -method=userpass username=x").check(expect![[r#"
        ! Unknown auth method: userpass. Use "coffer auth list" to see the complete list
        ! of auth methods. Additionally, some auth methods are only available via the
        ! HTTP API.
        ! Hint: log in by the API: coffer write auth/userpass/login ...
        exit 1
    "#]]);
    Run::new("login hvs.bad")
        .answers([denied()])
        .check(expect![[r#"
        > GET /v1/auth/token/lookup-self
        >   x-vault-token: hvs.bad
        ! Error authenticating: error looking up token: Error making API request.
        !
        ! URL: GET http://SERVER/v1/auth/token/lookup-self
        ! Code: 403. Errors:
        !
        ! * 1 error occurred:
        ! 	* permission denied
        !
        !
        ! Hint: the token is wrong, expired or revoked: get a new one with "coffer login"
        exit 2
    "#]]);
}
