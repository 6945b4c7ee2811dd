"""Tokens through `client.auth.token` and the older calls of the client itself."""

import hvac
import pytest
from hvac import exceptions

from conftest import policy, refused, token

DENIED = "1 error occurred:\n\t* permission denied\n\n"
UNKNOWN = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"
READER = 'path "secret/data/hvac-app/*" { capabilities = ["read"] }'


def user_of(client, made):
    return hvac.Client(url=client.url, token=made["auth"]["client_token"])


def test_a_token_is_created_with_all_that_was_asked_for(client):
    with policy(client, "hvac-reader", READER):
        made = client.auth.token.create(
            policies=["hvac-reader"], ttl="1h", meta={"team": "a"}, display_name="of a/test!", num_uses=7,
        )
        auth = made["auth"]
        assert auth["client_token"].startswith("hvs.")
        assert auth["policies"] == auth["token_policies"] == ["default", "hvac-reader"]
        assert auth["metadata"] == {"team": "a"}
        assert (auth["lease_duration"], auth["renewable"], auth["num_uses"]) == (3600, True, 7)
        assert (auth["token_type"], auth["orphan"], auth["entity_id"]) == ("service", False, "")
        assert auth["mfa_requirement"] is None
        assert made["data"] is None

        looked = client.auth.token.lookup(auth["client_token"])["data"]
        assert looked["id"] == auth["client_token"]
        assert looked["accessor"] == auth["accessor"]
        assert looked["policies"] == ["default", "hvac-reader"]
        assert looked["display_name"] == "token-of-a-test"
        assert looked["meta"] == {"team": "a"}
        assert looked["path"] == "auth/token/create"
        assert looked["creation_ttl"] == 3600
        assert 3590 <= looked["ttl"] <= 3600
        assert (looked["num_uses"], looked["orphan"], looked["type"]) == (7, False, "service")
        assert client.lookup_token(auth["client_token"])["data"]["id"] == auth["client_token"]
        client.revoke_token(auth["client_token"])


def test_a_token_is_looked_up_by_itself_and_by_its_accessor(client):
    with token(client, policies=["default"]) as user:
        itself = user.auth.token.lookup_self()["data"]
        assert itself["id"] == user.token
        assert user.lookup_token()["data"]["id"] == user.token
        by_accessor = client.auth.token.lookup_accessor(itself["accessor"])["data"]
        assert by_accessor["id"] == ""
        assert by_accessor["accessor"] == itself["accessor"]
        assert itself["accessor"] in client.auth.token.list_accessors()["data"]["keys"]


def test_the_root_token_never_ends(client):
    root = client.auth.token.lookup_self()["data"]
    assert root["policies"] == ["root"]
    assert (root["ttl"], root["expire_time"], root["orphan"]) == (0, None, True)
    with refused(exceptions.InvalidRequest, "invalid lease ID"):
        client.auth.token.renew_self()


def test_a_client_knows_whether_it_is_authenticated(client, nobody, stranger):
    assert client.is_authenticated() is True
    assert stranger.is_authenticated() is False
    assert nobody.is_authenticated() is False


def test_a_wrong_token_is_forbidden_and_told_so(stranger):
    with refused(exceptions.Forbidden, UNKNOWN):
        stranger.secrets.kv.v2.read_secret_version("hvac-app/x", raise_on_deleted_version=True)
    with refused(exceptions.Forbidden, UNKNOWN):
        stranger.secrets.kv.v2.create_or_update_secret("hvac-app/x", {"a": "1"})
    with refused(exceptions.Forbidden, UNKNOWN):
        stranger.secrets.kv.v2.list_secrets("")
    with refused(exceptions.Forbidden, UNKNOWN):
        stranger.sys.list_mounted_secrets_engines()


def test_without_a_token_nothing_is_to_be_had(nobody):
    with refused(exceptions.Forbidden, "permission denied"):
        nobody.secrets.kv.v2.read_secret_version("hvac-app/x", raise_on_deleted_version=True)
    with refused(exceptions.Forbidden, "permission denied"):
        nobody.adapter.get("/v1/nope/x")


def test_a_token_does_what_its_policies_say_and_no_more(client, kv2):
    kv2.create_or_update_secret("hvac-app/x", {"a": "1"})
    try:
        with policy(client, "hvac-reader", READER), token(client, policies=["hvac-reader"]) as user:
            mine = user.secrets.kv.v2
            read = mine.read_secret_version("hvac-app/x", raise_on_deleted_version=True)
            assert read["data"]["data"] == {"a": "1"}
            with refused(exceptions.InvalidPath, None):
                mine.read_secret_version("hvac-app/nothing", raise_on_deleted_version=True)
            for forbidden in (
                lambda: mine.create_or_update_secret("hvac-app/x", {"a": "2"}),
                lambda: mine.delete_latest_version_of_secret("hvac-app/x"),
                lambda: mine.list_secrets("hvac-app"),
                lambda: mine.read_secret_version("hvac-other", raise_on_deleted_version=True),
                lambda: user.sys.list_mounted_secrets_engines(),
                lambda: user.adapter.get("/v1/nope/x"),
            ):
                with refused(exceptions.Forbidden, DENIED):
                    forbidden()
            assert kv2.read_secret("hvac-app/x", raise_on_deleted_version=True)["data"]["data"] == {"a": "1"}
    finally:
        kv2.delete_metadata_and_all_versions("hvac-app/x")


def test_a_change_of_policy_is_seen_by_the_tokens_that_have_it(client):
    with policy(client, "hvac-reader", READER), token(client, policies=["hvac-reader"]) as user:
        path = "secret/data/hvac-app/x"
        assert user.sys.get_capabilities([path])["capabilities"] == ["read"]
        client.sys.create_or_update_policy("hvac-reader", READER.replace('"read"', '"read", "update"'))
        assert user.sys.get_capabilities([path])["capabilities"] == ["read", "update"]


def test_a_token_is_renewed(client):
    made = client.auth.token.create(policies=["default"], ttl="1h")
    user, accessor = user_of(client, made), made["auth"]["accessor"]
    renewed = user.auth.token.renew_self(increment="2h")["auth"]
    assert (renewed["client_token"], renewed["lease_duration"]) == (user.token, 7200)
    renewed = client.auth.token.renew(user.token, increment=1800)["auth"]
    assert (renewed["client_token"], renewed["lease_duration"]) == (user.token, 1800)
    renewed = client.auth.token.renew_accessor(accessor, increment="90m")["auth"]
    assert (renewed["client_token"], renewed["lease_duration"]) == ("", 5400)
    assert client.renew_token(user.token, increment=600)["auth"]["lease_duration"] == 600
    assert client.auth.token.lookup(user.token)["data"]["last_renewal_time"] > 0
    client.revoke_token(user.token)
    with refused(exceptions.InvalidRequest, "token not found"):
        client.auth.token.renew(user.token)


def test_some_tokens_are_not_renewed(client):
    with token(client, policies=["default"], ttl="1h", renewable=False) as user:
        with refused(exceptions.InvalidRequest, "lease is not renewable"):
            user.auth.token.renew_self()


def test_no_renewal_goes_beyond_the_explicit_maximum(client):
    with token(client, policies=["default"], ttl="1h", explicit_max_ttl="2h") as user:
        renewed = user.auth.token.renew_self(increment="9h")
        assert 7100 <= renewed["auth"]["lease_duration"] <= 7200
        assert 'TTL of "9h" exceeded the effective max_ttl' in renewed["warnings"][0]
        assert user.auth.token.lookup_self()["data"]["explicit_max_ttl"] == 7200


def test_a_periodic_token_gets_its_period_each_time(client):
    with token(client, policies=["default"], period="1h") as user:
        assert user.auth.token.lookup_self()["data"]["period"] == 3600
        assert user.auth.token.renew_self(increment="9h")["auth"]["lease_duration"] == 3600


def test_a_token_is_revoked_with_its_children(client):
    parent = user_of(client, client.auth.token.create(policies=["root"], ttl="1h"))
    child = user_of(client, parent.auth.token.create(policies=["default"]))
    grandchild = user_of(client, parent.auth.token.create(policies=["default"]))
    assert child.is_authenticated() and grandchild.is_authenticated()
    assert client.auth.token.revoke(parent.token).status_code == 204
    for gone in (parent, child, grandchild):
        assert not gone.is_authenticated()
        with refused(exceptions.Forbidden, "bad token"):
            client.auth.token.lookup(gone.token)
    # It is gone already, which is all that was wanted.
    assert client.auth.token.revoke(parent.token).status_code == 204


def test_an_orphan_outlives_who_made_it(client):
    parent = user_of(client, client.auth.token.create(policies=["root"], ttl="1h"))
    made = parent.auth.token.create_orphan(policies=["default"])
    orphan = user_of(client, made)
    assert made["auth"]["orphan"] is True
    also = user_of(client, parent.auth.token.create(policies=["default"], no_parent=True))
    client.auth.token.revoke(parent.token)
    assert orphan.is_authenticated() and also.is_authenticated()
    client.auth.token.revoke(orphan.token)
    client.auth.token.revoke(also.token)


def test_a_token_may_be_revoked_without_its_children(client):
    parent = user_of(client, client.auth.token.create(policies=["root"], ttl="1h"))
    child = user_of(client, parent.auth.token.create(policies=["default"]))
    assert client.auth.token.revoke_and_orphan_children(parent.token).status_code == 204
    assert not parent.is_authenticated()
    assert child.auth.token.lookup_self()["data"]["orphan"] is True
    client.auth.token.revoke(child.token)
    with refused(exceptions.InvalidRequest, "token to revoke not found"):
        client.auth.token.revoke_and_orphan_children(parent.token)


def test_a_token_is_revoked_by_its_accessor_and_by_itself(client):
    made = client.auth.token.create(policies=["default"])
    user, accessor = user_of(client, made), made["auth"]["accessor"]
    assert client.auth.token.revoke_accessor(accessor).status_code == 204
    assert not user.is_authenticated()
    with refused(exceptions.InvalidRequest, "1 error occurred:\n\t* invalid accessor\n\n"):
        client.auth.token.lookup_accessor(accessor)
    assert client.auth.token.revoke_accessor(accessor)["warnings"] == ["No token found with this accessor"]

    user = user_of(client, client.auth.token.create(policies=["default"]))
    token_text = user.token
    user.logout(revoke_token=True)
    assert user.token is None
    with refused(exceptions.Forbidden, "bad token"):
        client.auth.token.lookup(token_text)


def test_a_token_with_two_uses_works_twice(client):
    user = user_of(client, client.auth.token.create(policies=["default"], num_uses=2))
    assert user.auth.token.lookup_self()["data"]["num_uses"] == 1
    user.auth.token.lookup_self()
    with refused(exceptions.Forbidden, UNKNOWN):
        user.auth.token.lookup_self()


def test_a_refused_request_is_a_use_all_the_same(client):
    user = user_of(client, client.auth.token.create(policies=["default"], num_uses=1))
    with refused(exceptions.Forbidden, DENIED):
        user.sys.list_mounted_secrets_engines()
    with refused(exceptions.Forbidden, UNKNOWN):
        user.auth.token.lookup_self()


def test_a_token_may_have_an_id_that_was_chosen(client):
    made = client.auth.token.create(id="hvac-chosen-token-0123456789", policies=["default"])
    assert made["auth"]["client_token"] == "hvac-chosen-token-0123456789"
    assert user_of(client, made).is_authenticated()
    client.auth.token.revoke("hvac-chosen-token-0123456789")
    with refused(exceptions.InvalidRequest, "custom token ID cannot have a '.' in the value"):
        client.auth.token.create(id="has.a.dot.in.it.0123456789")


def test_the_default_policy_can_be_left_out(client):
    with policy(client, "hvac-reader", READER):
        made = client.auth.token.create(policies=["hvac-reader"], no_default_policy=True)
        assert made["auth"]["policies"] == ["hvac-reader"]
        # Not even looking at itself is allowed then.
        with refused(exceptions.Forbidden, DENIED):
            user_of(client, made).auth.token.lookup_self()
        client.auth.token.revoke(made["auth"]["client_token"])


def test_a_policy_that_does_not_exist_is_warned_of(client):
    made = client.auth.token.create(policies=["hvac-nothing"])
    assert 'Policy "hvac-nothing" does not exist' in made["warnings"]
    client.auth.token.revoke(made["auth"]["client_token"])


def test_a_child_has_no_more_than_its_parent(client):
    maker = 'path "auth/token/create*" { capabilities = ["create", "update"] }'
    with policy(client, "hvac-maker", maker), token(client, policies=["hvac-maker"]) as user:
        made = user.auth.token.create(policies=["hvac-maker"])
        assert made["auth"]["policies"] == ["default", "hvac-maker"]
        for wanted, text in (
            ({"policies": ["hvac-reader"]}, "child policies must be subset of parent"),
            ({"policies": ["root"]}, "child policies must be subset of parent"),
            ({"no_parent": True}, "root or sudo privileges required to create orphan token"),
            ({"period": "1h"}, "root or sudo privileges required to create periodic token"),
            ({"id": "chosen-by-somebody-else"}, "root or sudo privileges required to specify token id"),
        ):
            with refused(exceptions.InvalidRequest, text):
                user.auth.token.create(**wanted)


def test_whoever_has_sudo_makes_any_token_but_a_root_token(client):
    maker = 'path "auth/token/create" { capabilities = ["update", "sudo"] }'
    with policy(client, "hvac-maker", maker), token(client, policies=["hvac-maker"]) as user:
        made = user.auth.token.create(policies=["hvac-other"], no_parent=True)
        assert (made["auth"]["policies"], made["auth"]["orphan"]) == (["default", "hvac-other"], True)
        client.auth.token.revoke(made["auth"]["client_token"])
        with refused(exceptions.InvalidRequest, "root tokens may not be created without parent token being root"):
            user.auth.token.create(policies=["root"])


@pytest.mark.parametrize("wanted, text", [
    ({"num_uses": -1}, "number of uses cannot be negative"),
    ({"type": "nothing-like-it"}, "invalid 'token_type' value"),
    ({"policies": ["root", "default"]}, "root tokens may not have other policies"),
])
def test_a_token_that_cannot_be_is_refused(client, wanted, text):
    with refused(exceptions.InvalidRequest, text):
        client.auth.token.create(**wanted)


def test_a_cubbyhole_is_its_tokens_own_and_ends_with_it(client):
    with token(client, policies=["default"]) as one, token(client, policies=["default"]) as other:
        one.write_data("cubbyhole/mine", data={"a": 1})
        assert one.read("cubbyhole/mine")["data"] == {"a": 1}
        assert one.list("cubbyhole")["data"] == {"keys": ["mine"]}
        assert other.read("cubbyhole/mine") is None
        assert client.read("cubbyhole/mine") is None
        one.delete("cubbyhole/mine")
        assert one.read("cubbyhole/mine") is None


def test_there_is_one_namespace(client):
    elsewhere = hvac.Client(url=client.url, token=client.token, namespace="team-a")
    with refused(exceptions.InvalidPath, "namespace not found"):
        elsewhere.secrets.kv.v2.list_secrets("")
    root = hvac.Client(url=client.url, token=client.token, namespace="root")
    assert root.is_authenticated()


def test_a_path_that_nothing_serves_is_named(client):
    with refused(exceptions.InvalidPath, 'no handler for route "nope/x". route entry not found.'):
        client.adapter.get("/v1/nope/x")
    assert client.read("nope/x") is None
