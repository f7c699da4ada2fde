'use strict';
// Real frameworks, from the npm registry.

const assert = require('node:assert/strict');
const {execFileSync} = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const {before, after, test} = require('node:test');

const {start} = require('./support.js');

const PACKAGES = ['express@5', 'koa@3', 'hono@4', Number(process.versions.node.split('.')[0]) < 20 ? 'fastify@4' : 'fastify@5'];

let folder;
let missing;

before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'frameworks-'));
  try {
    execFileSync('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', '--fetch-retries=0', ...PACKAGES],
      {stdio: 'pipe', timeout: 240_000, env: {...process.env, NODE_TEST_CONTEXT: ''}});
  } catch (e) {
    missing = `cannot install ${PACKAGES.join(', ')}: ${String(e.stderr || e.message).split('\n')[0]}`;
  }
});

after(() => fs.rmSync(folder, {recursive: true, force: true}));

const BODY = JSON.stringify({n: 1});

for (const [name, files] of [
  ['Express', {'index.js': `const app = require('express')(); app.use(require('express').json());
    app.post('/orders/:id', async (req, res) => { await null; console.log('order'); res.status(201).json({id: req.params.id, n: req.body.n}); }); module.exports = app;`}],
  ['Express that listens', {'index.js': `const app = require('express')(); app.use(require('express').json());
    app.post('/orders/:id', (req, res) => { console.log('order'); res.status(201).json({id: req.params.id, n: req.body.n}); }); app.listen(process.env.PORT || 3000);`}],
  ['Express that listens and is exported', {'index.mjs': `import express from 'express'; const app = express(); app.use(express.json());
    app.post('/orders/:id', (req, res) => { console.log('order'); res.status(201).json({id: req.params.id, n: req.body.n}); }); app.listen(3000); export default app;`}],
  ['Fastify', {'index.js': `const app = require('fastify')(); app.post('/orders/:id', async (req, reply) => { await null; console.log('order'); reply.code(201); return {id: req.params.id, n: req.body.n}; });
    app.addHook('onClose', async () => console.log('closed')); exports.handler = app;`}],
  ['Fastify that listens', {'index.mjs': `import Fastify from 'fastify'; const app = Fastify({logger: true}); app.post('/orders/:id', async (req, reply) => { console.log('order'); reply.code(201); return {id: req.params.id, n: req.body.n}; });
    await app.listen({port: 3000});`}],
  ['Koa', {'index.js': `const Koa = require('koa'); const app = new Koa(); app.use(async (ctx) => { let text = ''; for await (const part of ctx.req) text += part; console.log('order');
    ctx.status = 201; ctx.body = {id: ctx.path.split('/')[2], n: JSON.parse(text).n}; }); module.exports = app;`}],
  ['Koa that listens', {'index.js': `const Koa = require('koa'); const app = new Koa(); app.use(async (ctx) => { let text = ''; for await (const part of ctx.req) text += part; console.log('order');
    ctx.status = 201; ctx.body = {id: ctx.path.split('/')[2], n: JSON.parse(text).n}; }); app.listen(3000);`}],
  ['Hono', {'index.mjs': `import {Hono} from 'hono'; const app = new Hono(); app.post('/orders/:id', async (c) => { console.log('order'); return c.json({id: c.req.param('id'), n: (await c.req.json()).n}, 201); }); export default app;`}],
]) {
  test(name, async (t) => {
    if (missing) {
      t.skip(missing);
      return;
    }
    const worker = await start(t, files, {}, path.join(folder, 'node_modules'));
    const fetching = worker.ready.interface === 'fetch';
    assert.equal(worker.ready.interface, name === 'Hono' ? 'fetch' : 'listener');
    const answer = fetching ? await viaSlot(worker) : await viaHTTP(worker);
    assert.deepEqual(answer, [201, {id: '7', n: 1}]);
    assert.equal(worker.lines().find((l) => l.message === 'order').event_id, fetching ? undefined : 'e');
    worker.control.socket.end();
    assert.equal(await worker.exited, 0);
    if (name === 'Fastify') assert.ok(worker.log.includes('"closed"'), 'hooks run at the end');
  });
}

async function viaSlot(worker) {
  const [answer, body] = await worker.call({path: '/orders/7', headers: [['host', 'f'], ['content-type', 'application/json']]}, BODY);
  return [answer.status, JSON.parse(body)];
}

async function viaHTTP(worker) {
  const answer = await fetch(`http://${worker.ready.address}/orders/7`, {method: 'POST', body: BODY, headers: {'content-type': 'application/json', 'ce-id': 'e', 'ce-type': 't'}});
  return [answer.status, await answer.json()];
}
