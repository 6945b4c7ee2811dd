package clients

import (
	"testing"
	"time"

	vault "github.com/hashicorp/vault/api"
)

const gone400 = "wrapping token is not valid or does not exist"

// wrapping asks for every answer to be wrapped.
func wrapping(t *testing.T) *vault.Client {
	t.Helper()
	client := newClient(t)
	client.SetWrappingLookupFunc(func(_, _ string) string { return "5m" })
	return client
}

func TestAWrappedSecretIsUnwrappedOnceByAnyClient(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	_, err := kv.Put(t.Context(), folder+"/app", map[string]any{"password": "hunter2"})
	ok(t, err)
	wrapped, err := wrapping(t).Logical().Read("secret/data/" + folder + "/app")
	ok(t, err)
	same(t, "data", len(wrapped.Data), 0)
	info := wrapped.WrapInfo
	same(t, "TTL", info.TTL, 300)
	same(t, "creation path", info.CreationPath, "secret/data/"+folder+"/app")
	same(t, "creation time", time.Since(info.CreationTime) < time.Minute, true)

	looked, err := client.Logical().Write("sys/wrapping/lookup", map[string]any{"token": info.Token})
	ok(t, err)
	same(t, "creation path", looked.Data["creation_path"], any(info.CreationPath))

	inner, err := client.Logical().Unwrap(info.Token)
	ok(t, err)
	same(t, "password", inner.Data["data"].(map[string]any)["password"], any("hunter2"))
	_, err = client.Logical().Unwrap(info.Token)
	refused(t, err, 400, gone400)
}

func TestAClientThatHasOnlyTheWrappingTokenUnwrapsWithIt(t *testing.T) {
	wrapped, err := wrapping(t).Logical().Write("sys/wrapping/wrap", map[string]any{"a": "b"})
	ok(t, err)
	reader := clientWith(t, wrapped.WrapInfo.Token)
	looked, err := reader.Logical().Read("sys/wrapping/lookup")
	ok(t, err)
	same(t, "creation path", looked.Data["creation_path"], any("sys/wrapping/wrap"))
	inner, err := reader.Logical().Unwrap("")
	ok(t, err)
	same(t, "a", inner.Data["a"], any("b"))
}

func TestALoginIsWrappedWithItsAccessor(t *testing.T) {
	made, err := wrapping(t).Auth().Token().Create(&vault.TokenCreateRequest{TTL: "1h"})
	ok(t, err)
	inner, err := newClient(t).Logical().Unwrap(made.WrapInfo.Token)
	ok(t, err)
	same(t, "accessor", inner.Auth.Accessor, made.WrapInfo.WrappedAccessor)
	ok(t, newClient(t).Auth().Token().RevokeTree(inner.Auth.ClientToken))
}

func TestAWrappedAnswerMovesToANewToken(t *testing.T) {
	client := newClient(t)
	wrapped, err := wrapping(t).Logical().Write("sys/wrapping/wrap", map[string]any{"a": "b"})
	ok(t, err)
	moved, err := client.Logical().Write("sys/wrapping/rewrap", map[string]any{"token": wrapped.WrapInfo.Token})
	ok(t, err)
	same(t, "TTL", moved.WrapInfo.TTL, wrapped.WrapInfo.TTL)
	_, err = client.Logical().Unwrap(wrapped.WrapInfo.Token)
	refused(t, err, 400, gone400)
	inner, err := client.Logical().Unwrap(moved.WrapInfo.Token)
	ok(t, err)
	same(t, "a", inner.Data["a"], any("b"))
}
