"""`client.sys`: mounts, auth methods, policies, capabilities, health, keys."""

import base64
import hashlib
import time
import uuid

import pytest
from hvac import exceptions

from conftest import engine, policy, refused, token

READER = 'path "secret/data/hvac-app/*" { capabilities = ["read", "list"] }'


# Mounts

def test_mounts_are_listed_at_both_levels(client):
    listed = client.sys.list_mounted_secrets_engines()
    for path, kind in {"secret/": "kv", "sys/": "system", "cubbyhole/": "cubbyhole", "identity/": "identity"}.items():
        mount = listed["data"][path]
        assert mount["type"] == kind
        assert mount["accessor"].startswith(f"{kind}_")
        assert uuid.UUID(mount["uuid"])
        assert mount["config"].keys() >= {"default_lease_ttl", "max_lease_ttl", "force_no_cache"}
        # Clients of old read it here.
        assert listed[path] == mount
    assert listed["data"]["cubbyhole/"]["description"] == "per-token private secret storage"
    assert listed["data"]["secret/"]["options"] == {"version": "2"}


def test_an_option_of_a_mount_is_read(client):
    assert client.sys.retrieve_mount_option("secret", "version") == "2"
    assert client.sys.retrieve_mount_option("secret", "colour", "none") == "none"
    assert client.sys.retrieve_mount_option("cubbyhole", "version", "none") == "none"


def test_an_engine_is_enabled_and_disabled(client):
    enabled = client.sys.enable_secrets_engine(
        "kv", path="hvac-a/b", description="of a test", options={"version": "2"},
        config={"default_lease_ttl": "1h", "max_lease_ttl": 7200},
    )
    assert enabled.status_code == 204
    mount = client.sys.list_mounted_secrets_engines()["data"]["hvac-a/b/"]
    assert mount["description"] == "of a test"
    assert (mount["config"]["default_lease_ttl"], mount["config"]["max_lease_ttl"]) == (3600, 7200)
    client.secrets.kv.v2.create_or_update_secret("app", {"a": "1"}, mount_point="hvac-a/b")

    assert client.sys.disable_secrets_engine("hvac-a/b").status_code == 204
    assert "hvac-a/b/" not in client.sys.list_mounted_secrets_engines()["data"]
    with refused(exceptions.InvalidPath, 'no handler for route "hvac-a/b/data/app". route entry not found.'):
        client.secrets.kv.v2.read_secret_version("app", mount_point="hvac-a/b", raise_on_deleted_version=True)
    # It is gone already, which is all that was wanted.
    assert client.sys.disable_secrets_engine("hvac-a/b").status_code == 204


def test_what_was_disabled_does_not_come_back(client):
    kv2 = client.secrets.kv.v2
    with engine(client, "hvac-kv2", "2"):
        kv2.create_or_update_secret("app", {"a": "1"}, mount_point="hvac-kv2")
    with engine(client, "hvac-kv2", "2"):
        with refused(exceptions.InvalidPath, None):
            kv2.list_secrets("", mount_point="hvac-kv2")


@pytest.mark.parametrize("kind, path, text", [
    ("kv", "hvac-kv1", "path is already in use at hvac-kv1/"),
    ("kv", "hvac-kv1/below", "path is already in use at hvac-kv1/"),
    ("nothing-like-it", "hvac-x", "plugin not found in the catalog: nothing-like-it"),
    ("kv", "sys/x", 'cannot mount "sys/x/"'),
    ("kv", "cubbyhole", 'cannot mount "cubbyhole/"'),
    ("system", "hvac-x", 'mount type of "system" is not mountable'),
    ("", "hvac-x", "backend type must be specified as a string"),
])
def test_a_mount_that_cannot_be_is_refused(client, kv1, kind, path, text):
    with refused(exceptions.InvalidRequest, text):
        client.sys.enable_secrets_engine(kind, path=path)


def test_a_mount_is_tuned(client):
    with engine(client, "hvac-kv2", "2") as mount:
        before = client.sys.read_mount_configuration(mount)
        assert before["data"]["default_lease_ttl"] == 2764800
        assert before["default_lease_ttl"] == 2764800
        tuned = client.sys.tune_mount_configuration(
            mount, default_lease_ttl="30m", max_lease_ttl="1h", description="tuned",
            listing_visibility="unauth", passthrough_request_headers=["X-One"],
            audit_non_hmac_request_keys=["a", "b"],
        )
        assert tuned.status_code == 204
        after = client.sys.read_mount_configuration(mount)["data"]
        assert (after["default_lease_ttl"], after["max_lease_ttl"]) == (1800, 3600)
        assert after["description"] == "tuned"
        assert after["listing_visibility"] == "unauth"
        assert after["passthrough_request_headers"] == ["X-One"]
        assert after["audit_non_hmac_request_keys"] == ["a", "b"]
        assert after["options"] == {"version": "2"}
        # What is not given stays; "system" takes a figure back.
        client.sys.tune_mount_configuration(mount, default_lease_ttl="system", max_lease_ttl="system")
        after = client.sys.read_mount_configuration(mount)["data"]
        assert (after["default_lease_ttl"], after["description"]) == (2764800, "tuned")

    with refused(exceptions.InvalidRequest, 'cannot fetch sysview for path "hvac-kv2/"'):
        client.sys.read_mount_configuration("hvac-kv2")
    with refused(exceptions.InvalidRequest, 'tune of path "hvac-kv2/" failed: no mount entry found'):
        client.sys.tune_mount_configuration("hvac-kv2", description="x")


def test_kv_is_upgraded_in_place(client, kv1):
    kv2 = client.secrets.kv.v2
    kv1.create_or_update_secret("deep/app", {"n": 1, "text": "✓"}, mount_point="hvac-kv1")
    client.sys.tune_mount_configuration("hvac-kv1", options={"version": "2"})
    assert client.sys.retrieve_mount_option("hvac-kv1", "version") == "2"

    read = kv2.read_secret_version("deep/app", mount_point="hvac-kv1", raise_on_deleted_version=True)
    assert read["data"]["data"] == {"n": 1, "text": "✓"}
    assert read["data"]["metadata"]["version"] == 1
    assert kv2.list_secrets("", mount_point="hvac-kv1")["data"] == {"keys": ["deep/"]}
    kv2.create_or_update_secret("deep/app", {"n": 2}, cas=1, mount_point="hvac-kv1")
    with refused(exceptions.InvalidRequest, "cannot downgrade mount from version 2"):
        client.sys.tune_mount_configuration("hvac-kv1", options={"version": "1"})


def test_a_mount_is_moved_with_all_that_it_holds(client):
    kv2 = client.secrets.kv.v2
    client.sys.enable_secrets_engine("kv-v2", path="hvac-from")
    try:
        kv2.create_or_update_secret("app", {"a": "1"}, mount_point="hvac-from")
        before = client.sys.list_mounted_secrets_engines()["data"]["hvac-from/"]
        moved = client.sys.move_backend("hvac-from", "hvac-to")
        status = wait_for_move(client, moved["data"]["migration_id"])
        assert (status["source_mount"], status["target_mount"]) == ("hvac-from/", "hvac-to/")

        mounts = client.sys.list_mounted_secrets_engines()["data"]
        assert "hvac-from/" not in mounts
        assert mounts["hvac-to/"] == before
        read = kv2.read_secret_version("app", mount_point="hvac-to", raise_on_deleted_version=True)
        assert read["data"]["data"] == {"a": "1"}
        with refused(exceptions.InvalidRequest, 'no matching mount at "hvac-from/"'):
            client.sys.move_backend("hvac-from", "hvac-to")
        with refused(exceptions.InvalidRequest, 'path already in use at "secret/"'):
            client.sys.move_backend("hvac-to", "secret")
        with refused(exceptions.InvalidRequest, 'cannot remount "sys/"'):
            client.sys.move_backend("sys", "hvac-sys")
    finally:
        client.sys.disable_secrets_engine("hvac-from")
        client.sys.disable_secrets_engine("hvac-to")


def wait_for_move(client, migration_id):
    """As the command line does: it asks until the move is over."""
    deadline = time.monotonic() + 30
    while True:
        info = client.read(f"sys/remount/status/{migration_id}")["data"]["migration_info"]
        if info["status"] != "in-progress":
            assert info["status"] == "success"
            return info
        assert time.monotonic() < deadline, "the move does not end"


# Auth methods

def test_auth_methods_are_listed_at_both_levels(client):
    listed = client.sys.list_auth_methods()
    method = listed["data"]["token/"]
    assert method["type"] == "token"
    assert method["accessor"].startswith("auth_token_")
    assert method["description"] == "token based credentials"
    assert method["config"]["token_type"] == "default-service"
    assert listed["token/"] == method


def test_the_token_method_is_tuned_and_stays(client):
    before = client.sys.read_auth_method_tuning("token")["data"]
    assert (before["default_lease_ttl"], before["max_lease_ttl"]) == (2764800, 2764800)
    try:
        assert client.sys.tune_auth_method("token", description="ours").status_code == 204
        assert client.sys.read_auth_method_tuning("token")["data"]["description"] == "ours"
    finally:
        client.sys.tune_auth_method("token", description=before["description"])
    with refused(exceptions.InvalidRequest, "token credential backend cannot be disabled"):
        client.sys.disable_auth_method("token")


def test_an_auth_method_that_cannot_be_is_refused(client):
    with refused(exceptions.InvalidRequest, "plugin not found in the catalog: nothing-like-it"):
        client.sys.enable_auth_method("nothing-like-it")
    with refused(exceptions.InvalidRequest, "token credential backend cannot be instantiated"):
        client.sys.enable_auth_method("token", path="hvac-token")


# Policies

def test_a_policy_is_written_read_listed_and_deleted(client):
    assert client.sys.create_or_update_policy("hvac-reader", READER).status_code == 204
    read = client.sys.read_policy("hvac-reader")
    assert read["data"] == {"name": "hvac-reader", "rules": READER}
    assert read["rules"] == READER
    assert client.get_policy("hvac-reader") == READER

    listed = client.sys.list_policies()
    assert listed["data"]["policies"] == listed["policies"] == listed["keys"]
    assert {"default", "hvac-reader", "root"} <= set(listed["policies"])

    assert client.sys.delete_policy("hvac-reader").status_code == 204
    with refused(exceptions.InvalidPath, None):
        client.sys.read_policy("hvac-reader")
    assert client.get_policy("hvac-reader") is None


def test_a_policy_by_its_newer_paths(client):
    assert client.sys.create_or_update_acl_policy("hvac-reader", READER).status_code == 204
    assert client.sys.read_acl_policy("hvac-reader")["data"] == {"name": "hvac-reader", "policy": READER}
    names = client.sys.list_acl_policies()["data"]["keys"]
    assert names == sorted(names)
    assert {"default", "hvac-reader", "root"} <= set(names)
    assert client.sys.delete_acl_policy("hvac-reader").status_code == 204
    with refused(exceptions.InvalidPath, None):
        client.sys.read_acl_policy("hvac-reader")


def test_a_policy_may_be_a_dict(client):
    rules = {"path": {"secret/data/hvac-app/*": {"capabilities": ["read"]}}}
    with policy(client, "hvac-json", rules), token(client, policies=["hvac-json"]) as user:
        assert user.sys.get_capabilities(["secret/data/hvac-app/x"])["capabilities"] == ["read"]


def test_the_policies_that_are_part_of_the_server_stay(client):
    assert client.sys.read_acl_policy("root")["data"]["policy"] == ""
    with refused(exceptions.InvalidRequest, 'cannot update "root" policy'):
        client.sys.create_or_update_policy("root", READER)
    with refused(exceptions.InvalidRequest, 'cannot delete "root" policy'):
        client.sys.delete_policy("root")
    with refused(exceptions.InvalidRequest, "cannot delete default policy"):
        client.sys.delete_policy("default")


@pytest.mark.parametrize("text", ['path "a" {', 'path "a" { capabilities = ["fly"] }', 'nonsense = "x"'])
def test_a_policy_that_is_none_is_refused(client, text):
    with pytest.raises(exceptions.InvalidRequest, match="^failed to parse policy: "):
        client.sys.create_or_update_policy("hvac-bad", text)
    with refused(exceptions.InvalidPath, None):
        client.sys.read_policy("hvac-bad")
    with refused(exceptions.InvalidRequest, "'policy' parameter not supplied or empty"):
        client.sys.create_or_update_policy("hvac-bad", "")


# Capabilities

def test_capabilities_of_oneself_of_a_token_and_of_an_accessor(client):
    root = client.sys.get_capabilities(["secret/data/hvac-app/x"])
    assert root["data"] == {"secret/data/hvac-app/x": ["root"], "capabilities": ["root"]}
    with policy(client, "hvac-reader", READER), token(client, policies=["hvac-reader"]) as user:
        paths = ["secret/data/hvac-app/x", "sys/seal"]
        wanted = {"secret/data/hvac-app/x": ["list", "read"], "sys/seal": ["deny"]}
        accessor = user.auth.token.lookup_self()["data"]["accessor"]
        assert user.sys.get_capabilities(paths)["data"] == wanted
        assert client.sys.get_capabilities(paths, token=user.token)["data"] == wanted
        assert client.sys.get_capabilities(paths, accessor=accessor)["data"] == wanted
        one = client.sys.get_capabilities(paths[:1], token=user.token)
        assert one["capabilities"] == one["secret/data/hvac-app/x"] == ["list", "read"]


def test_capabilities_of_nobody_are_refused(client):
    with refused(exceptions.InvalidRequest, "1 error occurred:\n\t* invalid token\n\n"):
        client.sys.get_capabilities(["a"], token="hvs.nobody")
    with refused(exceptions.InvalidRequest, "1 error occurred:\n\t* invalid accessor\n\n"):
        client.sys.get_capabilities(["a"], accessor="nobody")
    with refused(exceptions.InvalidRequest, "paths must be supplied"):
        client.sys.get_capabilities([])


# Health, leader, keys, tools

def test_health_of_a_server_that_serves(client):
    head = client.sys.read_health_status()
    assert (head.status_code, head.content) == (200, b"")
    health = client.sys.read_health_status(method="GET", standby_ok=True)
    assert (health["initialized"], health["sealed"], health["standby"]) == (True, False, False)
    assert health["performance_standby"] is False
    assert abs(health["server_time_utc"] - time.time()) < 60
    assert health["cluster_id"] and health["cluster_name"] and health["version"]
    told = client.sys.read_health_status(method="GET", active_code=299)
    assert told.status_code == 299


def test_a_server_of_its_own_leads_nobody(client):
    leader = client.sys.read_leader_status()
    assert (leader["ha_enabled"], leader["is_self"], leader["leader_address"]) == (False, False, "")
    assert client.ha_status == leader


def test_the_seal_of_a_server_that_serves(client):
    assert client.sys.is_initialized() is True
    assert client.sys.is_sealed() is False
    status = client.seal_status
    assert (status["type"], status["sealed"], status["progress"]) == ("shamir", False, 0)
    with refused(exceptions.InvalidRequest, "Vault is already initialized"):
        client.sys.initialize(secret_shares=1, secret_threshold=1)


def test_the_encryption_key_is_rotated_under_what_is_stored(client, kv2, folder):
    kv2.create_or_update_secret(f"{folder}/app", {"a": "1"})
    before = client.key_status
    assert client.sys.rotate_encryption_key().status_code == 204
    after = client.sys.get_encryption_key_status()
    assert after["data"]["term"] == before["term"] + 1
    assert after["term"] == after["data"]["term"]
    assert after["data"]["install_time"] >= before["install_time"]
    assert kv2.read_secret(f"{folder}/app", raise_on_deleted_version=True)["data"]["data"] == {"a": "1"}


def test_the_server_draws_random_bytes_and_hashes(client):
    drawn = [client.write_data("sys/tools/random/24", data={})["data"]["random_bytes"] for _ in range(2)]
    assert drawn[0] != drawn[1]
    assert len(base64.b64decode(drawn[0])) == 24
    text = base64.b64encode(b"hello").decode()
    assert client.write_data("sys/tools/hash", data={"input": text})["data"]["sum"] == hashlib.sha256(b"hello").hexdigest()


def test_the_mount_of_a_path_is_found(client):
    mount = client.read("sys/internal/ui/mounts/secret/any/path")["data"]
    assert (mount["path"], mount["type"], mount["options"]) == ("secret/", "kv", {"version": "2"})
    with pytest.raises(exceptions.Forbidden, match='grant access to path "nope/x/"'):
        client.read("sys/internal/ui/mounts/nope/x")


def test_the_api_is_described(client):
    described = client.read("sys/internal/specs/openapi")
    assert described["openapi"].startswith("3.")
    assert "/secret/data/{path}" in described["paths"]
    assert client.read("secret/config?help=1")["help"]
