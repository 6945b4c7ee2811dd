// Package export_coffer_engine_backend is the notes engine; `tests/guests/wit/notes.wit` says what
// it does. The bindings look for this package by its name.
package export_coffer_engine_backend

import (
	"encoding/hex"
	"encoding/json"
	"runtime/debug"
	"strings"

	"wit_component/coffer_engine_ambient"
	. "wit_component/coffer_engine_backend"
	"wit_component/coffer_engine_log"
	"wit_component/coffer_engine_secrets"
	"wit_component/coffer_engine_storage"
	"wit_component/coffer_engine_types"

	. "go.bytecodealliance.org/pkg/wit/types"
)

func init() {
	// The collector asks for the time, which traps ("cannot leave component instance") when it
	// starts while the host is writing arguments. An instance serves one call: never collect.
	debug.SetGCPercent(-1)
}

type answer = Result[Response, Error]

// Initialize has nothing to prepare.
func Initialize(_ Option[uint32], _ Mount) Result[Unit, Error] {
	return Ok[Unit, Error](Unit{})
}

// Exists tells whether the addressed note is there.
func Exists(request Request) Result[bool, Error] {
	name, ok := noteName(request.Path)
	if !ok {
		return Ok[bool, Error](false)
	}
	return Ok[bool, Error](must(coffer_engine_storage.Get("notes/" + name)).IsSome())
}

// Handle serves a request.
func Handle(request Request) answer {
	path := strings.TrimSuffix(request.Path, "/")
	reads := request.Operation == coffer_engine_types.OperationRead
	switch {
	case path == "notes" && request.Operation == coffer_engine_types.OperationList:
		return listNotes()
	case path == "time" && reads:
		return reply(map[string]any{
			"now":    coffer_engine_ambient.Now(),
			"random": hex.EncodeToString(coffer_engine_ambient.Random(8)),
		})
	case path == "fail" && reads:
		return refuse(coffer_engine_types.MakeErrorInvalidRequest("this path always fails"))
	case path == "trap" && reads:
		panic("asked to trap")
	case path == "notes" || path == "time" || path == "fail" || path == "trap":
		return refuse(coffer_engine_types.MakeErrorUnsupportedOperation())
	}
	name, ok := noteName(request.Path)
	if !ok {
		return refuse(coffer_engine_types.MakeErrorNotFound())
	}
	switch request.Operation {
	case coffer_engine_types.OperationCreate, coffer_engine_types.OperationUpdate:
		return writeNote(name, request)
	case coffer_engine_types.OperationRead:
		return readNote(name)
	case coffer_engine_types.OperationDelete:
		return deleteNote(name)
	}
	return refuse(coffer_engine_types.MakeErrorUnsupportedOperation())
}

func writeNote(name string, request Request) answer {
	var sent struct{ Text *string }
	if err := json.Unmarshal(request.Data, &sent); err != nil {
		return refuse(coffer_engine_types.MakeErrorInvalidRequest(err.Error()))
	}
	if sent.Text == nil && must(coffer_engine_storage.Get("notes/"+name)).IsNone() {
		return refuse(coffer_engine_types.MakeErrorInvalidRequest("missing text"))
	}
	if sent.Text != nil {
		must(coffer_engine_storage.Put("notes/"+name, []byte(*sent.Text)))
	}
	for _, entry := range request.Secrets {
		if entry.F0 == "pin" {
			must(coffer_engine_storage.Put("pins/"+name, coffer_engine_secrets.Seal(entry.F1, name)))
		}
	}
	say("note written", name)
	return done()
}

func readNote(name string) answer {
	found := must(coffer_engine_storage.GetMany([]string{"notes/" + name, "pins/" + name}))
	text, sealed := found[0], found[1]
	if text.IsNone() {
		return refuse(coffer_engine_types.MakeErrorNotFound())
	}
	response := Response{Data: encode(map[string]any{"text": string(text.Some()), "language": "go"})}
	if sealed.IsSome() {
		pin := must(coffer_engine_secrets.Unseal(sealed.Some(), name))
		response.Secrets = []Tuple2[string, *Secret]{{F0: "/pin", F1: pin}}
	}
	return Ok[Response, Error](response)
}

func deleteNote(name string) answer {
	must(coffer_engine_storage.Delete("notes/" + name))
	must(coffer_engine_storage.Delete("pins/" + name))
	say("note deleted", name)
	return done()
}

func listNotes() answer {
	var keys []string
	after := None[string]()
	for {
		page := must(coffer_engine_storage.ListKeys("notes/", after, 0))
		keys = append(keys, page.Keys...)
		after = page.Next
		if after.IsNone() {
			break
		}
	}
	if len(keys) == 0 {
		return done()
	}
	return reply(map[string]any{"keys": keys})
}

// noteName is `x` of `notes/x`.
func noteName(path string) (string, bool) {
	name, ok := strings.CutPrefix(path, "notes/")
	return name, ok && name != "" && !strings.Contains(name, "/")
}

func reply(data map[string]any) answer {
	return Ok[Response, Error](Response{Data: encode(data)})
}

func done() answer {
	return Ok[Response, Error](Response{})
}

func refuse(reason Error) answer {
	return Err[Response, Error](reason)
}

func encode(data map[string]any) Option[[]uint8] {
	encoded, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return Some(encoded)
}

// must traps where the host refuses what this engine should not have asked for.
func must[T, E any](result Result[T, E]) T {
	if result.IsErr() {
		panic(result.Err())
	}
	return result.Ok()
}

func say(message, name string) {
	fields := []Tuple2[string, string]{{F0: "name", F1: name}}
	coffer_engine_log.Log(coffer_engine_log.LevelInfo, message, fields)
}
