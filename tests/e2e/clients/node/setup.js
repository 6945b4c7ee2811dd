'use strict';

// What the promises stand on.
//
//   VAULT_ADDR, VAULT_TOKEN   an unsealed server with KV version 2 at secret/, and a root token of it
//   SEALED_ADDR               a server that is initialised and sealed
//   FRESH_ADDR                optional: a server that nobody has initialised; used up by a run

const assert = require('node:assert/strict');
const nodeVault = require('node-vault');

function environment(name) {
    const value = process.env[name];
    if (!value) throw new Error(`${name} is not set: say which server to talk to`);
    return value;
}

// The root token's client, made as people make it: all from the environment.
function rootClient() {
    environment('VAULT_ADDR');
    environment('VAULT_TOKEN');
    return nodeVault();
}

function clientWith(token) {
    return nodeVault({ endpoint: environment('VAULT_ADDR'), token });
}

// A client without a token, whatever the environment has.
function clientAt(endpoint) {
    const client = nodeVault({ endpoint });
    client.token = undefined;
    return client;
}

// That a call is refused with this status and these words, which are all that node-vault hands on.
function refused(call, statusCode, message) {
    return assert.rejects(call, (error) => {
        assert.equal(error.constructor.name, 'ApiResponseError');
        assert.equal(error.response.statusCode, statusCode);
        if (message instanceof RegExp) assert.match(error.message, message);
        else assert.equal(error.message, message);
        return true;
    });
}

// All keys of secret/ below a folder.
async function remove(client, folder) {
    let names = [];
    try {
        names = (await client.list(`secret/metadata/${folder}`)).data.keys;
    } catch (error) {
        if (error.response?.statusCode !== 404) throw error;
    }
    for (const name of names) {
        // node-vault sends paths as they are: encoding is its user's.
        const path = `${folder}/${encodeURIComponent(name.replace(/\/$/, ''))}`;
        if (name.endsWith('/')) await remove(client, path);
        else await client.delete(`secret/metadata/${path}`);
    }
}

module.exports = { clientAt, clientWith, environment, refused, remove, rootClient };
