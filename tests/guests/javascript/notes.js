// The notes engine in JavaScript; `tests/guests/wit/notes.wit` says what it does.
//
// One source for SpiderMonkey and QuickJS, so only what both have: no TextEncoder; 64-bit integers,
// a BigInt in one and a Number in the other, are read with `Number`; what is missing, undefined in
// one and null in the other, is compared with `== null`.

import { now, random } from "coffer:engine/ambient@0.1.0";
import * as storage from "coffer:engine/storage@0.1.0";
import { seal, unseal } from "coffer:engine/secrets@0.1.0";
import { log } from "coffer:engine/log@0.1.0";

export const metadata = {
  describe(_options) {
    return {
      name: "notes",
      version: "0.1.0",
      type: "secrets",
      help: "Keeps notes.",
      paths: [
        {
          pattern: "notes/{name}",
          traits: ["existence-check"],
          operations: [
            { operation: "create", summary: "Writes a note.", returns: [] },
            { operation: "read", summary: "Reads a note.", returns: [] },
            { operation: "update", summary: "Changes a note.", returns: [] },
            { operation: "delete", summary: "Removes a note.", returns: [] },
          ],
          fields: [
            field("text", "What the note says.", false),
            field("pin", "Kept sealed.", true),
          ],
          help: "One note.",
          loginName: undefined,
        },
        reading("notes", "list", "Lists the notes."),
        reading("time", "read", "Tells the time, and 8 random bytes."),
        reading("fail", "read", "Is refused."),
        reading("trap", "read", "Traps."),
      ],
      storageVersion: 1,
    };
  },
};

export const backend = {
  initialize(_from, _mount) {},

  exists(request) {
    const name = noteName(request.path);
    return name != null && storage.get(`notes/${name}`) != null;
  },

  handle(request) {
    const path = request.path.replace(/\/$/, "");
    switch (`${request.operation} ${path}`) {
      case "list notes":
        return listNotes();
      case "read time":
        return answer({ now: Number(now()), random: hex(random(8)) });
      case "read fail":
        throw { tag: "invalid-request", val: "this path always fails" };
      case "read trap":
        // What is thrown and is no variant of the WIT's `error` traps.
        throw new Error("asked to trap");
    }
    if (["notes", "time", "fail", "trap"].includes(path)) {
      throw { tag: "unsupported-operation" };
    }
    const name = noteName(request.path);
    if (name == null) {
      throw { tag: "not-found" };
    }
    switch (request.operation) {
      case "create":
      case "update":
        return writeNote(name, request);
      case "read":
        return readNote(name);
      case "delete":
        return deleteNote(name);
    }
    throw { tag: "unsupported-operation" };
  },
};

function writeNote(name, request) {
  const { text } = JSON.parse(fromUtf8(request.data));
  if (text == null && storage.get(`notes/${name}`) == null) {
    throw { tag: "invalid-request", val: "missing text" };
  }
  if (text != null) {
    storage.put(`notes/${name}`, toUtf8(text));
  }
  for (const [field, secret] of request.secrets) {
    if (field === "pin") {
      storage.put(`pins/${name}`, seal(secret, name));
    }
  }
  say("note written", name);
  return answer(undefined);
}

function readNote(name) {
  const [text, sealed] = storage.getMany([`notes/${name}`, `pins/${name}`]);
  if (text == null) {
    throw { tag: "not-found" };
  }
  const response = answer({ text: fromUtf8(text), language: "javascript" });
  if (sealed != null) {
    response.secrets = [["/pin", unseal(sealed, name)]];
  }
  return response;
}

function deleteNote(name) {
  storage.delete(`notes/${name}`);
  storage.delete(`pins/${name}`);
  say("note deleted", name);
  return answer(undefined);
}

function listNotes() {
  const keys = [];
  let after = undefined;
  do {
    const page = storage.listKeys("notes/", after, 0);
    keys.push(...page.keys);
    after = page.next;
  } while (after != null);
  return answer(keys.length > 0 ? { keys } : undefined);
}

/** `x` of `notes/x`. */
function noteName(path) {
  return /^notes\/([^/]+)$/.exec(path)?.[1];
}

function answer(data) {
  return {
    status: undefined,
    headers: [],
    data: data == null ? undefined : toUtf8(JSON.stringify(data)),
    secrets: [],
    warnings: [],
    lease: undefined,
    refreshAfter: undefined,
    auth: undefined,
    raw: undefined,
  };
}

function say(message, name) {
  log("info", message, [["name", name]]);
}

function field(name, description, secret) {
  return {
    name,
    type: "text",
    description,
    required: false,
    default: undefined,
    allowed: [],
    secret,
  };
}

function reading(pattern, operation, summary) {
  return {
    pattern,
    traits: [],
    operations: [{ operation, summary, returns: [] }],
    fields: [],
    help: summary,
    loginName: undefined,
  };
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** UTF-8 by way of percent-encoding, which every JavaScript has. */
function toUtf8(text) {
  const encoded = encodeURIComponent(text);
  const bytes = [];
  for (let at = 0; at < encoded.length; at += 1) {
    if (encoded[at] === "%") {
      bytes.push(parseInt(encoded.slice(at + 1, at + 3), 16));
      at += 2;
    } else {
      bytes.push(encoded.charCodeAt(at));
    }
  }
  return new Uint8Array(bytes);
}

function fromUtf8(bytes) {
  return decodeURIComponent(Array.from(bytes, (byte) => "%" + byte.toString(16).padStart(2, "0")).join(""));
}
