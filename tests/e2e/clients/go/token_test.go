package clients

import (
	"slices"
	"testing"
	"time"

	vault "github.com/hashicorp/vault/api"
)

const (
	denied  = "1 error occurred:\n\t* permission denied\n\n"
	unknown = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"
)

// gone says that a token is no more.
func gone(t *testing.T, token string) {
	t.Helper()
	_, err := clientWith(t, token).Auth().Token().LookupSelf()
	refused(t, err, 403, unknown)
}

func TestATokenIsCreatedLookedUpRenewedAndRevoked(t *testing.T) {
	client := newClient(t)
	policy(t, client, "go-reader", reader)
	tokens := client.Auth().Token()
	made, err := tokens.Create(&vault.TokenCreateRequest{
		Policies: []string{"go-reader"}, TTL: "1h", Metadata: map[string]string{"team": "a"}, DisplayName: "of a test",
	})
	ok(t, err)
	same(t, "policies", made.Auth.Policies, []string{"default", "go-reader"})
	same(t, "token policies", made.Auth.TokenPolicies, []string{"default", "go-reader"})
	same(t, "metadata", made.Auth.Metadata, map[string]string{"team": "a"})
	same(t, "TTL", made.Auth.LeaseDuration, 3600)
	same(t, "renewable", made.Auth.Renewable, true)
	same(t, "orphan", made.Auth.Orphan, false)

	looked, err := tokens.Lookup(made.Auth.ClientToken)
	ok(t, err)
	same(t, "display name", looked.Data["display_name"], "token-of-a-test")
	same(t, "path", looked.Data["path"], "auth/token/create")
	id, err := looked.TokenID()
	ok(t, err)
	same(t, "id", id, made.Auth.ClientToken)
	ttl, err := looked.TokenTTL()
	ok(t, err)
	same(t, "TTL", ttl > 3590*time.Second && ttl <= time.Hour, true)
	metadata, err := looked.TokenMetadata()
	ok(t, err)
	same(t, "metadata", metadata, map[string]string{"team": "a"})
	looked, err = tokens.LookupAccessor(made.Auth.Accessor)
	ok(t, err)
	same(t, "id by accessor", looked.Data["id"], "")
	itself, err := clientWith(t, made.Auth.ClientToken).Auth().Token().LookupSelf()
	ok(t, err)
	same(t, "accessor", itself.Data["accessor"], made.Auth.Accessor)

	for increment, renew := range map[int]func(int) (*vault.Secret, error){
		7200: func(by int) (*vault.Secret, error) { return tokens.Renew(made.Auth.ClientToken, by) },
		1800: clientWith(t, made.Auth.ClientToken).Auth().Token().RenewSelf,
		5400: func(by int) (*vault.Secret, error) { return tokens.RenewAccessor(made.Auth.Accessor, by) },
		600:  func(by int) (*vault.Secret, error) { return tokens.RenewTokenAsSelf(made.Auth.ClientToken, by) },
	} {
		renewed, err := renew(increment)
		ok(t, err)
		same(t, "renewed for", renewed.Auth.LeaseDuration, increment)
	}
	ok(t, tokens.RevokeTree(made.Auth.ClientToken))
	gone(t, made.Auth.ClientToken)
	_, err = tokens.Lookup(made.Auth.ClientToken)
	refused(t, err, 403, "bad token")
	_, err = tokens.LookupAccessor(made.Auth.Accessor)
	refused(t, err, 400, "1 error occurred:\n\t* invalid accessor\n\n")
}

func TestATokenEndsWithItsParentUnlessItIsAnOrphan(t *testing.T) {
	client := newClient(t)
	tokens := client.Auth().Token()
	create := func(by *vault.Client, how func(*vault.TokenAuth) func(*vault.TokenCreateRequest) (*vault.Secret, error), policy string) string {
		made, err := how(by.Auth().Token())(&vault.TokenCreateRequest{Policies: []string{policy}, TTL: "1h"})
		ok(t, err)
		return made.Auth.ClientToken
	}
	child := func(auth *vault.TokenAuth) func(*vault.TokenCreateRequest) (*vault.Secret, error) { return auth.Create }
	orphan := func(auth *vault.TokenAuth) func(*vault.TokenCreateRequest) (*vault.Secret, error) {
		return auth.CreateOrphan
	}

	parent := create(client, child, "root")
	first := create(clientWith(t, parent), child, "root")
	second := create(clientWith(t, first), child, "default")
	alone := create(clientWith(t, parent), orphan, "default")
	ok(t, tokens.RevokeTree(parent))
	gone(t, first)
	gone(t, second)
	looked, err := tokens.Lookup(alone)
	ok(t, err)
	same(t, "orphan", looked.Data["orphan"], true)
	ok(t, clientWith(t, alone).Auth().Token().RevokeSelf(""))
	gone(t, alone)

	parent = create(client, child, "root")
	first = create(clientWith(t, parent), child, "default")
	ok(t, tokens.RevokeOrphan(parent))
	gone(t, parent)
	looked, err = tokens.Lookup(first)
	ok(t, err)
	accessor, err := looked.TokenAccessor()
	ok(t, err)
	listed, err := client.Logical().List("auth/token/accessors")
	ok(t, err)
	same(t, "listed", slices.Contains(keys(t, listed), accessor), true)
	ok(t, tokens.RevokeAccessor(accessor))
	gone(t, first)
}

func TestATokenIsUsedUp(t *testing.T) {
	client := newClient(t)
	made, err := client.Auth().Token().Create(&vault.TokenCreateRequest{Policies: []string{"default"}, NumUses: 2})
	ok(t, err)
	user := clientWith(t, made.Auth.ClientToken).Auth().Token()
	looked, err := user.LookupSelf()
	ok(t, err)
	uses, err := looked.TokenRemainingUses()
	ok(t, err)
	same(t, "uses left", uses, 1)
	_, err = user.LookupSelf()
	ok(t, err)
	gone(t, made.Auth.ClientToken)
}

func TestTheRootTokenIsNotRenewable(t *testing.T) {
	client := newClient(t)
	looked, err := client.Auth().Token().LookupSelf()
	ok(t, err)
	ttl, err := looked.TokenTTL()
	ok(t, err)
	same(t, "TTL", ttl, time.Duration(0))
	policies, err := looked.TokenPolicies()
	ok(t, err)
	same(t, "policies", policies, []string{"root"})
	_, err = client.Auth().Token().RenewSelf(0)
	refused(t, err, 400, "invalid lease ID")
}

func TestAWrongTokenIsForbidden(t *testing.T) {
	stranger := clientWith(t, "hvs.this-is-not-a-token")
	_, err := stranger.KVv2("secret").Get(t.Context(), "app")
	refused(t, err, 403, unknown)
	_, err = stranger.KVv2("secret").Put(t.Context(), "app", map[string]any{"a": "1"})
	refused(t, err, 403, unknown)
	_, err = stranger.KVv2("secret").Patch(t.Context(), "app", map[string]any{"a": "1"})
	refused(t, err, 403, unknown)
	_, err = stranger.Logical().List("secret/metadata")
	refused(t, err, 403, unknown)
	_, err = clientAt(t, environment(t, "VAULT_ADDR")).KVv2("secret").Get(t.Context(), "app")
	refused(t, err, 403, "permission denied")
}

func TestATokenDoesWhatItsPoliciesSayAndNoMore(t *testing.T) {
	client := newClient(t)
	policy(t, client, "go-reader", reader)
	made, err := client.Auth().Token().Create(&vault.TokenCreateRequest{Policies: []string{"go-reader"}})
	ok(t, err)
	t.Cleanup(func() { ok(t, client.Auth().Token().RevokeTree(made.Auth.ClientToken)) })
	_, err = client.KVv2("secret").Put(t.Context(), "go-app/x", map[string]any{"a": "1"})
	ok(t, err)
	t.Cleanup(func() { remove(t, client, "go-app") })

	user := clientWith(t, made.Auth.ClientToken)
	read, err := user.KVv2("secret").Get(t.Context(), "go-app/x")
	ok(t, err)
	same(t, "data", read.Data, map[string]any{"a": "1"})
	_, err = user.KVv2("secret").Put(t.Context(), "go-app/x", map[string]any{"a": "2"})
	refused(t, err, 403, denied)
	_, err = user.KVv2("secret").Patch(t.Context(), "go-app/x", map[string]any{"a": "2"})
	refused(t, err, 403, denied)
	refused(t, user.KVv2("secret").Delete(t.Context(), "go-app/x"), 403, denied)
	_, err = user.Sys().ListMounts()
	refused(t, err, 403, denied)
	_, err = user.Logical().Read("nope/x")
	refused(t, err, 403, denied)
}
