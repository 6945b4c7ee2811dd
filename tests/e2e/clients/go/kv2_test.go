package clients

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	vault "github.com/hashicorp/vault/api"
)

const notTheCurrent = "check-and-set parameter did not match the current version"

func TestASecretIsPutAndRead(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)

	written, err := kv.Put(t.Context(), folder+"/app", map[string]any{"user": "ada", "n": 1})
	ok(t, err)
	same(t, "version", written.VersionMetadata.Version, 1)
	if age := time.Since(written.VersionMetadata.CreatedTime); age < -time.Minute || age > time.Minute {
		t.Errorf("created %v ago", age)
	}

	read, err := kv.Get(t.Context(), folder+"/app")
	ok(t, err)
	same(t, "data", read.Data, map[string]any{"user": "ada", "n": json.Number("1")})
	same(t, "version", read.VersionMetadata.Version, 1)
	same(t, "deleted", read.VersionMetadata.DeletionTime.IsZero(), true)
	same(t, "destroyed", read.VersionMetadata.Destroyed, false)
	same(t, "custom metadata", read.CustomMetadata == nil, true)
	same(t, "lease", read.Raw.LeaseID+read.Raw.RequestID[8:9], "-")
	same(t, "lease duration", read.Raw.LeaseDuration, 0)
}

func TestNumbersComeBackDigitByDigit(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	sent := map[string]any{
		"beyond a double": json.Number("9007199254740993"),
		"beyond 64 bits":  json.Number("-123456789012345678901234567890"),
		"one point zero":  json.Number("1.0"),
		"exponent":        json.Number("1.50e-300"),
		"text":            "<Ünïcödé ✓ & 漢字>\n\x00",
		"empty":           "",
		"null":            nil,
		"yes":             true,
		"nested":          map[string]any{"list": []any{json.Number("1"), nil, map[string]any{}}},
	}
	_, err := kv.Put(t.Context(), folder+"/app", sent)
	ok(t, err)
	read, err := kv.Get(t.Context(), folder+"/app")
	ok(t, err)
	got, err := json.Marshal(read.Data)
	ok(t, err)
	want, err := json.Marshal(sent)
	ok(t, err)
	same(t, "data", string(got), string(want))
}

func TestEachPutMakesAVersion(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	for number := 1; number <= 3; number++ {
		_, err := kv.Put(t.Context(), folder+"/app", map[string]any{"n": number})
		ok(t, err)
	}
	first, err := kv.GetVersion(t.Context(), folder+"/app", 1)
	ok(t, err)
	same(t, "data of version 1", first.Data, map[string]any{"n": "1"})

	versions, err := kv.GetVersionsAsList(t.Context(), folder+"/app")
	ok(t, err)
	same(t, "versions", len(versions), 3)
	for at, version := range versions {
		same(t, "version", version.Version, at+1)
		same(t, "has a time", version.CreatedTime.IsZero(), false)
	}
	metadata, err := kv.GetMetadata(t.Context(), folder+"/app")
	ok(t, err)
	same(t, "current version", metadata.CurrentVersion, 3)
	same(t, "created with version 1", metadata.CreatedTime, versions[0].CreatedTime)
	same(t, "updated with version 3", metadata.UpdatedTime, versions[2].CreatedTime)
}

func TestAMissingSecretIsNotFound(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	_, err := kv.Get(t.Context(), folder+"/nothing")
	same(t, "get", errors.Is(err, vault.ErrSecretNotFound), true)
	_, err = kv.GetVersion(t.Context(), folder+"/nothing", 1)
	same(t, "get version", errors.Is(err, vault.ErrSecretNotFound), true)
	_, err = kv.GetVersionsAsList(t.Context(), folder+"/nothing")
	same(t, "versions", errors.Is(err, vault.ErrSecretNotFound), true)
	_, err = kv.Patch(t.Context(), folder+"/nothing", map[string]any{"a": "1"})
	same(t, "patch", errors.Is(err, vault.ErrSecretNotFound), true)
	listed, err := client.Logical().List("secret/metadata/" + folder)
	ok(t, err)
	same(t, "list", listed == nil, true)
}

func TestADeletedSecretComesBackByUndelete(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	_, err := kv.Put(t.Context(), folder+"/app", map[string]any{"n": 1})
	ok(t, err)
	ok(t, kv.Delete(t.Context(), folder+"/app"))

	// The client takes a 404 with metadata for a secret without data.
	read, err := kv.Get(t.Context(), folder+"/app")
	ok(t, err)
	same(t, "data", read.Data == nil, true)
	same(t, "deleted", read.VersionMetadata.DeletionTime.IsZero(), false)
	same(t, "version", read.VersionMetadata.Version, 1)
	_, err = kv.Patch(t.Context(), folder+"/app", map[string]any{"a": "1"})
	same(t, "patch", errors.Is(err, vault.ErrSecretNotFound), true)

	ok(t, kv.Undelete(t.Context(), folder+"/app", []int{1}))
	read, err = kv.Get(t.Context(), folder+"/app")
	ok(t, err)
	same(t, "data", read.Data, map[string]any{"n": "1"})
}

func TestVersionsAreDeletedAndDestroyed(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	for number := 1; number <= 3; number++ {
		_, err := kv.Put(t.Context(), folder+"/app", map[string]any{"n": number})
		ok(t, err)
	}
	ok(t, kv.DeleteVersions(t.Context(), folder+"/app", []int{1, 2}))
	ok(t, kv.Destroy(t.Context(), folder+"/app", []int{2}))
	ok(t, kv.Undelete(t.Context(), folder+"/app", []int{1, 2}))

	first, err := kv.GetVersion(t.Context(), folder+"/app", 1)
	ok(t, err)
	same(t, "version 1", first.Data, map[string]any{"n": "1"})
	second, err := kv.GetVersion(t.Context(), folder+"/app", 2)
	ok(t, err)
	same(t, "version 2 has data", second.Data != nil, false)
	same(t, "version 2 is destroyed", second.VersionMetadata.Destroyed, true)

	ok(t, kv.DeleteMetadata(t.Context(), folder+"/app"))
	_, err = kv.Get(t.Context(), folder+"/app")
	same(t, "gone", errors.Is(err, vault.ErrSecretNotFound), true)
}

func TestAnOldVersionIsRolledBackTo(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	for number := 1; number <= 3; number++ {
		_, err := kv.Put(t.Context(), folder+"/app", map[string]any{"n": number})
		ok(t, err)
	}
	back, err := kv.Rollback(t.Context(), folder+"/app", 1)
	ok(t, err)
	same(t, "version", back.VersionMetadata.Version, 4)
	read, err := kv.Get(t.Context(), folder+"/app")
	ok(t, err)
	same(t, "data", read.Data, map[string]any{"n": "1"})

	ok(t, kv.DeleteVersions(t.Context(), folder+"/app", []int{2}))
	_, err = kv.Rollback(t.Context(), folder+"/app", 2)
	if err == nil || !strings.Contains(err.Error(), "no secret found") {
		t.Errorf("rolled back to a deleted version: %v", err)
	}
}

func TestAPatchIsMergedByTheServer(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	_, err := kv.Put(t.Context(), folder+"/app", map[string]any{
		"a": json.Number("1.0"), "b": "2", "deep": map[string]any{"x": "1", "y": "2"},
	})
	ok(t, err)
	for _, method := range []string{vault.KVMergeMethodPatch, ""} {
		patch := map[string]any{"b": nil, "c": []any{"3"}, "deep": map[string]any{"y": nil, "z": method}}
		var options []vault.KVOption
		if method != "" {
			options = append(options, vault.WithMergeMethod(method))
		}
		_, err = kv.Patch(t.Context(), folder+"/app", patch, options...)
		ok(t, err)
		read, err := kv.Get(t.Context(), folder+"/app")
		ok(t, err)
		same(t, "data", read.Data, map[string]any{
			"a": json.Number("1.0"), "c": []any{"3"}, "deep": map[string]any{"x": "1", "z": method},
		})
	}
	patched, err := kv.Patch(t.Context(), folder+"/app", map[string]any{"a": "rw"}, vault.WithMergeMethod(vault.KVMergeMethodReadWrite))
	ok(t, err)
	same(t, "version", patched.VersionMetadata.Version, 4)
	_, err = kv.Patch(t.Context(), folder+"/app", map[string]any{"a": "lost"}, vault.WithCheckAndSet(1))
	refused(t, err, 400, notTheCurrent)
}

func TestCheckAndSetLetsOneWriterThrough(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	_, err := kv.Put(t.Context(), folder+"/app", map[string]any{"n": 1}, vault.WithCheckAndSet(0))
	ok(t, err)
	for _, wrong := range []int{0, 2} {
		_, err = kv.Put(t.Context(), folder+"/app", map[string]any{"n": "lost"}, vault.WithCheckAndSet(wrong))
		refused(t, err, 400, notTheCurrent)
	}
	if !strings.Contains(err.Error(), "Code: 400. Errors:\n\n* "+notTheCurrent) {
		t.Errorf("the error reads %q", err)
	}
	_, err = kv.Put(t.Context(), folder+"/app", map[string]any{"n": 2}, vault.WithCheckAndSet(1))
	ok(t, err)
}

func TestOfManyWritersAtOnceOneWins(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	const writers = 8
	errs := make(chan error, writers)
	for writer := range writers {
		go func() {
			_, err := kv.Put(t.Context(), folder+"/app", map[string]any{"writer": writer}, vault.WithCheckAndSet(0))
			errs <- err
		}()
	}
	won := 0
	for range writers {
		if err := <-errs; err == nil {
			won++
		} else {
			refused(t, err, 400, notTheCurrent)
		}
	}
	same(t, "winners", won, 1)
	versions, err := kv.GetVersionsAsList(t.Context(), folder+"/app")
	ok(t, err)
	same(t, "versions", len(versions), 1)
}

func TestMetadataIsPutAndPatched(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	ok(t, kv.PutMetadata(t.Context(), folder+"/app", vault.KVMetadataPutInput{
		CASRequired: true, DeleteVersionAfter: 90 * time.Minute, MaxVersions: 5,
		CustomMetadata: map[string]any{"owner": "ops", "team": "a"},
	}))
	metadata, err := kv.GetMetadata(t.Context(), folder+"/app")
	ok(t, err)
	same(t, "cas required", metadata.CASRequired, true)
	same(t, "delete after", metadata.DeleteVersionAfter, 90*time.Minute)
	same(t, "max versions", metadata.MaxVersions, 5)
	same(t, "custom metadata", metadata.CustomMetadata, map[string]any{"owner": "ops", "team": "a"})
	same(t, "current version", metadata.CurrentVersion, 0)
	same(t, "versions", len(metadata.Versions), 0)

	_, err = kv.Put(t.Context(), folder+"/app", map[string]any{"n": 1})
	refused(t, err, 400, "check-and-set parameter required for this call")

	no, never, three := false, time.Duration(0), 3
	ok(t, kv.PatchMetadata(t.Context(), folder+"/app", vault.KVMetadataPatchInput{
		CASRequired: &no, DeleteVersionAfter: &never, MaxVersions: &three,
		CustomMetadata: map[string]any{"owner": nil, "colour": "red"},
	}))
	metadata, err = kv.GetMetadata(t.Context(), folder+"/app")
	ok(t, err)
	same(t, "cas required", metadata.CASRequired, false)
	same(t, "delete after", metadata.DeleteVersionAfter, time.Duration(0))
	same(t, "max versions", metadata.MaxVersions, 3)
	same(t, "custom metadata", metadata.CustomMetadata, map[string]any{"team": "a", "colour": "red"})

	ok(t, kv.PatchMetadata(t.Context(), folder+"/app", vault.KVMetadataPatchInput{CustomMetadata: map[string]any{}}))
	metadata, err = kv.GetMetadata(t.Context(), folder+"/app")
	ok(t, err)
	same(t, "custom metadata is gone", metadata.CustomMetadata == nil, true)
	err = kv.PatchMetadata(t.Context(), folder+"/nothing", vault.KVMetadataPatchInput{MaxVersions: &three})
	// As Vault, the body is empty, which the client takes for a text.
	refused(t, err, 404, "")
}

func TestKeysAndFoldersAreListedInOrder(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	for _, name := range []string{"b", "a", "a/below", "c/far/below"} {
		_, err := kv.Put(t.Context(), folder+"/"+name, map[string]any{"name": name})
		ok(t, err)
	}
	listed, err := client.Logical().List("secret/metadata/" + folder)
	ok(t, err)
	same(t, "keys", keys(t, listed), []string{"a", "a/", "b", "c/"})
}

func TestAPathMayHoldOddCharacters(t *testing.T) {
	client := newClient(t)
	kv, folder := secrets(t, client)
	for _, name := range []string{"with space", "p+l+u+s", "ünïcode-漢字", "a&b=c;d", "dots.and-dashes_", "quest?ion", "ha#sh"} {
		_, err := kv.Put(t.Context(), folder+"/"+name, map[string]any{"name": name})
		ok(t, err)
		read, err := kv.Get(t.Context(), folder+"/"+name)
		ok(t, err)
		same(t, "data", read.Data, map[string]any{"name": name})
	}
	listed, err := client.Logical().List("secret/metadata/" + folder)
	ok(t, err)
	same(t, "keys", len(keys(t, listed)), 7)
}

func TestWhoTakesVersion2ForVersion1IsTold(t *testing.T) {
	client := newClient(t)
	read, err := client.Logical().Read("secret/go-app")
	ok(t, err)
	if read == nil || len(read.Warnings) != 1 || !strings.Contains(read.Warnings[0], "'vault kv get'") {
		t.Errorf("read: %+v", read)
	}
	written, err := client.Logical().Write("secret/go-app", map[string]any{"a": "1"})
	refused(t, err, 404)
	if written == nil || len(written.Warnings) != 1 || !strings.Contains(written.Warnings[0], "'vault kv put'") {
		t.Errorf("written: %+v", written)
	}
}
