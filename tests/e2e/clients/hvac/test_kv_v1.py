"""KV version 1 through `client.secrets.kv.v1`, at hvac-kv1/."""

import json

import pytest
from hvac import exceptions

from conftest import refused

MOUNT = "hvac-kv1"


def test_a_secret_is_put_read_and_deleted(kv1):
    assert kv1.create_or_update_secret("app", {"user": "ada"}, mount_point=MOUNT).status_code == 204
    read = kv1.read_secret("app", mount_point=MOUNT)
    assert read["data"] == {"user": "ada"}
    assert (read["lease_id"], read["renewable"], read["lease_duration"]) == ("", False, 2764800)
    assert kv1.delete_secret("app", mount_point=MOUNT).status_code == 204
    with refused(exceptions.InvalidPath, None):
        kv1.read_secret("app", mount_point=MOUNT)
    assert kv1.delete_secret("app", mount_point=MOUNT).status_code == 204


@pytest.mark.parametrize("method", ["POST", "PUT", None])
def test_a_put_replaces_all_of_a_secret(kv1, method):
    kv1.create_or_update_secret("app", {"a": "1", "b": "2"}, method=method, mount_point=MOUNT)
    kv1.create_or_update_secret("app", {"b": "3"}, method=method, mount_point=MOUNT)
    assert kv1.read_secret("app", mount_point=MOUNT)["data"] == {"b": "3"}


def test_values_come_back_exactly(kv1):
    secret = {
        "text": "Ünïcödé ✓ \n", "empty": "", "null": None, "yes": True, "one": 1, "one point zero": 1.0,
        "beyond 64 bits": 123456789012345678901234567890, "nested": {"list": [1, [None], {}]},
        "path": "not the path", "data": {"not": "the data"},
    }
    kv1.create_or_update_secret("deep/er/app", secret, mount_point=MOUNT)
    read = kv1.read_secret("deep/er/app", mount_point=MOUNT)["data"]
    assert json.dumps(read, sort_keys=True) == json.dumps(secret, sort_keys=True)


def test_keys_and_folders_are_listed_in_order(kv1):
    for name in ("b", "a", "a/below", "c/far/below"):
        kv1.create_or_update_secret(name, {"name": name}, mount_point=MOUNT)
    assert kv1.list_secrets("", mount_point=MOUNT)["data"] == {"keys": ["a", "a/", "b", "c/"]}
    assert kv1.list_secrets("c", mount_point=MOUNT)["data"] == {"keys": ["far/"]}
    with refused(exceptions.InvalidPath, None):
        kv1.list_secrets("d", mount_point=MOUNT)


def test_a_secret_says_when_to_read_it_again(kv1):
    for ttl, seconds in (("30m", 1800), (60, 60), ("whenever", 2764800)):
        kv1.create_or_update_secret("app", {"ttl": ttl, "a": "1"}, mount_point=MOUNT)
        read = kv1.read_secret("app", mount_point=MOUNT)
        assert read["lease_duration"] == seconds
        assert read["data"] == {"ttl": ttl, "a": "1"}


def test_nothing_is_no_secret(kv1):
    with refused(exceptions.InvalidRequest, "missing data fields"):
        kv1.create_or_update_secret("app", {}, method="POST", mount_point=MOUNT)


def test_the_generic_calls_do_the_same(client, kv1):
    client.write_data(f"{MOUNT}/app", data={"a": 1})
    assert client.read(f"{MOUNT}/app")["data"] == {"a": 1}
    assert client.list(MOUNT)["data"] == {"keys": ["app"]}
    client.delete(f"{MOUNT}/app")
    assert client.read(f"{MOUNT}/app") is None
    assert client.list(MOUNT) is None
