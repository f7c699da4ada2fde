'use strict';
// Handlers that write their answer to a stream, as AWS Lambda has them.

const assert = require('node:assert/strict');
const {test} = require('node:test');

const {start} = require('./support.js');

const CODE = `const {pipeline} = require('node:stream/promises'); const {Readable} = require('node:stream');
  const handlers = {
    plain: async (event, stream) => { stream.write('a'); stream.end(Buffer.from('b')); },
    typed: async (event, stream) => { stream.setContentType('text/html'); stream.end('x'); },
    http: async (event, stream) => {
      stream = awslambda.HttpResponseStream.from(stream, {statusCode: 201, headers: {'Content-Type': 'text/csv', 'X-A': '1'}, cookies: ['c=1']});
      await pipeline(Readable.from(['a', 'b']), stream);
    },
    empty: async (event, stream) => { awslambda.HttpResponseStream.from(stream, {statusCode: 302, headers: {Location: '/there'}}).end(); },
    later: async (event, stream) => { setTimeout(() => stream.end('late'), 20); },
    context: async (event, stream, context) => { stream.end(context.path); },
    fails: async () => { throw new TypeError('no'); },
    'fails late': async (event, stream) => { stream.write('a'); await new Promise((r) => setTimeout(r, 20)); throw new TypeError('no'); },
    throws: (event, stream) => { throw new TypeError('no'); },
  };
  exports.handler = awslambda.streamifyResponse((event, stream, context) => handlers[event](event, stream, context));`;

test('answers that are written to a stream', async (t) => {
  const worker = await start(t, CODE);
  for (const [name, fields, body] of [
    ['plain', {status: 200, contentType: 'application/octet-stream'}, 'ab'],
    ['typed', {status: 200, contentType: 'text/html'}, 'x'],
    ['http', {status: 201, headers: [['Content-Type', 'text/csv'], ['X-A', '1']], cookies: ['c=1']}, 'ab'],
    ['empty', {status: 302, headers: [['Location', '/there']]}, ''],
    ['later', {status: 200, contentType: 'application/octet-stream'}, 'late'],
    ['context', {status: 200, contentType: 'application/octet-stream'}, '/p'],
  ]) {
    const [{more, ...answer}, data] = await worker.json(name, {path: '/p'});
    assert.deepEqual([answer, data.toString()], [{kind: 'result', ...fields}, body], name);
  }
  for (const name of ['fails', 'throws']) {
    const [answer] = await worker.json(name);
    assert.deepEqual([answer.kind, answer.type, answer.message], ['error', 'TypeError', 'no'], name);
  }
  const [answer, data] = await worker.json('fails late');
  assert.deepEqual([answer.kind, answer.end.kind, answer.end.message, data.toString()], ['result', 'error', 'no', 'a']);
});

test('a client that disconnects closes the stream', async (t) => {
  const worker = await start(t, `exports.handler = awslambda.streamifyResponse(async (event, stream) => {
    if (event === 'closed') { stream.end(String(globalThis.closed)); return; }
    stream.on('close', () => { globalThis.closed = true; });
    stream.write('a');
    await new Promise(() => {});
  });`);
  const id = worker.invoke({contentType: 'application/json'}, '"open"');
  const [head] = await worker.slot(1).next();
  assert.equal(head.more, true);
  worker.cancel(id, 'disconnect');
  const [, end] = await worker.slot(1).next();
  assert.equal(end.length, 0);
  const [, data] = await worker.json('closed');
  assert.equal(data.toString(), 'true');
});
