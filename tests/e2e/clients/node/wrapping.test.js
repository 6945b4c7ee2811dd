'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { clientWith, refused, rootClient } = require('./setup.js');

const GONE = 'wrapping token is not valid or does not exist';

describe('wrapping', () => {
    const vault = rootClient();

    test('what is wrapped is unwrapped once', async () => {
        const headers = { 'X-Vault-Wrap-TTL': '60' };
        const wrapped = await vault.write('sys/wrapping/wrap', { password: 'hunter2' }, { headers });
        assert.equal(wrapped.data, null);
        assert.equal(wrapped.wrap_info.ttl, 60);
        const inner = await vault.unwrap({ token: wrapped.wrap_info.token });
        assert.deepEqual(inner.data, { password: 'hunter2' });
        await refused(vault.unwrap({ token: wrapped.wrap_info.token }), 400, GONE);
    });

    test('whoever has nothing but the wrapping token unwraps with it', async () => {
        const headers = { 'X-Vault-Wrap-TTL': '60s' };
        const wrapped = await vault.read('auth/token/lookup-self', { headers });
        const reader = clientWith(wrapped.wrap_info.token);
        assert.deepEqual((await reader.unwrap()).data.policies, ['root']);
        await refused(reader.unwrap(), 400, GONE);
    });
});
