// Package clients holds the promises that Coffer keeps to Vault's own Go client, unmodified.
//
//	VAULT_ADDR, VAULT_TOKEN   an unsealed server with KV version 2 at secret/, and a root token of it
//	SEALED_ADDR               a server that is initialised and sealed
//	FRESH_ADDR                optional: a server that nobody has initialised; used up by a run
package clients

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	vault "github.com/hashicorp/vault/api"
)

func environment(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: say which server to talk to", name)
	}
	return value
}

// newClient is made as people make it: all from the environment.
func newClient(t *testing.T) *vault.Client {
	t.Helper()
	environment(t, "VAULT_ADDR")
	environment(t, "VAULT_TOKEN")
	client, err := vault.NewClient(vault.DefaultConfig())
	ok(t, err)
	return client
}

// clientAt has no token. It does not try again: what is refused here stays refused.
func clientAt(t *testing.T, address string) *vault.Client {
	t.Helper()
	config := vault.DefaultConfig()
	config.Address = address
	config.MaxRetries = 0
	client, err := vault.NewClient(config)
	ok(t, err)
	client.ClearToken()
	return client
}

func clientWith(t *testing.T, token string) *vault.Client {
	t.Helper()
	client := clientAt(t, environment(t, "VAULT_ADDR"))
	client.SetToken(token)
	return client
}

// secrets is KV version 2 at secret/, and a folder there that is gone after the test.
func secrets(t *testing.T, client *vault.Client) (*vault.KVv2, string) {
	t.Helper()
	folder := "go/" + strings.ReplaceAll(t.Name(), "/", "-")
	t.Cleanup(func() { remove(t, client, folder) })
	return client.KVv2("secret"), folder
}

func remove(t *testing.T, client *vault.Client, folder string) {
	listed, err := client.Logical().List("secret/metadata/" + folder)
	ok(t, err)
	for _, name := range keys(t, listed) {
		if strings.HasSuffix(name, "/") {
			remove(t, client, folder+"/"+strings.TrimSuffix(name, "/"))
		} else {
			// Not the test's context: it has ended when this runs.
			ok(t, client.KVv2("secret").DeleteMetadata(context.Background(), folder+"/"+name))
		}
	}
}

// mount enables KV for one test.
func mount(t *testing.T, client *vault.Client, path string, version string) {
	t.Helper()
	ok(t, client.Sys().Mount(path, &vault.MountInput{Type: "kv", Options: map[string]string{"version": version}}))
	t.Cleanup(func() { ok(t, client.Sys().Unmount(path)) })
}

func policy(t *testing.T, client *vault.Client, name string, rules string) {
	t.Helper()
	ok(t, client.Sys().PutPolicy(name, rules))
	t.Cleanup(func() { ok(t, client.Sys().DeletePolicy(name)) })
}

// keys of a list; none of a list that is not there.
func keys(t *testing.T, listed *vault.Secret) []string {
	t.Helper()
	if listed == nil {
		return nil
	}
	values, isList := listed.Data["keys"].([]any)
	if !isList {
		t.Fatalf("a list without keys: %v", listed.Data)
	}
	var names []string
	for _, value := range values {
		names = append(names, value.(string))
	}
	return names
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	// Printed, maps are in order, and a json.Number is the text that came.
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// refused checks the status and the texts that the client hands to its user.
func refused(t *testing.T, err error, status int, texts ...string) {
	t.Helper()
	var answer *vault.ResponseError
	if !errors.As(err, &answer) {
		t.Fatalf("got %v, want an answer with status %d", err, status)
	}
	if answer.StatusCode != status || !slices.Equal(answer.Errors, texts) {
		t.Errorf("got %d %q, want %d %q", answer.StatusCode, answer.Errors, status, texts)
	}
}
