'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { clientAt, clientWith, environment, refused, rootClient } = require('./setup.js');

const READER = 'path "secret/data/node-app/*" { capabilities = ["read", "list"] }';
const DENIED = '1 error occurred:\n\t* permission denied\n\n';
const UNKNOWN = '2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n';
const SEALED = 'Vault is sealed';

describe('mounts', () => {
    const vault = rootClient();

    test('mounts are listed at both levels', async () => {
        const mounts = await vault.mounts();
        assert.equal(mounts['secret/'].type, 'kv');
        assert.deepEqual(mounts['secret/'].options, { version: '2' });
        assert.deepEqual(mounts.data['secret/'], mounts['secret/']);
        assert.equal(mounts['cubbyhole/'].type, 'cubbyhole');
    });

    test('an engine is mounted, moved and unmounted', async () => {
        await vault.mount({ mount_point: 'node-from', type: 'kv', description: 'of a test', options: { version: '2' } });
        try {
            await vault.write('node-from/data/app', { data: { a: 1 } });
            const moved = await vault.remount({ from: 'node-from', to: 'node-to' });
            assert.match(moved.data.migration_id, /^[0-9a-f-]{36}$/);
            assert.equal(moved.migration_id, moved.data.migration_id);
            // node-vault has no call that waits; this server's moves are done when they are answered.
            assert.deepEqual((await vault.read('node-to/data/app')).data.data, { a: 1 });
            await refused(
                vault.read('node-from/data/app'), 404,
                'no handler for route "node-from/data/app". route entry not found.',
            );
            await refused(vault.mount({ mount_point: 'node-to', type: 'kv' }), 400, 'path is already in use at node-to/');
        } finally {
            assert.equal(await vault.unmount({ mount_point: 'node-to' }), '');
        }
        await refused(vault.read('node-to/data/app'), 404, /^no handler for route/);
        await refused(
            vault.mount({ mount_point: 'node-x', type: 'nothing-like-it' }), 400,
            'plugin not found in the catalog: nothing-like-it',
        );
    });

    test('auth methods are listed at both levels', async () => {
        const auths = await vault.auths();
        assert.equal(auths['token/'].type, 'token');
        assert.deepEqual(auths.data['token/'], auths['token/']);
    });

    test('help is to be had', async () => {
        const help = await vault.help('secret/config');
        assert.ok(help.help.length > 0);
    });
});

describe('policies', () => {
    const vault = rootClient();

    test('a policy is added, read, listed and removed', async () => {
        assert.equal(await vault.addPolicy({ name: 'node-reader', policy: READER }), '');
        const read = await vault.getPolicy({ name: 'node-reader' });
        assert.equal(read.rules, READER);
        assert.equal(read.data.rules, READER);
        const listed = await vault.policies();
        for (const name of ['default', 'node-reader', 'root']) assert.ok(listed.policies.includes(name));
        assert.deepEqual(listed.data.keys, listed.policies);
        assert.equal(await vault.removePolicy({ name: 'node-reader' }), '');
        await refused(vault.getPolicy({ name: 'node-reader' }), 404, 'Status 404');
    });

    test('the old name of the text is taken, with a warning', async () => {
        const added = await vault.addPolicy({ name: 'node-reader', rules: READER });
        assert.ok(added.warnings.includes("'rules' is deprecated, please use 'policy' instead"));
        assert.equal((await vault.getPolicy({ name: 'node-reader' })).rules, READER);
        await vault.removePolicy({ name: 'node-reader' });
    });

    test('a policy that is none is refused', async () => {
        await refused(vault.addPolicy({ name: 'node-bad', policy: 'path "a" {' }), 400, /^failed to parse policy: /);
        await refused(vault.addPolicy({ name: 'root', policy: READER }), 400, 'cannot update "root" policy');
    });
});

describe('tokens', () => {
    // node-vault's client takes over each token that it creates or renews, so those have their own.
    test('a token is created, taken over, looked up, renewed and revoked', async () => {
        const root = rootClient();
        await root.addPolicy({ name: 'node-reader', policy: READER });
        const user = rootClient();
        const made = await user.tokenCreate({
            policies: ['node-reader'], ttl: '1h', meta: { team: 'a' }, display_name: 'of a test', num_uses: 0,
        });
        assert.equal(user.token, made.auth.client_token);
        assert.deepEqual(made.auth.policies, ['default', 'node-reader']);
        assert.equal(made.auth.lease_duration, 3600);

        const itself = (await user.tokenLookupSelf()).data;
        assert.equal(itself.id, user.token);
        assert.equal(itself.display_name, 'token-of-a-test');
        assert.deepEqual(itself.meta, { team: 'a' });
        assert.equal((await root.tokenLookup({ token: user.token })).data.accessor, itself.accessor);
        assert.equal((await root.tokenLookupAccessor({ accessor: itself.accessor })).data.id, '');
        assert.ok((await root.tokenAccessors()).data.keys.includes(itself.accessor));

        assert.equal((await user.tokenRenewSelf({ increment: 1800 })).auth.lease_duration, 1800);
        assert.equal((await rootClient().tokenRenew({ token: user.token, increment: 600 })).auth.lease_duration, 600);

        await refused(user.write('secret/data/node-app/x', { data: {} }), 403, DENIED);
        await refused(user.read('secret/data/node-app/x'), 404, 'Status 404');
        assert.equal(await root.tokenRevoke({ token: user.token }), '');
        await refused(user.tokenLookupSelf(), 403, UNKNOWN);
        await refused(root.tokenLookup({ token: user.token }), 403, 'bad token');
        await root.removePolicy({ name: 'node-reader' });
    });

    test('children end with their parent, orphans do not', async () => {
        const root = rootClient();
        const parent = rootClient();
        await parent.tokenCreate({ policies: ['root'], ttl: '1h' });
        const child = clientWith(parent.token);
        await child.tokenCreate({ policies: ['default'] });
        const orphan = clientWith(parent.token);
        await orphan.tokenCreateOrphan({ policies: ['default'] });
        await root.tokenRevoke({ token: parent.token });
        await refused(child.tokenLookupSelf(), 403, UNKNOWN);
        assert.equal((await orphan.tokenLookupSelf()).data.orphan, true);
        await orphan.tokenRevokeSelf();
        await refused(orphan.tokenLookupSelf(), 403, UNKNOWN);

        const last = rootClient();
        const { auth } = await last.tokenCreate({ policies: ['default'] });
        await root.tokenRevokeAccessor({ accessor: auth.accessor });
        await refused(last.tokenLookupSelf(), 403, UNKNOWN);
    });

    test('a token is used up', async () => {
        const user = rootClient();
        await user.tokenCreate({ policies: ['default'], num_uses: 1 });
        await user.tokenLookupSelf();
        await refused(user.tokenLookupSelf(), 403, UNKNOWN);
    });

    test('a wrong token is forbidden', async () => {
        const stranger = clientWith('hvs.this-is-not-a-token');
        await refused(stranger.read('secret/data/app'), 403, UNKNOWN);
        await refused(stranger.write('secret/data/app', { data: {} }), 403, UNKNOWN);
        await refused(stranger.list('secret/metadata'), 403, UNKNOWN);
        await refused(clientAt(environment('VAULT_ADDR')).read('secret/data/app'), 403, 'permission denied');
    });
});

describe('health, status and keys', () => {
    const vault = rootClient();

    test('a server that serves says so', async () => {
        const health = await vault.health();
        assert.deepEqual([health.initialized, health.sealed, health.standby], [true, false, false]);
        const status = await vault.status();
        assert.deepEqual([status.sealed, status.progress], [false, 0]);
        assert.deepEqual(await vault.initialized(), { initialized: true });
        assert.equal((await vault.leader()).ha_enabled, false);
        await refused(vault.init({ secret_shares: 1, secret_threshold: 1 }), 400, 'Vault is already initialized');
    });

    test('the encryption key is rotated', async () => {
        const before = (await vault.read('sys/key-status')).term;
        assert.equal(await vault.rotate(), '');
        assert.equal((await vault.read('sys/key-status')).data.term, before + 1);
    });
});

describe('the seal', () => {
    test('a sealed server says so and nothing else', async () => {
        const vault = clientAt(environment('SEALED_ADDR'));
        vault.token = 'hvs.whoever';
        await refused(vault.read('secret/data/app'), 503, SEALED);
        await refused(vault.write('secret/data/app', { data: {} }), 503, SEALED);
        await refused(vault.update('secret/data/app', { data: {} }), 503, SEALED);
        await refused(vault.list('secret/metadata'), 503, SEALED);
        await refused(vault.delete('secret/data/app'), 503, SEALED);
        await refused(vault.mounts(), 503, SEALED);
        await refused(vault.tokenLookupSelf(), 503, SEALED);
        await refused(vault.seal(), 503, SEALED);
        const health = await vault.health();
        assert.deepEqual([health.initialized, health.sealed, health.standby], [true, true, true]);
        assert.equal((await vault.status()).sealed, true);
        await refused(vault.unseal({ key: 'not a key!' }), 400, "'key' must be a valid hex or base64 string");
    });

    test('a new server is initialised, unsealed, used and sealed', { skip: !process.env.FRESH_ADDR }, async () => {
        const vault = clientAt(process.env.FRESH_ADDR);
        assert.deepEqual(await vault.initialized(), { initialized: false });
        assert.equal((await vault.health()).initialized, false);
        await refused(vault.unseal({ key: '00'.repeat(33) }), 400, 'Vault is not initialized');
        await refused(
            vault.init({ secret_shares: 2, secret_threshold: 3 }), 400,
            'invalid seal configuration: threshold cannot be larger than shares',
        );
        const { keys, keys_base64: base64, root_token: token } = await vault.init({ secret_shares: 3, secret_threshold: 2 });
        assert.equal(new Set(keys).size, 3);
        assert.equal((await vault.unseal({ key: keys[0] })).progress, 1);
        assert.equal((await vault.unseal({ reset: true })).progress, 0);
        await vault.unseal({ key: base64[2] });
        assert.equal((await vault.unseal({ key: keys[0] })).sealed, false);

        vault.token = token;
        await vault.mount({ mount_point: 'secret', type: 'kv-v2' });
        await vault.write('secret/data/app', { data: { kept: 'while sealed' } });
        assert.equal(await vault.seal(), '');
        await refused(vault.read('secret/data/app'), 503, SEALED);
        await vault.unseal({ key: keys[1] });
        await vault.unseal({ key: keys[2] });
        assert.deepEqual((await vault.read('secret/data/app')).data.data, { kept: 'while sealed' });
        await vault.seal();
    });
});
