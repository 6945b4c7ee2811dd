"""What the promises stand on: clients of servers that run, and places that are gone afterwards.

VAULT_ADDR, VAULT_TOKEN   an unsealed server with KV version 2 at secret/, and a root token of it
SEALED_ADDR               a server that is initialised and sealed
FRESH_ADDR                optional: a server that nobody has initialised; used up by a run
"""

import contextlib
import os
import re

import hvac
import pytest
from hvac import exceptions


def environment(name):
    value = os.environ.get(name)
    if not value:
        pytest.exit(f"{name} is not set: say which server to talk to", returncode=2)
    return value


@pytest.fixture(scope="session")
def address():
    return environment("VAULT_ADDR")


@pytest.fixture(scope="session")
def client(address):
    """The root token's client, made as people make it: all from the environment."""
    environment("VAULT_TOKEN")
    return hvac.Client()


@pytest.fixture
def kv1(client):
    with engine(client, "hvac-kv1", "1"):
        yield client.secrets.kv.v1


@pytest.fixture
def kv2(client):
    return client.secrets.kv.v2


@pytest.fixture
def folder(client, request):
    """A folder of secret/ for one test."""
    name = "hvac/" + re.sub(r"\W+", "-", request.node.name)
    yield name
    remove(client.secrets.kv.v2, name)


def remove(kv2, folder):
    """All keys below a folder; a name may be a key and a folder."""
    try:
        names = kv2.list_secrets(folder)["data"]["keys"]
    except exceptions.InvalidPath:
        return
    for name in names:
        path = f"{folder}/{name}"
        if name.endswith("/"):
            remove(kv2, path.rstrip("/"))
        else:
            kv2.delete_metadata_and_all_versions(path)


@contextlib.contextmanager
def engine(client, path, version):
    client.sys.enable_secrets_engine("kv", path=path, options={"version": version})
    try:
        yield path
    finally:
        client.sys.disable_secrets_engine(path)


@contextlib.contextmanager
def policy(client, name, text):
    client.sys.create_or_update_policy(name, text)
    try:
        yield name
    finally:
        client.sys.delete_policy(name)


@contextlib.contextmanager
def token(client, **wanted):
    """A client with a token of its own."""
    made = client.auth.token.create(**wanted)["auth"]
    try:
        yield hvac.Client(url=client.url, token=made["client_token"])
    finally:
        client.auth.token.revoke(made["client_token"])


@pytest.fixture
def nobody(address):
    """A client without a token, whatever the environment has."""
    client = hvac.Client(url=address)
    client.token = None
    return client


@pytest.fixture
def stranger(address):
    """A client whose token this server never made."""
    return hvac.Client(url=address, token="hvs.this-is-not-a-token")


@pytest.fixture
def sealed():
    return hvac.Client(url=environment("SEALED_ADDR"))


@contextlib.contextmanager
def refused(exception, text):
    """That a call is refused with this exception and these words; None if there are none."""
    with pytest.raises(exception) as raised:
        yield raised
    assert type(raised.value) is exception
    assert raised.value.errors == ([] if text is None else [text])
