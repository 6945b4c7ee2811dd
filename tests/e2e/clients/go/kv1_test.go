package clients

import (
	"encoding/json"
	"errors"
	"testing"

	vault "github.com/hashicorp/vault/api"
)

func TestVersion1KeepsOneValue(t *testing.T) {
	client := newClient(t)
	mount(t, client, "go-kv1", "1")
	kv := client.KVv1("go-kv1")

	ok(t, kv.Put(t.Context(), "deep/app", map[string]any{"a": json.Number("9007199254740993"), "b": "2"}))
	read, err := kv.Get(t.Context(), "deep/app")
	ok(t, err)
	same(t, "data", read.Data, map[string]any{"a": json.Number("9007199254740993"), "b": "2"})
	same(t, "lease duration", read.Raw.LeaseDuration, 2764800)
	same(t, "lease", read.Raw.LeaseID, "")

	ok(t, kv.Put(t.Context(), "deep/app", map[string]any{"ttl": "30m"}))
	read, err = kv.Get(t.Context(), "deep/app")
	ok(t, err)
	same(t, "data", read.Data, map[string]any{"ttl": "30m"})
	same(t, "lease duration", read.Raw.LeaseDuration, 1800)

	listed, err := client.Logical().List("go-kv1")
	ok(t, err)
	same(t, "keys", keys(t, listed), []string{"deep/"})

	ok(t, kv.Delete(t.Context(), "deep/app"))
	_, err = kv.Get(t.Context(), "deep/app")
	same(t, "gone", errors.Is(err, vault.ErrSecretNotFound), true)
	listed, err = client.Logical().List("go-kv1")
	ok(t, err)
	same(t, "list", listed == nil, true)
	ok(t, kv.Delete(t.Context(), "deep/app"))

	err = kv.Put(t.Context(), "deep/app", map[string]any{})
	refused(t, err, 400, "missing data fields")
	// Version 1 has no PATCH; the client then falls back to reading and writing for version 2.
	_, err = client.Logical().JSONMergePatch(t.Context(), "go-kv1/deep/app", map[string]any{"a": "1"})
	refused(t, err, 405, "1 error occurred:\n\t* unsupported operation\n\n")
}
