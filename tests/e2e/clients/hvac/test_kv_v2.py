"""KV version 2 through `client.secrets.kv.v2`."""

import datetime
import json
import re

import pytest
from hvac import exceptions

from conftest import engine, refused

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$")
NOT_THE_CURRENT = "check-and-set parameter did not match the current version"


def latest(kv2, path):
    return kv2.read_secret_version(path, raise_on_deleted_version=True)["data"]


def moment(text):
    """A time of an answer; Python knows microseconds only."""
    return datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text))


def test_a_secret_is_put_and_read(kv2, folder):
    written = kv2.create_or_update_secret(f"{folder}/app", {"user": "ada", "password": "s3cret"})
    assert written["data"].keys() == {
        "created_time", "custom_metadata", "deletion_time", "destroyed", "version",
    }
    assert TIME.match(written["data"]["created_time"])
    assert written["data"]["version"] == 1
    assert written["data"]["deletion_time"] == ""
    assert written["data"]["destroyed"] is False
    assert written["data"]["custom_metadata"] is None

    read = latest(kv2, f"{folder}/app")
    assert read["data"] == {"user": "ada", "password": "s3cret"}
    assert read["metadata"] == written["data"]
    assert kv2.read_secret(f"{folder}/app", raise_on_deleted_version=True)["data"] == read


def test_an_answer_has_the_whole_envelope(kv2, folder):
    kv2.create_or_update_secret(f"{folder}/app", {"a": "1"})
    read = kv2.read_secret_version(f"{folder}/app", raise_on_deleted_version=True)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", read["request_id"])
    rest = {name: value for name, value in read.items() if name not in ("request_id", "data", "mount_type")}
    assert rest == {
        "lease_id": "", "lease_duration": 0, "renewable": False,
        "wrap_info": None, "warnings": None, "auth": None,
    }


def test_values_come_back_exactly(kv2, folder):
    secret = {
        "text": "plain",
        "empty": "",
        "lines": "-----BEGIN\n\tKEY\r\n-----END\n",
        "unicode": "Ünïcödé ✓ 漢字 🔑 \u0000",
        "key with.dots and/slashes": "kept",
        "null": None,
        "yes": True,
        "no": False,
        "one": 1,
        "one point zero": 1.0,
        "beyond a double": 9007199254740993,
        "beyond 64 bits": -123456789012345678901234567890,
        "small": 1.5e-300,
        "nested": {"list": [1, "two", None, {"three": [[]]}], "object": {}},
        "markup": "<a href='x'>&amp;</a>",
    }
    kv2.create_or_update_secret(f"{folder}/app", secret)
    read = latest(kv2, f"{folder}/app")["data"]
    # As text: to Python, 1 and 1.0 and True are equal.
    assert json.dumps(read, sort_keys=True) == json.dumps(secret, sort_keys=True)


@pytest.mark.parametrize("size", [1, 4096, 1 << 20])
def test_a_large_value_comes_back_whole(kv2, folder, size):
    kv2.create_or_update_secret(f"{folder}/app", {"value": "x" * size})
    assert latest(kv2, f"{folder}/app")["data"]["value"] == "x" * size


def test_an_empty_secret_is_a_secret(kv2, folder):
    kv2.create_or_update_secret(f"{folder}/app", {})
    assert latest(kv2, f"{folder}/app")["data"] == {}


@pytest.mark.parametrize("name", [
    "with space", "per%cent", "p+l+u+s", "quest?ion", "ha#sh", "ünïcode-漢字", "dots.and-dashes_", "a&b=c;d", "%2F",
])
def test_a_path_may_hold_odd_characters(kv2, folder, name):
    kv2.create_or_update_secret(f"{folder}/{name}/{name}", {"name": name})
    assert latest(kv2, f"{folder}/{name}/{name}")["data"] == {"name": name}
    # hvac and the server both take an encoded slash for a slash.
    assert kv2.list_secrets(folder)["data"]["keys"] == [f"{name}/"]
    assert kv2.list_secrets(f"{folder}/{name}")["data"]["keys"] == [name]


def test_each_put_makes_a_version(kv2, folder):
    for number in (1, 2, 3):
        written = kv2.create_or_update_secret(f"{folder}/app", {"n": number})
        assert written["data"]["version"] == number
    for number in (1, 2, 3):
        read = kv2.read_secret_version(f"{folder}/app", version=number, raise_on_deleted_version=True)
        assert read["data"]["data"] == {"n": number}
        assert read["data"]["metadata"]["version"] == number
    for newest in (0, -1):
        read = kv2.read_secret_version(f"{folder}/app", version=newest, raise_on_deleted_version=True)
        assert read["data"]["data"] == {"n": 3}

    metadata = kv2.read_secret_metadata(f"{folder}/app")["data"]
    assert metadata["current_version"] == 3
    assert metadata["oldest_version"] == 0
    assert list(metadata["versions"]) == ["1", "2", "3"]
    times = [moment(version["created_time"]) for version in metadata["versions"].values()]
    assert times == sorted(times)
    assert moment(metadata["created_time"]) == times[0]
    assert moment(metadata["updated_time"]) == times[2]


def test_a_missing_secret_is_an_invalid_path(kv2, folder):
    with refused(exceptions.InvalidPath, None) as raised:
        latest(kv2, f"{folder}/nothing")
    assert str(raised.value).endswith(f"/v1/secret/data/{folder}/nothing")
    with refused(exceptions.InvalidPath, None):
        kv2.read_secret_metadata(f"{folder}/nothing")
    kv2.create_or_update_secret(f"{folder}/app", {"a": "1"})
    with refused(exceptions.InvalidPath, None):
        kv2.read_secret_version(f"{folder}/app", version=2, raise_on_deleted_version=False)


def test_a_version_that_is_no_number_is_refused(client, kv2, folder):
    kv2.create_or_update_secret(f"{folder}/app", {"a": "1"})
    with pytest.raises(exceptions.InvalidRequest, match='error converting input for field "version"'):
        kv2.read_secret_version(f"{folder}/app", version="abc", raise_on_deleted_version=True)


def test_a_deleted_secret_is_gone_but_its_metadata_tells(kv2, folder):
    kv2.create_or_update_secret(f"{folder}/app", {"a": "1"})
    assert kv2.delete_latest_version_of_secret(f"{folder}/app").status_code == 204

    with pytest.raises(exceptions.InvalidPath) as raised:
        latest(kv2, f"{folder}/app")
    assert raised.value.errors is None
    assert raised.value.json["data"]["data"] is None

    told = kv2.read_secret_version(f"{folder}/app", raise_on_deleted_version=False)
    assert told["data"]["data"] is None
    assert told["data"]["metadata"]["version"] == 1
    assert told["data"]["metadata"]["destroyed"] is False
    assert TIME.match(told["data"]["metadata"]["deletion_time"])
    # Deleting what is deleted, or was never there, is no error and changes nothing.
    assert kv2.delete_latest_version_of_secret(f"{folder}/app").status_code == 204
    assert kv2.delete_latest_version_of_secret(f"{folder}/nothing").status_code == 204
    again = kv2.read_secret_version(f"{folder}/app", raise_on_deleted_version=False)
    assert again["data"] == told["data"]


def test_versions_are_deleted_and_brought_back(kv2, folder):
    for number in (1, 2, 3):
        kv2.create_or_update_secret(f"{folder}/app", {"n": number})
    assert kv2.delete_secret_versions(f"{folder}/app", [1, 3, 99]).status_code == 204
    for number in (1, 3):
        with pytest.raises(exceptions.InvalidPath):
            kv2.read_secret_version(f"{folder}/app", version=number, raise_on_deleted_version=True)
    read = kv2.read_secret_version(f"{folder}/app", version=2, raise_on_deleted_version=True)
    assert read["data"]["data"] == {"n": 2}

    assert kv2.undelete_secret_versions(f"{folder}/app", [1, 3]).status_code == 204
    for number in (1, 3):
        read = kv2.read_secret_version(f"{folder}/app", version=number, raise_on_deleted_version=True)
        assert read["data"]["data"] == {"n": number}
        assert read["data"]["metadata"]["deletion_time"] == ""


def test_a_destroyed_version_does_not_come_back(kv2, folder):
    for number in (1, 2):
        kv2.create_or_update_secret(f"{folder}/app", {"n": number})
    assert kv2.destroy_secret_versions(f"{folder}/app", [1]).status_code == 204
    assert kv2.undelete_secret_versions(f"{folder}/app", [1]).status_code == 204
    # Never deleted, so hvac has no deletion time to go by and raises either way.
    with pytest.raises(exceptions.InvalidPath) as raised:
        kv2.read_secret_version(f"{folder}/app", version=1, raise_on_deleted_version=False)
    assert raised.value.json["data"]["data"] is None
    assert raised.value.json["data"]["metadata"]["destroyed"] is True
    versions = kv2.read_secret_metadata(f"{folder}/app")["data"]["versions"]
    assert [version["destroyed"] for version in versions.values()] == [True, False]
    assert latest(kv2, f"{folder}/app")["data"] == {"n": 2}


def test_check_and_set_lets_one_writer_through(kv2, folder):
    kv2.create_or_update_secret(f"{folder}/app", {"n": 1}, cas=0)
    for wrong in (0, 2):
        with refused(exceptions.InvalidRequest, NOT_THE_CURRENT):
            kv2.create_or_update_secret(f"{folder}/app", {"n": "lost"}, cas=wrong)
    assert kv2.create_or_update_secret(f"{folder}/app", {"n": 2}, cas=1)["data"]["version"] == 2
    assert latest(kv2, f"{folder}/app")["data"] == {"n": 2}


def test_a_deleted_secret_is_not_a_new_one_to_check_and_set(kv2, folder):
    kv2.create_or_update_secret(f"{folder}/app", {"n": 1}, cas=0)
    kv2.delete_latest_version_of_secret(f"{folder}/app")
    with refused(exceptions.InvalidRequest, NOT_THE_CURRENT):
        kv2.create_or_update_secret(f"{folder}/app", {"n": "lost"}, cas=0)
    assert kv2.delete_metadata_and_all_versions(f"{folder}/app").status_code == 204
    assert kv2.create_or_update_secret(f"{folder}/app", {"n": 1}, cas=0)["data"]["version"] == 1


def test_a_patch_changes_only_what_it_names(kv2, folder):
    kv2.create_or_update_secret(f"{folder}/app", {"a": 1, "b": "two"})
    patched = kv2.patch(f"{folder}/app", {"b": "2", "c": [3]})
    assert patched["data"]["version"] == 2
    assert latest(kv2, f"{folder}/app")["data"] == {"a": 1, "b": "2", "c": [3]}


def test_a_patch_of_nothing_says_so(kv2, folder):
    with pytest.raises(exceptions.InvalidPath) as raised:
        kv2.patch(f"{folder}/nothing", {"a": "1"})
    assert raised.value.args[0] == f'No value found at "{folder}/nothing"; patch only works on existing data.'


def test_keys_and_folders_are_listed_in_order(kv2, folder):
    for name in ("b", "a", "a/below", "c/far/below"):
        kv2.create_or_update_secret(f"{folder}/{name}", {"name": name})
    assert kv2.list_secrets(folder)["data"] == {"keys": ["a", "a/", "b", "c/"]}
    assert kv2.list_secrets(f"{folder}/c")["data"] == {"keys": ["far/"]}
    # A key is listed while it has metadata, whatever became of its versions.
    kv2.delete_latest_version_of_secret(f"{folder}/b")
    kv2.delete_metadata_and_all_versions(f"{folder}/c/far/below")
    assert kv2.list_secrets(folder)["data"] == {"keys": ["a", "a/", "b"]}


def test_an_empty_folder_is_an_invalid_path(kv2, folder):
    with refused(exceptions.InvalidPath, None):
        kv2.list_secrets(folder)


def test_metadata_is_kept_with_the_key(kv2, folder):
    kv2.create_or_update_secret(f"{folder}/app", {"a": "1"})
    changed = kv2.update_metadata(
        f"{folder}/app", max_versions=5, cas_required=True, delete_version_after="3h25m19s",
        custom_metadata={"owner": "ops", "ünïcode": "✓"},
    )
    assert changed.status_code == 204
    metadata = kv2.read_secret_metadata(f"{folder}/app")["data"]
    assert metadata["max_versions"] == 5
    assert metadata["cas_required"] is True
    assert metadata["delete_version_after"] == "3h25m19s"
    assert metadata["custom_metadata"] == {"owner": "ops", "ünïcode": "✓"}
    # It shows with each version, too.
    assert latest(kv2, f"{folder}/app")["metadata"]["custom_metadata"] == {"owner": "ops", "ünïcode": "✓"}
    kv2.update_metadata(f"{folder}/app", custom_metadata={})
    assert kv2.read_secret_metadata(f"{folder}/app")["data"]["custom_metadata"] is None


def test_metadata_can_come_before_the_secret(kv2, folder):
    kv2.update_metadata(f"{folder}/app", custom_metadata={"owner": "ops"})
    metadata = kv2.read_secret_metadata(f"{folder}/app")["data"]
    assert metadata["current_version"] == 0
    assert metadata["versions"] == {}
    with refused(exceptions.InvalidPath, None):
        latest(kv2, f"{folder}/app")
    assert kv2.create_or_update_secret(f"{folder}/app", {}, cas=0)["data"]["version"] == 1


def test_bad_custom_metadata_is_refused_whole(kv2, folder):
    for bad in ({"": "x"}, {"k": "x" * 513}, {"k" * 129: "x"}, {f"k{n}": "x" for n in range(65)}):
        with pytest.raises(exceptions.InvalidRequest, match="custom_metadata validation failed"):
            kv2.update_metadata(f"{folder}/app", custom_metadata=bad)
    with refused(exceptions.InvalidPath, None):
        kv2.read_secret_metadata(f"{folder}/app")


def test_a_key_that_requires_check_and_set_takes_no_write_without(kv2, folder):
    kv2.update_metadata(f"{folder}/app", cas_required=True)
    with refused(exceptions.InvalidRequest, "check-and-set parameter required for this call"):
        kv2.create_or_update_secret(f"{folder}/app", {"n": 1})
    kv2.create_or_update_secret(f"{folder}/app", {"n": 1}, cas=0)


def test_old_versions_make_room(kv2, folder):
    kv2.update_metadata(f"{folder}/app", max_versions=2)
    for number in (1, 2, 3):
        kv2.create_or_update_secret(f"{folder}/app", {"n": number})
    metadata = kv2.read_secret_metadata(f"{folder}/app")["data"]
    assert list(metadata["versions"]) == ["2", "3"]
    assert metadata["oldest_version"] == 2
    with refused(exceptions.InvalidPath, None):
        kv2.read_secret_version(f"{folder}/app", version=1, raise_on_deleted_version=False)


def test_ten_versions_are_kept_if_nobody_says_otherwise(kv2, folder):
    for number in range(1, 12):
        kv2.create_or_update_secret(f"{folder}/app", {"n": number})
    versions = kv2.read_secret_metadata(f"{folder}/app")["data"]["versions"]
    assert sorted(map(int, versions)) == list(range(2, 12))


def test_a_version_may_have_its_end_set_when_it_is_written(kv2, folder):
    kv2.update_metadata(f"{folder}/app", delete_version_after="1h")
    written = kv2.create_or_update_secret(f"{folder}/app", {"a": "1"})["data"]
    life = moment(written["deletion_time"]) - moment(written["created_time"])
    assert life == datetime.timedelta(hours=1)
    # It is still to come, so the secret is there.
    assert latest(kv2, f"{folder}/app")["data"] == {"a": "1"}


def test_a_mount_has_settings_for_all_its_keys(client, kv2):
    with engine(client, "hvac-kv2", "2") as mount:
        assert kv2.read_configuration(mount)["data"] == {
            "max_versions": 0, "cas_required": False, "delete_version_after": "0s",
        }
        changed = kv2.configure(max_versions=1, cas_required=True, delete_version_after="90m", mount_point=mount)
        assert changed.status_code == 204
        assert kv2.read_configuration(mount)["data"] == {
            "max_versions": 1, "cas_required": True, "delete_version_after": "1h30m0s",
        }
        with refused(exceptions.InvalidRequest, "check-and-set parameter required for this call"):
            kv2.create_or_update_secret("app", {"n": 1}, mount_point=mount)
        kv2.create_or_update_secret("app", {"n": 1}, cas=0, mount_point=mount)
        written = kv2.create_or_update_secret("app", {"n": 2}, cas=1, mount_point=mount)
        assert TIME.match(written["data"]["deletion_time"])
        assert list(kv2.read_secret_metadata("app", mount)["data"]["versions"]) == ["2"]


def test_the_names_in_a_secret_can_be_read_without_the_values(client, kv2, folder):
    kv2.create_or_update_secret(f"{folder}/app", {"user": "ada", "db": {"password": "x", "hosts": ["h"]}})
    read = client.read(f"secret/subkeys/{folder}/app")["data"]
    assert read["subkeys"] == {"user": None, "db": {"password": None, "hosts": None}}
    assert read["metadata"]["version"] == 1
    assert client.read(f"secret/subkeys/{folder}/app?depth=1")["data"]["subkeys"] == {"user": None, "db": None}


def test_the_generic_calls_do_the_same(client, folder):
    written = client.write_data(f"secret/data/{folder}/app", data={"data": {"a": "1"}})
    assert written["data"]["version"] == 1
    assert client.read(f"secret/data/{folder}/app")["data"]["data"] == {"a": "1"}
    assert client.list(f"secret/metadata/{folder}")["data"] == {"keys": ["app"]}
    assert client.list(f"secret/metadata/{folder}/nothing") is None
    client.delete(f"secret/metadata/{folder}/app")
    assert client.read(f"secret/data/{folder}/app") is None


def test_who_takes_version_2_for_version_1_is_told(client, folder):
    assert client.read(f"secret/{folder}/app") is None
    with pytest.raises(exceptions.InvalidPath) as raised:
        client.write_data(f"secret/{folder}/app", data={"a": "1"})
    (warning,) = raised.value.json["warnings"]
    assert warning.startswith("Invalid path for a versioned K/V secrets engine.")
    assert "'vault kv put'" in warning
    assert raised.value.json["data"] is None


@pytest.mark.parametrize("body, text", [
    ({}, "no data provided"),
    ({"options": {"cas": 0}}, "no data provided"),
    ({"data": {"a": "1"}, "options": {"cas": "x"}}, "error parsing check-and-set parameter"),
])
def test_a_put_that_makes_no_sense_is_refused(client, folder, body, text):
    with refused(exceptions.InvalidRequest, text):
        client.write_data(f"secret/data/{folder}/app", data=body)


def test_a_secret_is_an_object(client, folder):
    for data in ("text", ["list"], 1):
        with pytest.raises(exceptions.InvalidRequest, match='error converting input for field "data"'):
            client.write_data(f"secret/data/{folder}/app", data={"data": data})


@pytest.mark.parametrize("call, text", [
    ("delete", "No version number provided"),
    ("undelete", "No version number provided"),
    ("destroy", "no version number provided"),
])
def test_versions_must_be_named(client, folder, call, text):
    for body in ({}, {"versions": []}):
        with refused(exceptions.InvalidRequest, text):
            client.write_data(f"secret/{call}/{folder}/app", data=body)
