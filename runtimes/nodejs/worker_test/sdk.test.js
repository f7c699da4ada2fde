'use strict';
// The SDK on its own, as on a laptop.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const {test} = require('node:test');

const sdk = require('../worker/knative-lambda');
const {fakeContext} = require('../worker/knative-lambda/testing.js');

test('a fake context', async () => {
  const context = fakeContext({event: {type: 't', subject: 's', ext: 1}, method: 'PUT', path: '/a?q=1&q=2', headers: {'X-A': [1, 2], cookie: 'a=1'}, body: 'hi',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'});
  assert.deepEqual([context.id, context.type, context.subject, context.extensions], ['1', 't', 's', {ext: 1}]);
  assert.deepEqual([context.method, context.path, context.request.url, context.request.query.getAll('q')], ['PUT', '/a', '/a?q=1&q=2', ['1', '2']]);
  assert.deepEqual([context.headers, context.request.headersDistinct['x-a'], context.request.cookies], [{'x-a': '1, 2', cookie: 'a=1'}, ['1', '2'], {a: '1'}]);
  assert.deepEqual([context.traceId, context.request.body.toString()], ['0af7651916cd43dd8448eb211c80319c', 'hi']);
  assert.deepEqual((await context.request.stream().toArray()).map(String), ['hi']);
  context.logger.warn('careful %d', 1);
  assert.deepEqual(context.logs, [{severity: 'WARNING', message: 'careful 1'}]);
  assert.ok(context.remainingTime() > 0);
});

test('a fake call is cancelled, and its pod stops', () => {
  const context = fakeContext();
  assert.deepEqual([context.id, context.cancelled, context.stopping, context.signal.aborted], [undefined, false, false, false]);
  context.cancel();
  context.stop();
  assert.deepEqual([context.cancelled, context.stopping, context.signal.reason.name], [true, true, 'TimeoutError']);
});

test('the current context', () => {
  const context = fakeContext();
  assert.equal(sdk.currentContext(), undefined);
  assert.equal(context.run((n) => [n, sdk.currentContext()], 1)[1], context);
  assert.equal(sdk.currentContext(), undefined);
});

test('server-sent events and errors', () => {
  assert.equal(String(sdk.sse(undefined)), 'data: null\n\n');
  assert.equal(String(sdk.sse('a\r\nb\rc', {event: 'e', retry: 0})), 'event: e\nretry: 0\ndata: a\ndata: b\ndata: c\n\n');
  assert.throws(() => String(sdk.sse('a', {id: '1\n2'})), /line break in the field id/);
  assert.throws(() => new sdk.HTTPError(200), /status 200 of an HTTPError; expected 400 to 599/);
  const cause = new Error('cause');
  const error = new sdk.HTTPError(503, 'later', {cause, headers: {'retry-after': 1}});
  assert.deepEqual([error.name, error.message, error.cause, error.headers], ['HTTPError', 'later', cause, {'retry-after': 1}]);
  assert.equal(new sdk.PermanentError('no', {cause}).cause, cause);
});

test('the types name what the module exports', () => {
  const folder = path.join(__dirname, '..', 'worker', 'knative-lambda');
  for (const [types, exports] of [['index.d.ts', sdk], ['testing.d.ts', {fakeContext}]]) {
    const text = fs.readFileSync(path.join(folder, types), 'utf8');
    const declared = [...text.matchAll(/^export (?:class|function) (\w+)/gm)].map((m) => m[1]).sort();
    assert.deepEqual(declared, Object.keys(exports).sort(), types);
  }
});
