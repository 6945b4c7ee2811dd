"""Wrapping through `client.sys` and the calls that take `wrap_ttl`."""

import hvac
import pytest
from hvac import exceptions

from conftest import refused

GONE = "wrapping token is not valid or does not exist"


def test_what_is_wrapped_is_unwrapped_once(client):
    wrapped = client.sys.wrap(payload={"password": "hunter2"}, ttl=60)
    info = wrapped["wrap_info"]
    assert wrapped["data"] is None
    assert (info["ttl"], info["creation_path"]) == (60, "sys/wrapping/wrap")
    assert client.sys.unwrap(token=info["token"])["data"] == {"password": "hunter2"}
    with refused(exceptions.InvalidRequest, GONE):
        client.sys.unwrap(token=info["token"])


def test_whoever_has_nothing_but_the_wrapping_token_unwraps_with_it(client):
    wrapped = client.sys.wrap(payload={"a": 1}, ttl=60)
    reader = hvac.Client(url=client.url, token=wrapped["wrap_info"]["token"])
    assert reader.sys.unwrap()["data"] == {"a": 1}
    with refused(exceptions.InvalidRequest, GONE):
        reader.sys.unwrap()


def test_a_token_is_handed_over_wrapped(client):
    made = client.auth.token.create(policies=["default"], ttl="1h", wrap_ttl="5m")
    info = made["wrap_info"]
    assert made["auth"] is None
    assert (info["ttl"], info["creation_path"]) == (300, "auth/token/create")
    auth = client.sys.unwrap(token=info["token"])["auth"]
    assert auth["accessor"] == info["wrapped_accessor"]
    assert hvac.Client(url=client.url, token=auth["client_token"]).is_authenticated()
    client.auth.token.revoke(auth["client_token"])


@pytest.mark.parametrize("ttl", ["-1", "soon"])
def test_a_time_that_is_none_is_refused(client, ttl):
    with pytest.raises(exceptions.InvalidRequest, match="error parsing X-Vault-Wrap-TTL header"):
        client.adapter.get("/v1/auth/token/lookup-self", wrap_ttl=ttl)
