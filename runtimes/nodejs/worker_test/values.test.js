'use strict';
// What handlers get and what becomes of what they return.

const assert = require('node:assert/strict');
const {test} = require('node:test');

const {decode} = require('../worker/decode.js');
const {start} = require('./support.js');

test('decodes by content type', () => {
  for (const [contentType, body, want] of [
    ['application/json', '{"a": [1, null]}', {a: [1, null]}],
    ['Application/JSON ; charset=utf-8', '1', 1],
    ['application/cloudevents+json', '{}', {}],
    ['application/json', '\ufeff[1]', [1]],
    ['', '[1]', [1]],
    [undefined, '[1]', [1]],
    ['', Buffer.from([0xff]), Buffer.from([0xff])],
    ['text/plain', 'é', 'é'],
    ['text/csv; header=present; charset="utf-16le"', Buffer.from('é', 'utf16le'), 'é'],
    ['application/xml', '<a/>', '<a/>'],
    ['image/png', Buffer.from([0x89]), Buffer.from([0x89])],
    ['application/json', '', null],
    ['text/plain', '', null],
    ['application/x-www-form-urlencoded', '{"a": 1}', {a: 1}],
    ['application/x-www-form-urlencoded', '&', {}],
  ]) {
    assert.deepEqual(decode({contentType}, Buffer.from(body)), want, contentType);
  }
});

test('decodes forms', () => {
  const body = Buffer.from('..content..');
  const parts = [{name: 'file', filename: 'a.txt', contentType: 'text/plain', offset: 2, length: 7}];
  assert.deepEqual(decode({contentType: 'multipart/form-data', form: [['a', '1'], ['b', '2'], ['a', '3'], ['__proto__', 'x']], parts}, body),
    JSON.parse('{"a": ["1", "3"], "b": "2", "__proto__": "x"}', (k, v) => (k === '' ? Object.assign(v, {file: {name: 'a.txt', type: 'text/plain', bytes: Buffer.from('content')}}) : v)));
});

test('K11: refuses what is not what it says', () => {
  for (const [contentType, body] of [['application/json', '{'], ['application/json', '{"temp": NaN}'], ['application/json', '[Infinity]'],
    ['application/json', Buffer.from('\ufeff{"a": 1}', 'utf16le')], ['application/json', Buffer.from('"\xff"', 'latin1')],
    ['text/plain', Buffer.from([0xff])], ['text/plain; charset=none', 'x']]) {
    assert.throws(() => decode({contentType}, Buffer.from(body)), /announces/, contentType);
  }
});

// Each row: an expression, the fields of the result, its body.
const OCTETS = 'application/octet-stream';
const TEXT = 'text/plain; charset=utf-8';
const VALUES = [
  ['undefined', {}, ''],
  ['null', {}, ''],
  ['{}', {contentType: 'application/json'}, '{}'],
  ['"a"', {contentType: 'application/json'}, '"a"'],
  ['0', {contentType: 'application/json'}, '0'],
  ['false', {contentType: 'application/json'}, 'false'],
  ['{a: null}', {contentType: 'application/json'}, '{"a":null}'],
  ['{d: new Date(0)}', {contentType: 'application/json'}, '{"d":"1970-01-01T00:00:00.000Z"}'],
  ['{type: "no event"}', {contentType: 'application/json'}, '{"type":"no event"}'],
  ['new Map([["a", 1]])', {contentType: 'application/json'}, '{}'],
  ['new Uint16Array([1, 2]).subarray(1)', {contentType: OCTETS}, '\x02\0'],
  ['new ArrayBuffer(1)', {contentType: OCTETS}, '\0'],
  ['Buffer.alloc(0)', {contentType: OCTETS}, ''],
  ['new Blob(["x"], {type: "text/csv"})', {status: 200, contentType: 'text/csv'}, 'x'],
  ['new Blob(["x"])', {status: 200, contentType: OCTETS}, 'x'],
  // Responses of the SDK.
  ['new sdk.Response()', {status: 200}, ''],
  ['new sdk.Response("é", {status: 404})', {status: 404, contentType: TEXT}, 'é'],
  ['new sdk.Response("<p>", {headers: {"Content-Type": "text/html"}})', {status: 200, headers: [['Content-Type', 'text/html']]}, '<p>'],
  ['new sdk.Response("<p>", {contentType: "text/html"})', {status: 200, contentType: 'text/html'}, '<p>'],
  ['new sdk.Response({ok: true}, {status: 201, headers: [["X-A", "1"], ["X-A", "2"]], cookies: ["s=1; HttpOnly"]})',
    {status: 201, contentType: 'application/json', headers: [['X-A', '1'], ['X-A', '2']], cookies: ['s=1; HttpOnly']}, '{"ok":true}'],
  ['new sdk.Response(0, {headers: {"X-A": [1, 2], "X-B": undefined}})', {status: 200, contentType: 'application/json', headers: [['X-A', '1'], ['X-A', '2']]}, '0'],
  ['new sdk.Response(null, {status: 302, headers: new Headers({location: "/"})})', {status: 302, headers: [['location', '/']]}, ''],
  // Responses of the web.
  ['new Response("hi", {status: 201})', {status: 201, headers: [['content-type', 'text/plain;charset=UTF-8']]}, 'hi'],
  ['new Response(null, {status: 204, headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"]]})', {status: 204, cookies: ['a=1', 'b=2']}, ''],
  // The shape of AWS Lambda.
  ['{statusCode: 302, headers: {Location: "https://example.com/"}, body: ""}', {status: 302, headers: [['Location', 'https://example.com/']]}, ''],
  ['{statusCode: 200, body: "{}"}', {status: 200, contentType: 'application/json'}, '{}'],
  ['{statusCode: 200, body: "AAE=", isBase64Encoded: true, headers: {"content-type": "image/png"}, multiValueHeaders: {"X-A": ["1", "2"]}, cookies: ["a=1"]}',
    {status: 200, headers: [['content-type', 'image/png'], ['X-A', '1'], ['X-A', '2']], cookies: ['a=1']}, '\0\x01'],
  ['{statusCode: 200, name: "data"}', {contentType: 'application/json'}, '{"statusCode":200,"name":"data"}'],
  ['{statusCode: "200"}', {contentType: 'application/json'}, '{"statusCode":"200"}'],
  // Events.
  ['new sdk.CloudEvent("t")', {event: {specversion: '1.0', type: 't'}}, ''],
  ['new sdk.CloudEvent("t", [1], {subject: "s", ext: 2, none: null, time: new Date(0)})',
    {event: {specversion: '1.0', type: 't', subject: 's', ext: 2, time: '1970-01-01T00:00:00.000Z'}, contentType: 'application/json'}, '[1]'],
  ['new sdk.CloudEvent("t", "é", {datacontenttype: "text/plain"})', {event: {specversion: '1.0', type: 't', datacontenttype: 'text/plain'}, contentType: 'text/plain'}, 'é'],
  ['new sdk.CloudEvent("t", "é", {datacontenttype: "application/json"})',
    {event: {specversion: '1.0', type: 't', datacontenttype: 'application/json'}, contentType: 'application/json'}, '"é"'],
  ['({specversion: "1.0", type: "t", data_base64: "AAE="})', {event: {specversion: '1.0', type: 't'}, contentType: OCTETS}, '\0\x01'],
  ['({toJSON: () => ({specversion: "1.0", id: "1", type: "t", data: [1]}), specversion: "1.0", type: "t"})',
    {event: {specversion: '1.0', id: '1', type: 't'}, contentType: 'application/json'}, '[1]'],
];

test('values, K10, K11', async (t) => {
  const worker = await start(t, `const sdk = require('knative-lambda'); exports.handler = (event) => eval('(' + event + ')');`);
  for (const [code, fields, body] of VALUES) {
    const [answer, data] = await worker.json(code);
    assert.deepEqual([answer, data.toString()], [{kind: 'result', ...fields}, body], code);
  }
});

test('values in answer to CloudEvents', async (t) => {
  const worker = await start(t, `const sdk = require('knative-lambda'); exports.handler = (event) => eval('(' + event + ')');`);
  const event = {specversion: '1.0', id: '1', type: 't'};
  for (const [code, fields, body] of [
    ['{statusCode: 200, body: "x"}', {contentType: 'application/json'}, '{"statusCode":200,"body":"x"}'],
    ['new sdk.Response({ok: true}, {status: 429, headers: {"retry-after": 3}})', {status: 429, headers: [['retry-after', '3']], contentType: 'application/json'}, '{"ok":true}'],
    ['(async function* () { yield "a"; yield "b"; })()', {contentType: TEXT}, 'ab'],
    ['new sdk.Response((function* () { yield "a"; yield "b"; })(), {status: 201})', {status: 201, contentType: TEXT}, 'ab'],
    ['new sdk.Response((function* () { yield 1; yield 2; })())', {status: 200, contentType: 'application/x-ndjson'}, '1\n2\n'],
    ['(function* () { yield Buffer.from("a"); yield "b"; })()', {contentType: OCTETS}, 'ab'],
    ['(function* () { yield {a: 1}; yield [2]; })()', {contentType: 'application/json'}, '[{"a":1},[2]]'],
    ['(function* () {})()', {status: 200}, ''],
    ['new Response("hi")', {status: 200, headers: [['content-type', 'text/plain;charset=UTF-8']]}, 'hi'],
    ['new sdk.Response(require("stream").Readable.from(["a", "b"]), {status: 201, contentType: "a/b"})', {status: 201, contentType: 'a/b'}, 'ab'],
  ]) {
    const [answer, data] = await worker.json(code, {event});
    assert.deepEqual([answer, data.toString()], [{kind: 'result', ...fields}, body], code);
  }
  const [answer] = await worker.json('(function* () { for (;;) yield Buffer.alloc(1 << 20); })()', {event});
  assert.deepEqual([answer.type, answer.message], ['InvalidReply', 'the handler streamed more than 16777216 bytes in answer to a CloudEvent']);
});

test('K2, K9, K10, K11: refuses what cannot be sent', async (t) => {
  const worker = await start(t, `const sdk = require('knative-lambda'); const circle = {}; circle.circle = circle; exports.handler = (event) => eval('(' + event + ')');`);
  for (const [code, message] of [
    ['() => 1', /type function that cannot be written as JSON/],
    ['Symbol("s")', /type symbol/],
    ['{n: 10n}', /type Object that cannot be written as JSON: .*BigInt/],
    ['circle', /type Object .*circular/],
    ['NaN', /type number .*NaN is not a number of JSON/],
    ['{deep: [Infinity]}', /Infinity is not/],
    ['new sdk.CloudEvent("t", 1n)', /type bigint/],
    ['new sdk.CloudEvent("t", null, {tags: [1]})', /not valid: attribute "tags": is of type Array, expected text, a whole number of 32 bits or a truth value$/],
    ['new sdk.CloudEvent("t", null, {price: 1.5})', /attribute "price": is the number 1\.5, expected/],
    ['new sdk.CloudEvent("t", null, {n: 2 ** 40})', /attribute "n": is the number 1099511627776, expected .*32 bits/],
    ['new sdk.CloudEvent("t", null, {id: 5})', /attribute "id": is the number 5, expected text$/],
    ['new sdk.CloudEvent("t", null, {time: new Date("no")})', /attribute "time": is of type Date, expected text$/],
    ['{statusCode: 200, body: {a: 1}}', /reply with statusCode whose body is of type Object; expected a string/],
    ['({specversion: "1.0", type: "t", data_base64: "A"})', /data_base64 is not base64/],
    ['new sdk.Response("", {status: 99})', /status 99; expected 200 to 599/],
    ['new sdk.Response("", {status: "200"})', /status 200; expected/],
    ['new sdk.Response("", {headers: {"X A": "1"}})', /header with the invalid name "X A"/],
    ['new sdk.Response("", {headers: {"X-A": "1\\r\\nX-Evil: 1"}})', /header X-A with a line break/],
    ['new sdk.Response("", {headers: {"X-A": {}}})', /header X-A as a value of type Object/],
    ['new sdk.Response("", {headers: 1})', /headers of type number/],
    ['new sdk.Response("", {headers: ["ab"]})', /headers that are not pairs/],
    ['new sdk.Response("", {cookies: "a=1"})', /cookies of type string; expected a list/],
    ['new sdk.Response("", {cookies: ["a\\n"]})', /cookie with a line break/],
    ['new sdk.Response("", {contentType: "a\\n"})', /content-type with a line break/],
    ['new sdk.Response("", {headers: Array.from({length: 91}, (_, i) => ["x-" + i, "1"])})', /91 header lines; expected at most 90/],
    ['new sdk.Response("", {headers: {"x-long": "x".repeat(60000)}})', /headers of 60006 bytes; expected at most 57344/],
    ['new sdk.CloudEvent("t", null, {note: "n".repeat(2 << 20)})', /attributes and headers of \d+ bytes; expected at most 1048576/],
    ['{statusCode: 700, body: ""}', /status 700/],
    ['{statusCode: 200, body: "%", isBase64Encoded: true}', /isBase64Encoded and a body that is not base64/],
    ['Response.error()', /status 0; expected/],
    ['(async () => { const r = new Response("a"); await r.text(); return r; })()', /Response whose body has been read/],
    ['(function* () { yield () => 1; })()', /type function that cannot be written as JSON/],
  ]) {
    const [answer] = await worker.json(code);
    assert.deepEqual([answer.kind, answer.type], ['error', 'InvalidReply'], code);
    assert.match(answer.message, message, code);
  }
  assert.equal((await worker.json('1'))[1].toString(), '1', 'the worker goes on');
});

test('the context', async (t) => {
  const worker = await start(t, `const {currentContext} = require('knative-lambda');
    exports.handler = async (event, context) => {
      await null;
      const {request} = context;
      return {attributes: context.attributes, extensions: context.extensions, subject: context.subject, same: currentContext() === context, names: [context.functionName, context.functionNamespace],
        trace: [context.traceId, context.spanId], path: context.path, method: context.method, url: request.url, query: request.query.getAll('q'), headers: context.headers,
        distinct: request.headersDistinct['x-a'], cookies: request.cookies, body: request.body.toString(), left: context.remainingTime() > 1000, flags: [context.cancelled, context.stopping, context.signal.aborted]};
    };`, {LAMBDA_FUNCTION_NAME: 'f', LAMBDA_FUNCTION_NAMESPACE: 'n'});
  const [, body] = await worker.call({event: {specversion: '1.0', id: 'e', type: 't', subject: 's', ext: 1}, path: '/a%20b', query: [['q', '1'], ['q', 'ä']], method: 'PUT',
    headers: [['x-a', '1'], ['x-a', '2'], ['cookie', 'a=1; b="x%20y"'], ['cookie', 'a=2']], traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', fromTheFuture: {}}, 'raw');
  assert.deepEqual(JSON.parse(body), {attributes: {specversion: '1.0', id: 'e', type: 't', subject: 's', ext: 1}, extensions: {ext: 1}, subject: 's', same: true, names: ['f', 'n'],
    trace: ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'], path: '/a%20b', method: 'PUT', url: '/a%20b?q=1&q=%C3%A4', query: ['1', 'ä'],
    headers: {'x-a': '1, 2', cookie: 'a=1; b="x%20y"; a=2'}, distinct: ['1', '2'], cookies: {a: '1', b: 'x y'}, body: 'raw', left: true, flags: [false, false, false]});
});

test('large bodies, and frames in pieces', async (t) => {
  const worker = await start(t, 'exports.handler = (event) => event;');
  const body = Buffer.alloc(10 << 20, 'abcdefg');
  const [answer, got] = await worker.call({contentType: 'application/octet-stream'}, body);
  assert.equal(answer.contentType, 'application/octet-stream');
  assert.ok(got.equals(body));
  const head = Buffer.from('{"kind":"invoke","id":99,"contentType":"application/json"}');
  for (const byte of Buffer.concat([Buffer.from([0, 0, 0, head.length, 0, 0, 0, 3]), head, Buffer.from('[1]')])) {
    worker.slot(1).socket.write(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  assert.equal((await worker.slot(1).next())[1].toString(), '[1]');
});

test('errors, K2', async (t) => {
  const worker = await start(t, `const {HTTPError, PermanentError} = require('knative-lambda');
    class OutOfStock extends Error {}
    exports.handler = async (event) => {
      switch (event) {
        case 'text': throw 'text';
        case 'own': throw new OutOfStock('no');
        case 'wide': throw new RangeError('\\u7ed3'.repeat(100000));
        case 'permanent': throw new PermanentError('x'.repeat(600000));
        case 'http': throw new HTTPError(405, 'POST only', {headers: {allow: 'POST'}});
        case 'http without text': throw new HTTPError(404);
        case 'odd header': throw new HTTPError(404, 'm', {headers: {a: '\\n'}});
        case 'odd': throw Object.assign(new Error('m'), {name: Symbol('s'), get stack() { throw 1; }});
        case 'null': throw null;
        default: throw new TypeError('no');
      }
    };`);
  const [first] = await worker.json('');
  assert.match(first.stack, /^TypeError: no\n.*index\.js:\d+/);
  assert.doesNotMatch(first.stack, /slot\.js/);
  for (const [what, want] of [
    ['text', {type: 'Error', message: 'text'}],
    ['own', {type: 'OutOfStock', message: 'no'}],
    ['wide', {type: 'RangeError', message: '\u7ed3'.repeat(16384 / 3)}],
    ['permanent', {type: 'PermanentError', message: 'x'.repeat(16384), permanent: true}],
    ['http', {type: 'HTTPError', message: 'POST only', status: 405, headers: [['allow', 'POST']]}],
    ['http without text', {type: 'HTTPError', message: 'HTTP status 404', status: 404, headers: []}],
    ['odd header', {type: 'InvalidReply', message: 'the handler returned the header a with a line break or NUL'}],
    ['null', {type: 'Error', message: 'null'}],
  ]) {
    const [answer] = await worker.json(what);
    assert.ok(Buffer.byteLength(answer.stack || '') <= 64 << 10, what);
    delete answer.stack;
    assert.deepEqual(answer, {kind: 'error', ...want}, what);
  }
  assert.equal((await worker.json('odd'))[0].kind, 'error');
  const [bad] = await worker.call({contentType: 'application/json'}, '{');
  assert.deepEqual([bad.type, bad.badInput], ['InvalidRequest', true]);
});
