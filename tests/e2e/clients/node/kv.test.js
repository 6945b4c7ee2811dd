'use strict';

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const nodeVault = require('node-vault');
const { environment, refused, remove, rootClient } = require('./setup.js');

const NOT_THE_CURRENT = 'check-and-set parameter did not match the current version';

describe('KV version 2', () => {
    const vault = rootClient();
    let path;
    let count = 0;
    const fresh = () => {
        count += 1;
        path = `node/app-${count}`;
        return path;
    };
    const put = (data, options) => vault.write(`secret/data/${path}`, { data, options });
    const get = (query = '') => vault.read(`secret/data/${path}${query}`);
    after(() => remove(vault, 'node'));

    test('a secret is put and read', async () => {
        fresh();
        const written = await put({ user: 'ada', n: 1 });
        assert.equal(written.data.version, 1);
        assert.equal(written.data.deletion_time, '');
        assert.equal(written.data.destroyed, false);
        const read = await get();
        assert.deepEqual(read.data.data, { user: 'ada', n: 1 });
        assert.deepEqual(read.data.metadata, written.data);
        assert.equal(read.lease_duration, 0);
        assert.equal(read.auth, null);
    });

    test('values come back exactly', async () => {
        fresh();
        const secret = {
            text: 'Ünïcödé ✓ 漢字 🔑\n\u0000',
            empty: '',
            null: null,
            yes: true,
            fraction: 0.1,
            'key with.dots': '<&>',
            nested: { list: [1, 'two', null, { three: [[]] }], object: {} },
        };
        await put(secret);
        assert.deepEqual((await get()).data.data, secret);
    });

    test('each put makes a version', async () => {
        fresh();
        for (const n of [1, 2, 3]) assert.equal((await put({ n })).data.version, n);
        assert.deepEqual((await get('?version=2')).data.data, { n: 2 });
        assert.deepEqual((await get()).data.data, { n: 3 });
        const metadata = (await vault.read(`secret/metadata/${path}`)).data;
        assert.equal(metadata.current_version, 3);
        assert.deepEqual(Object.keys(metadata.versions), ['1', '2', '3']);
    });

    test('a missing secret is a 404 without words', async () => {
        fresh();
        await refused(get(), 404, 'Status 404');
        await refused(vault.read(`secret/metadata/${path}`), 404, 'Status 404');
        await refused(vault.list(`secret/metadata/${path}`), 404, 'Status 404');
    });

    test('a deleted secret is a 404 whose body has the metadata', async () => {
        fresh();
        await put({ n: 1 });
        assert.equal(await vault.delete(`secret/data/${path}`), '');
        await assert.rejects(get(), (error) => {
            assert.equal(error.message, 'Status 404');
            assert.equal(error.response.body.data.data, null);
            assert.notEqual(error.response.body.data.metadata.deletion_time, '');
            return true;
        });
        await vault.write(`secret/undelete/${path}`, { versions: [1] });
        assert.deepEqual((await get()).data.data, { n: 1 });
    });

    test('versions are deleted, brought back and destroyed', async () => {
        fresh();
        for (const n of [1, 2, 3]) await put({ n });
        await vault.write(`secret/delete/${path}`, { versions: [1, 2] });
        await vault.write(`secret/destroy/${path}`, { versions: [2] });
        await vault.write(`secret/undelete/${path}`, { versions: [1, 2] });
        assert.deepEqual((await get('?version=1')).data.data, { n: 1 });
        await assert.rejects(get('?version=2'), (error) => {
            assert.equal(error.response.body.data.metadata.destroyed, true);
            return true;
        });
        await refused(vault.write(`secret/delete/${path}`, { versions: [] }), 400, 'No version number provided');
    });

    test('an update patches what it names', async () => {
        fresh();
        await put({ a: 1, b: 2, deep: { x: 1, y: 2 } });
        const patched = await vault.update(`secret/data/${path}`, { data: { b: null, c: [3], deep: { y: null } } });
        assert.equal(patched.data.version, 2);
        assert.deepEqual((await get()).data.data, { a: 1, c: [3], deep: { x: 1 } });
        await refused(
            vault.update(`secret/data/${path}`, { data: { a: 'lost' }, options: { cas: 1 } }), 400, NOT_THE_CURRENT,
        );
        fresh();
        await refused(vault.update(`secret/data/${path}`, { data: { a: 1 } }), 404, 'Status 404');
    });

    test('check-and-set lets one writer through', async () => {
        fresh();
        await put({ n: 1 }, { cas: 0 });
        await refused(put({ n: 'lost' }, { cas: 0 }), 400, NOT_THE_CURRENT);
        await refused(put({ n: 'lost' }, { cas: 2 }), 400, NOT_THE_CURRENT);
        assert.equal((await put({ n: 2 }, { cas: 1 })).data.version, 2);
    });

    test('metadata is written, patched and deleted', async () => {
        fresh();
        await vault.write(`secret/metadata/${path}`, { max_versions: 5, custom_metadata: { owner: 'ops', team: 'a' } });
        await vault.update(`secret/metadata/${path}`, { custom_metadata: { owner: null }, cas_required: true });
        const metadata = (await vault.read(`secret/metadata/${path}`)).data;
        assert.deepEqual(metadata.custom_metadata, { team: 'a' });
        assert.equal(metadata.max_versions, 5);
        await refused(put({ n: 1 }), 400, 'check-and-set parameter required for this call');
        await vault.delete(`secret/metadata/${path}`);
        await refused(vault.read(`secret/metadata/${path}`), 404, 'Status 404');
    });

    test('keys and folders are listed, with the LIST verb and without', async () => {
        fresh();
        for (const name of ['b', 'a', 'a/below', 'c/far/below']) {
            await vault.write(`secret/data/${path}/${name}`, { data: { name } });
        }
        const plain = nodeVault({ endpoint: environment('VAULT_ADDR'), noCustomHTTPVerbs: true });
        for (const client of [vault, plain]) {
            const listed = await client.list(`secret/metadata/${path}`);
            assert.deepEqual(listed.data.keys, ['a', 'a/', 'b', 'c/']);
        }
    });

    test('a path may hold odd characters', async () => {
        for (const name of ['with space', 'per%cent', 'p+l+u+s', 'quest?ion', 'ünïcode-漢字']) {
            path = `node/${encodeURIComponent(name)}`;
            await put({ name });
            assert.deepEqual((await get()).data.data, { name });
            assert.ok((await vault.list('secret/metadata/node')).data.keys.includes(name));
        }
    });

    test('who takes version 2 for version 1 is told in the body', async () => {
        await assert.rejects(vault.read('secret/node-app'), (error) => {
            assert.equal(error.message, 'Status 404');
            assert.match(error.response.body.warnings[0], /'vault kv get'/);
            return true;
        });
    });
});

describe('KV version 1', () => {
    const vault = rootClient();
    before(() => vault.mount({ mount_point: 'node-kv1', type: 'kv', options: { version: '1' } }));
    after(() => vault.unmount({ mount_point: 'node-kv1' }));

    test('a secret is put, read, listed and deleted', async () => {
        assert.equal(await vault.write('node-kv1/deep/app', { a: 1, b: [null] }), '');
        const read = await vault.read('node-kv1/deep/app');
        assert.deepEqual(read.data, { a: 1, b: [null] });
        assert.equal(read.lease_duration, 2764800);
        assert.deepEqual((await vault.list('node-kv1')).data.keys, ['deep/']);
        assert.equal(await vault.delete('node-kv1/deep/app'), '');
        await refused(vault.read('node-kv1/deep/app'), 404, 'Status 404');
        await refused(vault.list('node-kv1'), 404, 'Status 404');
        await refused(vault.write('node-kv1/deep/app', {}), 400, 'missing data fields');
        await refused(
            vault.update('node-kv1/deep/app', { a: 2 }), 405, '1 error occurred:\n\t* unsupported operation\n\n',
        );
    });
});
