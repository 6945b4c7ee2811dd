// Package export_coffer_engine_metadata describes the notes engine; `tests/guests/wit/notes.wit`
// says what it does. The bindings look for this package by its name.
package export_coffer_engine_metadata

import (
	. "wit_component/coffer_engine_metadata"
	"wit_component/coffer_engine_types"

	. "go.bytecodealliance.org/pkg/wit/types"
)

// Describe says the same whatever the options of the mount.
func Describe(_ []Tuple2[string, string]) Description {
	return Description{
		Name:    "notes",
		Version: "0.1.0",
		Type:    EngineTypeSecrets,
		Help:    "Keeps notes.",
		Paths: []Path{
			{
				Pattern: "notes/{name}",
				Traits:  []PathTrait{PathTraitExistenceCheck},
				Operations: []OperationHelp{
					{Operation: coffer_engine_types.OperationCreate, Summary: "Writes a note."},
					{Operation: coffer_engine_types.OperationRead, Summary: "Reads a note."},
					{Operation: coffer_engine_types.OperationUpdate, Summary: "Changes a note."},
					{Operation: coffer_engine_types.OperationDelete, Summary: "Removes a note."},
				},
				Fields: []Field{
					field("text", "What the note says.", false),
					field("pin", "Kept sealed.", true),
				},
				Help:      "One note.",
				LoginName: None[string](),
			},
			reading("notes", coffer_engine_types.OperationList, "Lists the notes."),
			reading("time", coffer_engine_types.OperationRead, "Tells the time, and 8 random bytes."),
			reading("fail", coffer_engine_types.OperationRead, "Is refused."),
			reading("trap", coffer_engine_types.OperationRead, "Traps."),
		},
		StorageVersion: 1,
	}
}

func field(name, description string, secret bool) Field {
	return Field{
		Name:        name,
		Type:        FieldTypeText,
		Description: description,
		Default:     None[[]uint8](),
		Secret:      secret,
	}
}

func reading(pattern string, operation Operation, summary string) Path {
	return Path{
		Pattern:    pattern,
		Operations: []OperationHelp{{Operation: operation, Summary: summary}},
		Help:       summary,
		LoginName:  None[string](),
	}
}
