"""The notes engine in Python; `tests/guests/wit/notes.wit` says what it does."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.backend import Mount, Request, Response
from wit_world.exports.metadata import (
    Description,
    EngineType,
    Field,
    FieldType,
    OperationHelp,
    Path,
    PathTrait,
)
from wit_world.imports import ambient, log, secrets, storage
from wit_world.imports.types import (
    Error_InvalidRequest,
    Error_NotFound,
    Error_UnsupportedOperation,
    Operation,
)


class Metadata(exports.Metadata):
    def describe(self, options: list[tuple[str, str]]) -> Description:
        note = Path(
            pattern="notes/{name}",
            traits=[PathTrait.EXISTENCE_CHECK],
            operations=[
                OperationHelp(Operation.CREATE, "Writes a note.", []),
                OperationHelp(Operation.READ, "Reads a note.", []),
                OperationHelp(Operation.UPDATE, "Changes a note.", []),
                OperationHelp(Operation.DELETE, "Removes a note.", []),
            ],
            fields=[
                field("text", "What the note says.", secret=False),
                field("pin", "Kept sealed.", secret=True),
            ],
            help="One note.",
            login_name=None,
        )
        return Description(
            name="notes",
            version="0.1.0",
            type=EngineType.SECRETS,
            help="Keeps notes.",
            paths=[
                note,
                reading("notes", Operation.LIST, "Lists the notes."),
                reading("time", Operation.READ, "Tells the time, and 8 random bytes."),
                reading("fail", Operation.READ, "Is refused."),
                reading("trap", Operation.READ, "Traps."),
            ],
            storage_version=1,
        )


class Backend(exports.Backend):
    def initialize(self, from_: int | None, mount: Mount) -> None:
        pass

    def exists(self, request: Request) -> bool:
        name = note_name(request.path)
        return name is not None and storage.get(f"notes/{name}") is not None

    def handle(self, request: Request) -> Response:
        match request.path.removesuffix("/"), request.operation:
            case "notes", Operation.LIST:
                return list_notes()
            case "time", Operation.READ:
                random = ambient.random(8).hex()
                return answer({"now": ambient.now(), "random": random})
            case "fail", Operation.READ:
                raise Err(Error_InvalidRequest("this path always fails"))
            case "trap", Operation.READ:
                # Any exception but `Err` traps.
                raise RuntimeError("asked to trap")
            case "notes" | "time" | "fail" | "trap", _:
                raise Err(Error_UnsupportedOperation())
        name = note_name(request.path)
        if name is None:
            raise Err(Error_NotFound())
        match request.operation:
            case Operation.CREATE | Operation.UPDATE:
                return write_note(name, request)
            case Operation.READ:
                return read_note(name)
            case Operation.DELETE:
                return delete_note(name)
        raise Err(Error_UnsupportedOperation())


def write_note(name: str, request: Request) -> Response:
    text = json.loads(request.data).get("text")
    if text is None and storage.get(f"notes/{name}") is None:
        raise Err(Error_InvalidRequest("missing text"))
    if text is not None:
        storage.put(f"notes/{name}", text.encode())
    for field_name, secret in request.secrets:
        if field_name == "pin":
            storage.put(f"pins/{name}", secrets.seal(secret, name))
    say("note written", name)
    return answer(None)


def read_note(name: str) -> Response:
    text, sealed = storage.get_many([f"notes/{name}", f"pins/{name}"])
    if text is None:
        raise Err(Error_NotFound())
    response = answer({"text": text.decode(), "language": "python"})
    if sealed is not None:
        response.secrets = [("/pin", secrets.unseal(sealed, name))]
    return response


def delete_note(name: str) -> Response:
    storage.delete(f"notes/{name}")
    storage.delete(f"pins/{name}")
    say("note deleted", name)
    return answer(None)


def list_notes() -> Response:
    keys: list[str] = []
    after = None
    while True:
        page = storage.list_keys("notes/", after, 0)
        keys += page.keys
        after = page.next
        if after is None:
            return answer({"keys": keys} if keys else None)


def note_name(path: str) -> str | None:
    """`x` of `notes/x`."""
    match path.split("/"):
        case ["notes", name] if name:
            return name
    return None


def answer(data: dict | None) -> Response:
    return Response(
        status=None,
        headers=[],
        data=None if data is None else json.dumps(data).encode(),
        secrets=[],
        warnings=[],
        lease=None,
        refresh_after=None,
        auth=None,
        raw=None,
    )


def say(message: str, name: str) -> None:
    log.log(log.Level.INFO, message, [("name", name)])


def field(name: str, description: str, secret: bool) -> Field:
    return Field(
        name=name,
        type=FieldType.TEXT,
        description=description,
        required=False,
        default=None,
        allowed=[],
        secret=secret,
    )


def reading(pattern: str, operation: Operation, summary: str) -> Path:
    return Path(
        pattern=pattern,
        traits=[],
        operations=[OperationHelp(operation, summary, [])],
        fields=[],
        help=summary,
        login_name=None,
    )
