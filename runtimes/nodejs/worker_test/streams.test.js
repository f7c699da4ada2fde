'use strict';
// Bodies in pieces, both ways.

const assert = require('node:assert/strict');
const {test} = require('node:test');

const {sleep, start, until} = require('./support.js');

const CODE = `const {Response, sse, requestStream} = require('knative-lambda'); const {Readable} = require('stream');
  const two = async function* (a, b) { yield a; yield b; };
  exports.handler = (event) => eval('(' + event + ')');`;

test('what streams are, and their content types', async (t) => {
  const worker = await start(t, CODE);
  for (const [code, fields, body] of [
    ['two("a", "ß")', {contentType: 'text/plain; charset=utf-8'}, 'aß'],
    ['two("a", Buffer.from("b"))', {contentType: 'text/plain; charset=utf-8'}, 'ab'],
    ['two(new Uint8Array([97]), Buffer.from("b"))', {contentType: 'application/octet-stream'}, 'ab'],
    ['two({a: 1}, [2])', {contentType: 'application/x-ndjson'}, '{"a":1}\n[2]\n'],
    ['new Response(two(sse(1), sse(2)), {headers: {"Cache-Control": "private"}})', {contentType: 'text/event-stream', headers: [['Cache-Control', 'private']]}, 'data: 1\n\ndata: 2\n\n'],
    ['two(1, "b")', {contentType: 'application/x-ndjson'}, '1\n"b"\n'],
    ['two(sse({t: 1}), sse("a\\nb", {event: "e", id: "7", retry: 5}))', {contentType: 'text/event-stream', headers: [['cache-control', 'no-cache']]}, 'data: {"t":1}\n\nevent: e\nid: 7\nretry: 5\ndata: a\ndata: b\n\n'],
    ['(function* () { yield "a"; yield "b"; })()', {contentType: 'text/plain; charset=utf-8'}, 'ab'],
    ['Readable.from([Buffer.from("a"), Buffer.from("b")])', {contentType: 'application/octet-stream'}, 'ab'],
    ['new ReadableStream({start(c) { c.enqueue("x"); c.enqueue("y"); c.close(); }})', {contentType: 'text/plain; charset=utf-8'}, 'xy'],
    ['new Response(two("a", "b"), {status: 201, contentType: "text/csv", headers: {"x-a": "1"}})', {status: 201, contentType: 'text/csv', headers: [['x-a', '1']]}, 'ab'],
    ['new Response(two("a", "b"), {headers: {"Content-Type": "text/csv"}})', {headers: [['Content-Type', 'text/csv']]}, 'ab'],
    ['globalThis.Response && new globalThis.Response(new ReadableStream({async pull(c) { await new Promise((r) => setTimeout(r, 20)); c.enqueue(Buffer.from("x")); c.close(); }}))', {}, 'x'],
  ]) {
    const [answer, data] = await worker.json(code);
    assert.deepEqual([answer, data.toString()], [{kind: 'result', status: 200, more: true, ...fields}, body], code);
  }
  const [answer, data] = await worker.json('(async function* () {})()');
  assert.deepEqual([answer, data.length], [{kind: 'result', status: 200}, 0], 'an empty one');
});

test('the first item arrives before the second is made', async (t) => {
  const worker = await start(t, `exports.handler = async function* (event, context) {
    yield 'first';
    await new Promise((resolve) => { globalThis.release = resolve; });
    yield 'second';
  };
  exports.release = () => { globalThis.release(); };`);
  worker.invoke();
  const slot = worker.slot(1);
  const [head, first] = await slot.next();
  assert.deepEqual([head.more, first.toString()], [true, 'first']);
  await sleep(100);
  assert.equal(slot.frames.length, 0);
});

test('long pieces are cut', async (t) => {
  const worker = await start(t, 'exports.handler = function* () { yield Buffer.alloc(200_000, "a"); yield Buffer.alloc(0); yield Buffer.alloc(70_000, "b"); };');
  worker.invoke();
  const lengths = [];
  let [, piece] = await worker.slot(1).next();
  for (; piece.length; [, piece] = await worker.slot(1).next()) lengths.push(piece.length);
  assert.deepEqual(lengths, [65536, 65536, 65536, 3392, 65536, 4464]);
});

test('errors of streams', async (t) => {
  const worker = await start(t, `exports.handler = async function* (event) {
    if (event === 'first') throw new TypeError('before the head');
    if (event === 'bytes') { yield 1; yield Buffer.from('a'); }
    yield 'a';
    if (event === 'type') yield {a: 1};
    throw new TypeError('under way');
  };`);
  const [early] = await worker.json('first');
  assert.deepEqual([early.kind, early.message], ['error', 'before the head']);
  const [json] = await worker.json('bytes');
  assert.deepEqual([json.end.type, json.end.message], ['InvalidReply', 'the handler yielded a value of type Buffer after JSON']);
  for (const [event, type, message] of [['later', 'TypeError', 'under way'], ['type', 'InvalidReply', 'the handler yielded a value of type Object after text or bytes']]) {
    const [answer, body] = await worker.json(event);
    assert.deepEqual([answer.kind, body.toString(), answer.end.kind, answer.end.type, answer.end.message], ['result', 'a', 'error', type, message]);
  }
  await until(() => worker.lines().length === 4);
  assert.ok(worker.lines().every((l) => l.severity === 'ERROR'));
});

test('a slow client holds its own stream only', async (t) => {
  const worker = await start(t, `let made = 0;
    exports.handler = async function* (event) {
      if (event === 'made') { yield String(made); return; }
      for (;;) { made++; yield Buffer.alloc(65536); }
    };`);
  const id = worker.invoke();
  await worker.slot(1).next();
  worker.slot(1).socket.pause();
  let before;
  await until(async () => {
    const made = Number((await worker.json('made', {}, 2))[1]);
    const stands = made === before;
    before = made;
    await sleep(100);
    return stands;
  });
  assert.ok(before < 64, `${before} pieces were made for a client that reads none`);
  worker.cancel(id, 'disconnect');
  worker.slot(1).socket.resume();
  for (;;) if ((await worker.slot(1).next())[1].length === 0) break;
  assert.equal((await worker.json('made'))[0].more, true, 'the slot is used again');
});

test('a fast stream leaves turns to its neighbours', async (t) => {
  const worker = await start(t, `exports.handler = (event) => event || (function* () { for (;;) yield 'tick'; })();`);
  const id = worker.invoke();
  for (let n = 0; n < 20; n++) assert.equal((await worker.json(n + 1, {}, 2))[1].toString(), String(n + 1));
  worker.cancel(id);
  for (;;) if ((await worker.slot(1).next())[1].length === 0) break;
});

test('cancel closes streams', async (t) => {
  const worker = await start(t, `const {Readable} = require('stream');
    const streams = {
      async *generator() { try { for (;;) { yield 'x'; await new Promise((r) => setTimeout(r, 10)); } } finally { console.log('closed'); } },
      readable: () => new Readable({read() { if (!this.n) this.push('x'); this.n = 1; }, destroy(e, done) { console.log('closed'); done(e); }}),
      web: () => new ReadableStream({start(c) { c.enqueue('x'); }, cancel() { console.log('closed'); }}),
    };
    exports.handler = (event) => streams[event]();`);
  for (const [n, kind] of ['generator', 'readable', 'web'].entries()) {
    const id = worker.invoke({contentType: 'application/json'}, JSON.stringify(kind));
    assert.equal((await worker.slot(1).next())[0].more, true, kind);
    worker.cancel(id, 'disconnect');
    for (;;) if ((await worker.slot(1).next())[1].length === 0) break;
    await until(() => worker.lines().length > n);
  }
  assert.deepEqual(worker.lines().map((l) => l.message), ['closed', 'closed', 'closed']);
});

test('request bodies as they arrive', async (t) => {
  const worker = await start(t, `const {requestStream} = require('knative-lambda');
    exports.handler = requestStream(async function* (event, context) {
      yield [event, context.request.body === undefined];
      for await (const piece of context.request.stream()) yield piece.toString();
    });`);
  assert.equal(worker.ready.requestStream, true);
  worker.invoke({more: true}, 'a');
  const slot = worker.slot(1);
  assert.equal((await slot.next())[1].toString(), '[null,true]\n');
  assert.equal((await slot.next())[1].toString(), '"a"\n');
  slot.send(undefined, 'b');
  assert.equal((await slot.next())[1].toString(), '"b"\n', 'before the request has ended');
  slot.send(undefined);
  assert.equal((await slot.next())[1].length, 0);
  assert.equal((await worker.call({more: false}, 'whole'))[1].toString(), '[null,false]\n"whole"\n');
  worker.invoke({more: true}, '');
  await slot.next();
  slot.send({kind: 'error', type: 'Disconnected', message: 'the client has disconnected'});
  const [error] = await slot.next();
  assert.deepEqual([error.kind, error.message], ['error', 'the request body broke off: the client has disconnected']);
});

test('the rest of a request body is dropped after the answer', async (t) => {
  const worker = await start(t, `exports.handler = require('knative-lambda').requestStream((event, context) => 'early');`);
  const slot = worker.slot(1);
  for (const end of [undefined, {kind: 'error', type: 'Answered'}]) {
    const id = worker.invoke({more: true}, 'a');
    assert.deepEqual((await slot.next())[0], {kind: 'result', id, contentType: 'application/json'});
    for (let n = 0; n < 40; n++) slot.send(undefined, Buffer.alloc(65536));
    slot.send(end);
  }
  assert.equal((await worker.call({}))[1].toString(), '"early"');
});

test('a slow reader of a request body stops its sender', async (t) => {
  const worker = await start(t, `exports.handler = require('knative-lambda').requestStream(async (event, context) => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    let length = 0;
    for await (const piece of context.request.stream()) length += piece.length;
    return length;
  });`);
  worker.invoke({more: true}, '');
  const {socket} = worker.slot(1);
  for (let n = 0; n < 160; n++) worker.slot(1).send(undefined, Buffer.alloc(65536));
  worker.slot(1).send(undefined);
  await sleep(100);
  assert.ok(socket.writableLength > 5 << 20, `only ${socket.writableLength} bytes wait at the sender`);
  assert.equal((await worker.slot(1).next())[1].toString(), String(160 * 65536));
});
