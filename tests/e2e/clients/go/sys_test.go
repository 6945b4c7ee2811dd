package clients

import (
	"slices"
	"strings"
	"testing"
	"time"

	vault "github.com/hashicorp/vault/api"
)

const reader = `path "secret/data/go-app/*" { capabilities = ["read", "list"] }`

func TestAnEngineIsMountedTunedMovedAndUnmounted(t *testing.T) {
	sys := newClient(t).Sys()
	ok(t, sys.Mount("go-from", &vault.MountInput{
		Type: "kv", Description: "of a test", Options: map[string]string{"version": "2"},
		Config: vault.MountConfigInput{DefaultLeaseTTL: "1h", MaxLeaseTTL: "2h"},
	}))
	t.Cleanup(func() {
		ok(t, sys.Unmount("go-from"))
		ok(t, sys.Unmount("go-to"))
	})
	one, err := sys.GetMount("go-from")
	ok(t, err)
	same(t, "type", one.Type, "kv")
	same(t, "description", one.Description, "of a test")
	same(t, "options", one.Options, map[string]string{"version": "2"})
	same(t, "default TTL", one.Config.DefaultLeaseTTL, 3600)
	same(t, "max TTL", one.Config.MaxLeaseTTL, 7200)
	all, err := sys.ListMounts()
	ok(t, err)
	same(t, "listed", *all["go-from/"], *one)
	same(t, "cubbyhole", all["cubbyhole/"].Type, "cubbyhole")

	description := "tuned"
	ok(t, sys.TuneMount("go-from", vault.MountConfigInput{Description: &description, DefaultLeaseTTL: "30m"}))
	half := "15m"
	ok(t, sys.TuneMountAllowNil("go-from", vault.TuneMountConfigInput{MaxLeaseTTL: &half, DefaultLeaseTTL: &half}))
	config, err := sys.MountConfig("go-from")
	ok(t, err)
	same(t, "default TTL", config.DefaultLeaseTTL, 900)
	same(t, "max TTL", config.MaxLeaseTTL, 900)

	ok(t, sys.Remount("go-from", "go-to"))
	moved, err := sys.GetMount("go-to")
	ok(t, err)
	same(t, "accessor", moved.Accessor, one.Accessor)
	same(t, "uuid", moved.UUID, one.UUID)
	same(t, "description", moved.Description, "tuned")
	_, err = sys.GetMount("go-from")
	refused(t, err, 400, "No secret engine mount at go-from/")
}

func TestAMountThatCannotBeIsRefused(t *testing.T) {
	sys := newClient(t).Sys()
	refused(t, sys.Mount("secret", &vault.MountInput{Type: "kv"}), 400, "path is already in use at secret/")
	refused(t, sys.Mount("go-x", &vault.MountInput{Type: "nothing-like-it"}), 400, "plugin not found in the catalog: nothing-like-it")
	refused(t, sys.Mount("go-x", &vault.MountInput{Type: "kv", Config: vault.MountConfigInput{DefaultLeaseTTL: "2h", MaxLeaseTTL: "1h"}}),
		400, "given default lease TTL greater than given max lease TTL")
	_, err := sys.MountConfig("go-x")
	refused(t, err, 400, `cannot fetch sysview for path "go-x/"`)
	// Not there is what was wanted.
	ok(t, sys.Unmount("go-x"))
}

func TestVersion1IsUpgradedInPlace(t *testing.T) {
	client := newClient(t)
	mount(t, client, "go-kv1", "1")
	ok(t, client.KVv1("go-kv1").Put(t.Context(), "app", map[string]any{"n": 1}))
	ok(t, client.Sys().TuneMount("go-kv1", vault.MountConfigInput{Options: map[string]string{"version": "2"}}))
	read, err := client.KVv2("go-kv1").Get(t.Context(), "app")
	ok(t, err)
	same(t, "data", read.Data, map[string]any{"n": "1"})
	same(t, "version", read.VersionMetadata.Version, 1)
}

func TestAPolicyIsPutReadListedAndDeleted(t *testing.T) {
	sys := newClient(t).Sys()
	ok(t, sys.PutPolicy("go-reader", reader))
	read, err := sys.GetPolicy("go-reader")
	ok(t, err)
	same(t, "policy", read, reader)
	names, err := sys.ListPolicies()
	ok(t, err)
	for _, name := range []string{"default", "go-reader", "root"} {
		same(t, name, slices.Contains(names, name), true)
	}
	ok(t, sys.DeletePolicy("go-reader"))
	read, err = sys.GetPolicy("go-reader")
	ok(t, err)
	same(t, "deleted policy", read, "")

	err = sys.PutPolicy("go-reader", `path "a" {`)
	if err == nil || !strings.Contains(err.Error(), "Code: 400. Errors:\n\n* failed to parse policy: ") {
		t.Errorf("a policy that is none: %v", err)
	}
	refused(t, sys.PutPolicy("root", reader), 400, `cannot update "root" policy`)
	refused(t, sys.DeletePolicy("default"), 400, "cannot delete default policy")
}

func TestCapabilitiesOfOneselfOfATokenAndOfAnAccessor(t *testing.T) {
	client := newClient(t)
	policy(t, client, "go-reader", reader)
	made, err := client.Auth().Token().Create(&vault.TokenCreateRequest{Policies: []string{"go-reader"}})
	ok(t, err)
	t.Cleanup(func() { ok(t, client.Auth().Token().RevokeTree(made.Auth.ClientToken)) })

	root, err := client.Sys().CapabilitiesSelf("secret/data/go-app/x")
	ok(t, err)
	same(t, "of root", root, []string{"root"})
	user := clientWith(t, made.Auth.ClientToken)
	for _, ask := range []func(path string) ([]string, error){
		user.Sys().CapabilitiesSelf,
		func(path string) ([]string, error) { return client.Sys().Capabilities(made.Auth.ClientToken, path) },
		func(path string) ([]string, error) {
			return client.Sys().CapabilitiesAccessor(made.Auth.Accessor, path)
		},
	} {
		allowed, err := ask("secret/data/go-app/x")
		ok(t, err)
		same(t, "allowed", allowed, []string{"list", "read"})
		denied, err := ask("sys/seal")
		ok(t, err)
		same(t, "denied", denied, []string{"deny"})
	}
	_, err = client.Sys().Capabilities("hvs.nobody", "x")
	refused(t, err, 400, "1 error occurred:\n\t* invalid token\n\n")
}

func TestHealthSealAndLeaderOfAServerThatServes(t *testing.T) {
	sys := newClient(t).Sys()
	health, err := sys.Health()
	ok(t, err)
	same(t, "initialized", health.Initialized, true)
	same(t, "sealed", health.Sealed, false)
	same(t, "standby", health.Standby, false)
	if age := time.Since(time.Unix(health.ServerTimeUTC, 0)); age < -time.Minute || age > time.Minute {
		t.Errorf("the server's clock is %v off", age)
	}
	status, err := sys.SealStatus()
	ok(t, err)
	same(t, "sealed", status.Sealed, false)
	same(t, "cluster", status.ClusterID, health.ClusterID)
	same(t, "version", status.Version, health.Version)
	initialized, err := sys.InitStatus()
	ok(t, err)
	same(t, "initialized", initialized, true)
	_, err = sys.Init(&vault.InitRequest{SecretShares: 1, SecretThreshold: 1})
	refused(t, err, 400, "Vault is already initialized")
	leader, err := sys.Leader()
	ok(t, err)
	same(t, "ha", leader.HAEnabled, false)
}

func TestTheEncryptionKeyIsRotated(t *testing.T) {
	sys := newClient(t).Sys()
	before, err := sys.KeyStatus()
	ok(t, err)
	ok(t, sys.Rotate())
	after, err := sys.KeyStatus()
	ok(t, err)
	same(t, "term", after.Term, before.Term+1)
	same(t, "later", after.InstallTime.Before(before.InstallTime), false)
}

func TestAuthMethodsAreListed(t *testing.T) {
	client := newClient(t)
	methods, err := client.Sys().ListAuth()
	ok(t, err)
	same(t, "type", methods["token/"].Type, "token")
	same(t, "token type", methods["token/"].Config.TokenType, "default-service")
	one, err := client.Sys().GetAuth("token")
	ok(t, err)
	same(t, "one", one.Accessor, methods["token/"].Accessor)
	_, err = client.Sys().GetAuth("nothing")
	// The client asks below sys/mounts.
	refused(t, err, 400, "No secret engine mount at auth/nothing/")
	config, err := client.Sys().MountConfig("auth/token")
	ok(t, err)
	same(t, "max TTL", config.MaxLeaseTTL, 2764800)
	err = client.Sys().EnableAuthWithOptions("go-x", &vault.EnableAuthOptions{Type: "nothing-like-it"})
	refused(t, err, 400, "plugin not found in the catalog: nothing-like-it")
	refused(t, client.Sys().DisableAuth("token"), 400, "token credential backend cannot be disabled")
}

func TestHelpAndOpenAPIAreToBeHad(t *testing.T) {
	client := newClient(t)
	help, err := client.Help("secret/config")
	ok(t, err)
	same(t, "help", help.Help != "" && help.OpenAPI != nil, true)
	described, err := client.Logical().Read("sys/internal/specs/openapi")
	ok(t, err)
	version, _ := described.Data["openapi"].(string)
	same(t, "openapi", strings.HasPrefix(version, "3."), true)
}

func TestAPathThatNothingServesIsNamed(t *testing.T) {
	client := newClient(t)
	// A read of nothing is nothing to the client; a write has the words.
	read, err := client.Logical().Read("nope/x")
	ok(t, err)
	same(t, "read", read == nil, true)
	_, err = client.Logical().Write("nope/x", map[string]any{"a": "1"})
	refused(t, err, 404, `no handler for route "nope/x". route entry not found.`)
	client.SetNamespace("team-a")
	_, err = client.Logical().Write("secret/data/x", map[string]any{"data": map[string]any{}})
	refused(t, err, 404, "namespace not found")
}
