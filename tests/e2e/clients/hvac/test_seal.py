"""A server before it is initialised, while it is sealed, and how it is opened."""

import os

import hvac
import pytest
from hvac import exceptions

from conftest import refused

SEALED = "Vault is sealed"


def test_a_sealed_server_says_so_and_nothing_else(sealed):
    assert sealed.sys.is_sealed() is True
    assert sealed.sys.is_initialized() is True
    status = sealed.sys.read_seal_status()
    assert (status["type"], status["sealed"], status["initialized"]) == ("shamir", True, True)
    assert "cluster_id" not in status
    for call in (
        lambda: sealed.secrets.kv.v2.read_secret_version("app", raise_on_deleted_version=True),
        lambda: sealed.secrets.kv.v2.create_or_update_secret("app", {"a": "1"}),
        lambda: sealed.secrets.kv.v2.list_secrets(""),
        lambda: sealed.secrets.kv.v1.read_secret("app"),
        lambda: sealed.sys.list_mounted_secrets_engines(),
        lambda: sealed.sys.seal(),
        lambda: sealed.auth.token.lookup_self(),
        lambda: sealed.is_authenticated(),
        lambda: sealed.read("nope/x"),
    ):
        with refused(exceptions.VaultDown, SEALED):
            call()


def test_health_of_a_sealed_server(sealed):
    assert sealed.sys.read_health_status().status_code == 503
    health = sealed.sys.read_health_status(method="GET")
    assert health.status_code == 503
    assert (health.json()["initialized"], health.json()["sealed"], health.json()["standby"]) == (True, True, True)
    assert sealed.sys.read_health_status(method="GET", sealed_code=200)["sealed"] is True
    assert sealed.sys.read_leader_status()["ha_enabled"] is False


@pytest.mark.parametrize("key, text", [
    (None, "'key' must be specified in request body as JSON, or 'reset' set to true"),
    ("not a key!", "'key' must be a valid hex or base64 string"),
    ("c2hvcnQ=", "invalid key: key is shorter than minimum 16 bytes"),
])
def test_what_is_no_unseal_key_is_refused(sealed, key, text):
    with refused(exceptions.InvalidRequest, text):
        sealed.sys.submit_unseal_key(key)
    assert sealed.sys.is_sealed() is True


@pytest.mark.skipif(not os.environ.get("FRESH_ADDR"), reason="no FRESH_ADDR")
def test_a_new_server_is_initialised_unsealed_used_and_sealed():
    """One story: there is one new server, and it is new once."""
    client = hvac.Client(url=os.environ["FRESH_ADDR"])
    client.token = None
    assert client.sys.is_initialized() is False
    assert client.sys.read_health_status().status_code == 501
    assert client.sys.read_seal_status()["initialized"] is False
    with refused(exceptions.InvalidRequest, "Vault is not initialized"):
        client.sys.submit_unseal_key("00" * 33)
    with refused(exceptions.VaultDown, SEALED):
        client.sys.list_mounted_secrets_engines()

    for (shares, threshold), words in {
        (1, 2): "threshold cannot be larger than shares",
        (3, 1): "threshold must be greater than one for multiple shares",
        (0, 0): "shares must be at least one",
        (256, 3): "shares must be less than 256",
    }.items():
        with refused(exceptions.InvalidRequest, f"invalid seal configuration: {words}"):
            client.sys.initialize(secret_shares=shares, secret_threshold=threshold)

    made = client.sys.initialize(secret_shares=5, secret_threshold=3)
    hex_keys, base64_keys = made["keys"], made["keys_base64"]
    assert len(set(hex_keys)) == len(set(base64_keys)) == 5
    assert made["root_token"].startswith("hvs.")
    assert client.sys.is_initialized() is True
    assert client.sys.is_sealed() is True
    with refused(exceptions.InvalidRequest, "Vault is already initialized"):
        client.sys.initialize(secret_shares=5, secret_threshold=3)

    # Progress is shown, a share counts once, and can be taken back.
    status = client.sys.submit_unseal_key(hex_keys[0])
    assert (status["sealed"], status["progress"], status["t"], status["n"]) == (True, 1, 3, 5)
    assert status["nonce"]
    assert client.sys.submit_unseal_key(hex_keys[0])["progress"] == 1
    assert client.sys.submit_unseal_key(base64_keys[0])["progress"] == 1
    reset = client.sys.submit_unseal_key(reset=True)
    assert (reset["progress"], reset["nonce"]) == (0, "")

    # A mistyped share is named, and costs nobody else's.
    client.sys.submit_unseal_key(hex_keys[0])
    first = hex_keys[1][0]
    mistyped = ("0" if first != "0" else "1") + hex_keys[1][1:]
    with pytest.raises(exceptions.InvalidRequest, match="^invalid key: the unseal share is mistyped"):
        client.sys.submit_unseal_key(mistyped)
    assert client.sys.read_seal_status()["progress"] == 1

    status = client.sys.submit_unseal_keys([hex_keys[1], base64_keys[4]])
    assert (status["sealed"], status["progress"]) == (False, 0)
    assert status["cluster_id"] and status["cluster_name"]
    assert client.sys.read_health_status().status_code == 200
    with refused(exceptions.InvalidRequest, "vault is unsealed"):
        client.sys.submit_unseal_key(reset=True)

    # A new server has no secrets engine but its own.
    client.token = made["root_token"]
    assert client.is_authenticated()
    mounts = client.sys.list_mounted_secrets_engines()["data"]
    assert sorted(mounts) == ["cubbyhole/", "identity/", "sys/"]
    client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    client.secrets.kv.v2.create_or_update_secret("app", {"kept": "while sealed"})

    assert client.sys.seal().status_code == 204
    assert client.sys.is_sealed() is True
    with refused(exceptions.VaultDown, SEALED):
        client.secrets.kv.v2.read_secret_version("app", raise_on_deleted_version=True)
    # Any three shares do.
    assert client.sys.submit_unseal_keys([base64_keys[3], base64_keys[1], hex_keys[2]])["sealed"] is False
    read = client.secrets.kv.v2.read_secret_version("app", raise_on_deleted_version=True)
    assert read["data"]["data"] == {"kept": "while sealed"}
    assert client.sys.seal().status_code == 204
