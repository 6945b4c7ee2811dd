// The notes engine in C; `tests/guests/wit/notes.wit` says what it does.
//
// An instance serves one call, and its memory and handles go with it. So nothing is freed here
// but by the generated code, which frees what is returned: that must come from `malloc`.

#include "notes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef exports_coffer_engine_backend_request_t request_t;
typedef exports_coffer_engine_backend_response_t response_t;
typedef exports_coffer_engine_backend_error_t error_t;
typedef exports_coffer_engine_metadata_path_t path_t;
typedef exports_coffer_engine_metadata_field_t field_t;
typedef notes_string_t text_t;

// Traps where the host refuses what this engine should not have asked for, or memory is out.
static void must(bool ok) {
    if (!ok) {
        __builtin_trap();
    }
}

static void *allocate(size_t bytes) {
    void *memory = calloc(1, bytes);
    must(memory != NULL);
    return memory;
}

// ---------------------------------------------------------------- Text

static text_t view(const char *text) {
    return (text_t){(uint8_t *)text, strlen(text)};
}

static text_t copy(const char *text) {
    text_t copied;
    notes_string_dup(&copied, text);
    return copied;
}

static bool is(text_t text, const char *expected) {
    return text.len == strlen(expected) && memcmp(text.ptr, expected, text.len) == 0;
}

static void append(text_t *to, text_t more) {
    to->ptr = realloc(to->ptr, to->len + more.len + 1);
    must(to->ptr != NULL);
    memcpy(to->ptr + to->len, more.ptr, more.len);
    to->len += more.len;
}

static text_t joined(const char *prefix, text_t name) {
    text_t text = {0};
    append(&text, view(prefix));
    append(&text, name);
    return text;
}

// ---------------------------------------------------------------- JSON

static void append_json_string(text_t *to, text_t text) {
    append(to, view("\""));
    for (size_t at = 0; at < text.len; at++) {
        char escaped[8];
        uint8_t byte = text.ptr[at];
        if (byte == '"' || byte == '\\') {
            snprintf(escaped, sizeof escaped, "\\%c", byte);
        } else if (byte < 0x20) {
            snprintf(escaped, sizeof escaped, "\\u%04x", byte);
        } else {
            snprintf(escaped, sizeof escaped, "%c", byte);
        }
        append(to, view(escaped));
    }
    append(to, view("\""));
}

// From an opening quote to behind the closing one.
static size_t skip_string(text_t json, size_t at) {
    for (at++; at < json.len && json.ptr[at] != '"'; at++) {
        if (json.ptr[at] == '\\') {
            at++;
        }
    }
    return at + 1;
}

// To the `,` or bracket that ends the value.
static size_t skip_value(text_t json, size_t at) {
    int depth = 0;
    while (at < json.len) {
        switch (json.ptr[at]) {
        case '"':
            at = skip_string(json, at);
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (depth-- == 0) {
                return at;
            }
            break;
        case ',':
            if (depth == 0) {
                return at;
            }
            break;
        }
        at++;
    }
    return at;
}

// The JSON text of a member of an object; empty where it is missing or null. The host sends valid
// JSON, and the names of declared fields as they were declared.
static text_t member(text_t object, const char *name) {
    size_t at = 0;
    while (at < object.len) {
        if (object.ptr[at] != '"') {
            at++;
            continue;
        }
        size_t key_end = skip_string(object, at);
        text_t key = {object.ptr + at + 1, key_end - at - 2};
        size_t value = key_end;
        while (value < object.len && strchr(": \t\r\n", object.ptr[value]) != NULL) {
            value++;
        }
        at = skip_value(object, value);
        if (is(key, name)) {
            text_t found = {object.ptr + value, at - value};
            return is(found, "null") ? (text_t){0} : found;
        }
    }
    return (text_t){0};
}

// ---------------------------------------------------------------- The host

static notes_option_list_u8_t stored(text_t key) {
    notes_option_list_u8_t value;
    coffer_engine_storage_error_t error;
    must(coffer_engine_storage_get(&key, &value, &error));
    return value;
}

static void store(text_t key, notes_list_u8_t value) {
    coffer_engine_storage_error_t error;
    must(coffer_engine_storage_put(&key, &value, &error));
}

static void discard(text_t key) {
    coffer_engine_storage_error_t error;
    must(coffer_engine_storage_delete(&key, &error));
}

static void say(const char *message, text_t name) {
    notes_tuple2_string_string_t field = {view("name"), name};
    notes_list_tuple2_string_string_t fields = {&field, 1};
    text_t text = view(message);
    coffer_engine_log_log(COFFER_ENGINE_LOG_LEVEL_INFO, &text, &fields);
}

// ---------------------------------------------------------------- Answers

static bool refuse(error_t *error, uint8_t tag) {
    error->tag = tag;
    return false;
}

static bool refuse_invalid(error_t *error, const char *text) {
    error->val.invalid_request = copy(text);
    return refuse(error, COFFER_ENGINE_TYPES_ERROR_INVALID_REQUEST);
}

static bool answer(response_t *response, text_t data) {
    response->data.is_some = true;
    response->data.val.ptr = data.ptr;
    response->data.val.len = data.len;
    return true;
}

static bool write_note(text_t name, const request_t *request, error_t *error) {
    text_t data = {request->data.ptr, request->data.len};
    text_t text = member(data, "text");
    if (text.len == 0 && !stored(joined("notes/", name)).is_some) {
        return refuse_invalid(error, "missing text");
    }
    if (text.len > 0) {
        // Kept as the JSON string that it came as.
        store(joined("notes/", name), (notes_list_u8_t){text.ptr, text.len});
    }
    for (size_t at = 0; at < request->secrets.len; at++) {
        if (is(request->secrets.ptr[at].f0, "pin")) {
            notes_list_u8_t sealed;
            coffer_engine_secrets_seal(
                coffer_engine_secrets_borrow_secret(request->secrets.ptr[at].f1), &name, &sealed);
            store(joined("pins/", name), sealed);
        }
    }
    say("note written", name);
    return true;
}

static bool read_note(text_t name, response_t *response, error_t *error) {
    text_t keys[2] = {joined("notes/", name), joined("pins/", name)};
    notes_list_string_t both = {keys, 2};
    notes_list_option_list_u8_t found;
    coffer_engine_storage_error_t refused;
    must(coffer_engine_storage_get_many(&both, &found, &refused) && found.len == 2);
    notes_option_list_u8_t text = found.ptr[0], sealed = found.ptr[1];
    if (!text.is_some) {
        return refuse(error, COFFER_ENGINE_TYPES_ERROR_NOT_FOUND);
    }
    if (sealed.is_some) {
        response->secrets.ptr = allocate(sizeof *response->secrets.ptr);
        response->secrets.len = 1;
        response->secrets.ptr->f0 = copy("/pin");
        text_t reason;
        must(coffer_engine_secrets_unseal(&sealed.val, &name, &response->secrets.ptr->f1, &reason));
    }
    text_t data = {0};
    append(&data, view("{\"text\":"));
    append(&data, (text_t){text.val.ptr, text.val.len});
    append(&data, view(",\"language\":\"c\"}"));
    return answer(response, data);
}

static bool delete_note(text_t name) {
    discard(joined("notes/", name));
    discard(joined("pins/", name));
    say("note deleted", name);
    return true;
}

static bool list_notes(response_t *response) {
    text_t prefix = view("notes/");
    text_t data = {0};
    coffer_engine_storage_page_t page = {0};
    do {
        notes_option_string_t after = page.next;
        coffer_engine_storage_error_t error;
        must(coffer_engine_storage_list_keys(&prefix, after.is_some ? &after.val : NULL, 0, &page, &error));
        for (size_t at = 0; at < page.keys.len; at++) {
            append(&data, view(data.len == 0 ? "{\"keys\":[" : ","));
            append_json_string(&data, page.keys.ptr[at]);
        }
    } while (page.next.is_some);
    if (data.len == 0) {
        return true;
    }
    append(&data, view("]}"));
    return answer(response, data);
}

static bool tell_time(response_t *response) {
    notes_list_u8_t random;
    coffer_engine_ambient_random(8, &random);
    must(random.len == 8);
    char hex[17];
    for (size_t at = 0; at < random.len; at++) {
        snprintf(hex + 2 * at, 3, "%02x", random.ptr[at]);
    }
    char data[80];
    snprintf(data, sizeof data, "{\"now\":%" PRIu64 ",\"random\":\"%s\"}", coffer_engine_ambient_now(), hex);
    return answer(response, copy(data));
}

// `x` of `notes/x`.
static bool note_name(text_t path, text_t *name) {
    const size_t prefix = strlen("notes/");
    if (path.len <= prefix || memcmp(path.ptr, "notes/", prefix) != 0) {
        return false;
    }
    *name = (text_t){path.ptr + prefix, path.len - prefix};
    return memchr(name->ptr, '/', name->len) == NULL;
}

// ---------------------------------------------------------------- Exports

bool exports_coffer_engine_backend_initialize(
    uint32_t *maybe_from, exports_coffer_engine_backend_mount_t *mount, error_t *error) {
    (void)maybe_from, (void)mount, (void)error;
    return true;
}

bool exports_coffer_engine_backend_exists(request_t *request, bool *ret, error_t *error) {
    (void)error;
    text_t name;
    *ret = note_name(request->path, &name) && stored(joined("notes/", name)).is_some;
    return true;
}

bool exports_coffer_engine_backend_handle(request_t *request, response_t *response, error_t *error) {
    memset(response, 0, sizeof *response);
    text_t path = request->path;
    if (path.len > 0 && path.ptr[path.len - 1] == '/') {
        path.len--;
    }
    bool reads = request->operation == COFFER_ENGINE_TYPES_OPERATION_READ;
    if (is(path, "notes") && request->operation == COFFER_ENGINE_TYPES_OPERATION_LIST) {
        return list_notes(response);
    }
    if (is(path, "time") && reads) {
        return tell_time(response);
    }
    if (is(path, "fail") && reads) {
        return refuse_invalid(error, "this path always fails");
    }
    if (is(path, "trap") && reads) {
        __builtin_trap();
    }
    if (is(path, "notes") || is(path, "time") || is(path, "fail") || is(path, "trap")) {
        return refuse(error, COFFER_ENGINE_TYPES_ERROR_UNSUPPORTED_OPERATION);
    }
    text_t name;
    if (!note_name(request->path, &name)) {
        return refuse(error, COFFER_ENGINE_TYPES_ERROR_NOT_FOUND);
    }
    switch (request->operation) {
    case COFFER_ENGINE_TYPES_OPERATION_CREATE:
    case COFFER_ENGINE_TYPES_OPERATION_UPDATE:
        return write_note(name, request, error);
    case COFFER_ENGINE_TYPES_OPERATION_READ:
        return read_note(name, response, error);
    case COFFER_ENGINE_TYPES_OPERATION_DELETE:
        return delete_note(name);
    default:
        return refuse(error, COFFER_ENGINE_TYPES_ERROR_UNSUPPORTED_OPERATION);
    }
}

static field_t field(const char *name, const char *description, bool secret) {
    return (field_t){
        .name = copy(name),
        .type = EXPORTS_COFFER_ENGINE_METADATA_FIELD_TYPE_TEXT,
        .description = copy(description),
        .secret = secret,
    };
}

// A path with room for `operations`, the first of which is given.
static path_t path(const char *pattern, size_t operations, uint8_t operation, const char *summary) {
    path_t path = {.pattern = copy(pattern), .help = copy(summary)};
    path.operations.ptr = allocate(operations * sizeof *path.operations.ptr);
    path.operations.len = operations;
    path.operations.ptr[0].operation = operation;
    path.operations.ptr[0].summary = copy(summary);
    return path;
}

static path_t note_path(void) {
    path_t note = path("notes/{name}", 4, COFFER_ENGINE_TYPES_OPERATION_CREATE, "Writes a note.");
    note.operations.ptr[1].operation = COFFER_ENGINE_TYPES_OPERATION_READ;
    note.operations.ptr[1].summary = copy("Reads a note.");
    note.operations.ptr[2].operation = COFFER_ENGINE_TYPES_OPERATION_UPDATE;
    note.operations.ptr[2].summary = copy("Changes a note.");
    note.operations.ptr[3].operation = COFFER_ENGINE_TYPES_OPERATION_DELETE;
    note.operations.ptr[3].summary = copy("Removes a note.");
    note.help = copy("One note.");
    note.traits.ptr = allocate(sizeof *note.traits.ptr);
    note.traits.len = 1;
    note.traits.ptr[0] = EXPORTS_COFFER_ENGINE_METADATA_PATH_TRAIT_EXISTENCE_CHECK;
    note.fields.ptr = allocate(2 * sizeof *note.fields.ptr);
    note.fields.len = 2;
    note.fields.ptr[0] = field("text", "What the note says.", false);
    note.fields.ptr[1] = field("pin", "Kept sealed.", true);
    return note;
}

void exports_coffer_engine_metadata_describe(
    notes_list_tuple2_string_string_t *options, exports_coffer_engine_metadata_description_t *ret) {
    (void)options;
    memset(ret, 0, sizeof *ret);
    ret->name = copy("notes");
    ret->version = copy("0.1.0");
    ret->type = EXPORTS_COFFER_ENGINE_METADATA_ENGINE_TYPE_SECRETS;
    ret->help = copy("Keeps notes.");
    ret->storage_version = 1;
    ret->paths.ptr = allocate(5 * sizeof *ret->paths.ptr);
    ret->paths.len = 5;
    ret->paths.ptr[0] = note_path();
    ret->paths.ptr[1] = path("notes", 1, COFFER_ENGINE_TYPES_OPERATION_LIST, "Lists the notes.");
    ret->paths.ptr[2] = path("time", 1, COFFER_ENGINE_TYPES_OPERATION_READ, "Tells the time, and 8 random bytes.");
    ret->paths.ptr[3] = path("fail", 1, COFFER_ENGINE_TYPES_OPERATION_READ, "Is refused.");
    ret->paths.ptr[4] = path("trap", 1, COFFER_ENGINE_TYPES_OPERATION_READ, "Traps.");
}
