"""The API describes itself: the document is judged by a validator that others wrote."""

import openapi_spec_validator
import requests


def document(address, token):
    headers = {"X-Vault-Token": token} if token else {}
    answer = requests.get(f"{address}/v1/sys/internal/specs/openapi", headers=headers, timeout=30)
    assert answer.status_code == 200
    return answer.json()


def test_the_document_of_all_mounts_is_valid_openapi(address, client):
    described = document(address, client.token)
    openapi_spec_validator.validate(described)
    assert any(path.startswith("/secret/data/") for path in described["paths"])


def test_the_document_for_strangers_is_valid_and_names_no_mount_of_the_operators(address):
    described = document(address, None)
    openapi_spec_validator.validate(described)
    assert not any(path.startswith("/secret/") for path in described["paths"])


def test_help_holds_a_valid_document_too(address, client):
    headers = {"X-Vault-Token": client.token}
    answer = requests.get(f"{address}/v1/secret/config?help=1", headers=headers, timeout=30)
    openapi_spec_validator.validate(answer.json()["openapi"])
