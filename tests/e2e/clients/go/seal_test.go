package clients

import (
	"os"
	"testing"

	vault "github.com/hashicorp/vault/api"
)

const sealed = "Vault is sealed"

func TestASealedServerSaysSoAndNothingElse(t *testing.T) {
	client := clientAt(t, environment(t, "SEALED_ADDR"))
	client.SetToken("hvs.whoever")
	_, err := client.KVv2("secret").Get(t.Context(), "app")
	refused(t, err, 503, sealed)
	_, err = client.KVv2("secret").Put(t.Context(), "app", map[string]any{"a": "1"})
	refused(t, err, 503, sealed)
	_, err = client.Logical().List("secret/metadata")
	refused(t, err, 503, sealed)
	_, err = client.Auth().Token().LookupSelf()
	refused(t, err, 503, sealed)
	_, err = client.Sys().ListMounts()
	refused(t, err, 503, sealed)
	refused(t, client.Sys().Seal(), 503, sealed)

	health, err := client.Sys().Health()
	ok(t, err)
	same(t, "sealed", health.Sealed, true)
	same(t, "standby", health.Standby, true)
	same(t, "initialized", health.Initialized, true)
	status, err := client.Sys().SealStatus()
	ok(t, err)
	same(t, "sealed", status.Sealed, true)
	same(t, "type", status.Type, "shamir")
	_, err = client.Sys().Unseal("not a key!")
	refused(t, err, 400, "'key' must be a valid hex or base64 string")
}

// One story: there is one new server, and it is new once.
func TestANewServerIsInitialisedUnsealedUsedAndSealed(t *testing.T) {
	address := os.Getenv("FRESH_ADDR")
	if address == "" {
		t.Skip("no FRESH_ADDR")
	}
	client := clientAt(t, address)
	sys := client.Sys()
	initialized, err := sys.InitStatus()
	ok(t, err)
	same(t, "initialized", initialized, false)
	health, err := sys.Health()
	ok(t, err)
	same(t, "initialized", health.Initialized, false)
	_, err = sys.Unseal("0000000000000000000000000000000000000000")
	refused(t, err, 400, "Vault is not initialized")
	_, err = sys.Init(&vault.InitRequest{SecretShares: 2, SecretThreshold: 3})
	refused(t, err, 400, "invalid seal configuration: threshold cannot be larger than shares")

	made, err := sys.Init(&vault.InitRequest{SecretShares: 3, SecretThreshold: 2})
	ok(t, err)
	same(t, "keys", []int{len(made.Keys), len(made.KeysB64)}, []int{3, 3})
	status, err := sys.Unseal(made.Keys[0])
	ok(t, err)
	same(t, "progress", status.Progress, 1)
	status, err = sys.ResetUnsealProcess()
	ok(t, err)
	same(t, "progress", status.Progress, 0)
	for _, key := range []string{made.KeysB64[2], made.Keys[0]} {
		status, err = sys.UnsealWithOptions(&vault.UnsealOpts{Key: key})
		ok(t, err)
	}
	same(t, "sealed", status.Sealed, false)

	client.SetToken(made.RootToken)
	mount := &vault.MountInput{Type: "kv-v2"}
	ok(t, sys.Mount("secret", mount))
	_, err = client.KVv2("secret").Put(t.Context(), "app", map[string]any{"kept": "while sealed"})
	ok(t, err)
	ok(t, sys.Seal())
	_, err = client.KVv2("secret").Get(t.Context(), "app")
	refused(t, err, 503, sealed)
	for _, key := range []string{made.Keys[1], made.Keys[2]} {
		status, err = sys.Unseal(key)
		ok(t, err)
	}
	same(t, "sealed", status.Sealed, false)
	read, err := client.KVv2("secret").Get(t.Context(), "app")
	ok(t, err)
	same(t, "data", read.Data, map[string]any{"kept": "while sealed"})
	ok(t, sys.Seal())
}
