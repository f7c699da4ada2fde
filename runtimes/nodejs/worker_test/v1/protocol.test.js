'use strict';
// The worker as a process, from the other end of its socket.

const assert = require('node:assert/strict');
const {test} = require('node:test');

const {Process} = require('./support.js');

const ECHO = `
exports.handler = async (event, context) => {
  console.log('called');
  return [event, context.id, context.subject, context.remainingTime() > 0];
};
`;

test('ready, then results until the end', async () => {
  const worker = new Process(`process.on('exit', () => console.log('exit'));` + ECHO);
  assert.deepEqual((await worker.receive())[0], {kind: 'ready'});
  for (const id of [7, 8]) {
    const [header, body] = await worker.invoke({id, contentType: 'application/json', event: {id: 'e', subject: 's'}, fromTheFuture: {}}, '{"a": 1}');
    assert.deepEqual(header, {kind: 'result', id, contentType: 'application/json'});
    assert.deepEqual(JSON.parse(body), [{a: 1}, 'e', 's', true]);
  }
  assert.equal(await worker.end(), 0);
  assert.deepEqual(worker.lines().map((l) => l.message), ['called', 'called', 'exit']);
});

test('large bodies', async () => {
  const worker = new Process('exports.handler = (event) => event;');
  await worker.receive();
  const body = Buffer.alloc(10 << 20, 'abcdefg');
  const [header, got] = await worker.invoke({contentType: 'application/octet-stream'}, body);
  assert.equal(header.contentType, 'application/octet-stream');
  assert.ok(got.equals(body));
  await worker.end();
});

test('frames that come in pieces', async () => {
  const worker = new Process('exports.handler = (event) => event;');
  await worker.receive();
  const head = Buffer.from('{"kind":"invoke","id":1,"contentType":"application/json"}');
  const frame = Buffer.concat([Buffer.from([0, 0, 0, head.length, 0, 0, 0, 3]), head, Buffer.from('[1]')]);
  for (const byte of frame) {
    worker.socket.write(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  assert.equal((await worker.receive())[1].toString(), '[1]');
  await worker.end();
});

test('errors', async () => {
  const worker = new Process(`exports.handler = async (event) => { if (event === 'text') throw 'text'; throw new TypeError('no'); };`);
  await worker.receive();
  const [header, body] = await worker.invoke({});
  assert.match(header.stack, /^TypeError: no\n.*index\.js:1/);
  assert.doesNotMatch(header.stack, /worker\.js/);
  delete header.stack;
  assert.deepEqual([header, body.length], [{kind: 'error', id: 1, type: 'TypeError', message: 'no', permanent: false}, 0]);
  assert.deepEqual((await worker.invoke({contentType: 'text/plain'}, 'text'))[0], {kind: 'error', id: 1, type: 'Error', message: 'text', permanent: false});
  const [bad] = await worker.invoke({contentType: 'application/json'}, '{');
  assert.deepEqual([bad.type, bad.badInput], ['InvalidRequest', true]);
  await worker.end();
});

test('an error that no handler can catch is the last answer', async () => {
  for (const code of ['setTimeout(() => { throw new Error("late"); })', 'Promise.reject(new Error("late"))']) {
    const worker = new Process(`exports.handler = () => { ${code}; return new Promise(() => {}); };`);
    await worker.receive();
    const [header] = await worker.invoke({});
    assert.deepEqual([header.kind, header.message, header.last], ['error', 'late', true]);
    assert.equal(await worker.exited, 1);
  }
});

test('an error between invocations ends the worker', async () => {
  const worker = new Process(`exports.handler = () => { setTimeout(() => { throw new Error("late"); }, 50); };`);
  await worker.receive();
  assert.equal((await worker.invoke({}))[0].kind, 'result');
  assert.equal(await worker.exited, 1);
  assert.equal(worker.lines().at(-1).message, 'Error: late');
});

test('kinds of modules', async () => {
  const answer = 'return new CloudEvent("t", [1]);';
  for (const [name, files, handler] of [
    ['CommonJS', {'index.js': `const {CloudEvent} = require('lambda-runtime'); exports.handler = () => { ${answer} };`}],
    ['.cjs', {'index.cjs': `const {CloudEvent} = require('lambda-runtime'); module.exports = {handler() { ${answer} }};`}],
    ['ES module', {'index.mjs': `import {CloudEvent} from 'lambda-runtime'; export const handler = () => { ${answer} };`}],
    ['ES module by package.json', {'package.json': '{"type": "module"}', 'index.js': `import {CloudEvent} from 'lambda-runtime'; export function handler() { ${answer} }`}],
    ['ES module by its syntax', {'index.js': `import {handle} from './lib.js'; export const handler = handle;`,
      'lib.js': `import {CloudEvent} from 'lambda-runtime'; export const handle = () => { ${answer} };`}],
    ['default export', {'index.mjs': `import {CloudEvent} from 'lambda-runtime'; export default {handler() { ${answer} }};`}],
    ['module.exports is the handler', {'index.js': `const {CloudEvent} = require('lambda-runtime'); module.exports = () => { ${answer} };`}, 'index.default'],
    ['folder', {'lib/api.js': `const {CloudEvent} = require('lambda-runtime'); exports.handle = () => { ${answer} };`}, 'lib/api.handle'],
    ['index of a folder', {'api/index.js': `const {CloudEvent} = require('lambda-runtime'); exports.handle = () => { ${answer} };`}, 'api.handle'],
    ['dependency', {'node_modules/dep/index.js': 'exports.n = 1;', 'index.mjs': `import dep from 'dep'; import {CloudEvent} from 'lambda-runtime'; export const handler = () => { if (dep.n) { ${answer} } };`}],
    ['CommonJS dependency of what is an ES module by its syntax', {'node_modules/dep/index.js': 'exports.n = 1;', 'index.js': `import dep from 'dep'; import {CloudEvent} from 'lambda-runtime'; export const handler = () => { if (dep.n) { ${answer} } };`}],
  ]) {
    const worker = new Process(files, handler ? {LAMBDA_HANDLER: handler} : {});
    assert.deepEqual((await worker.receive())[0], {kind: 'ready'}, name);
    const [header, body] = await worker.invoke({});
    assert.deepEqual([header.event && header.event.type, body.toString()], ['t', '[1]'], name);
    await worker.end();
  }
});

test('handlers that cannot be loaded', async () => {
  const good = 'exports.handler = () => 1;\n';
  for (const [name, files, handler, want] of [
    ['no such function', good, 'index.handlr', 'handler "index.handlr" not found: module "index" exports handler; set spec.runtime.handler'],
    ['no function at all', 'exports.x = 1;', 'index.handler', 'handler "index.handler" not found: module "index" exports no function; set spec.runtime.handler'],
    ['no such module', good, 'idex.handler', 'handler "idex.handler" not found: the source has no module "idex"; set spec.runtime.handler'],
    ['no dot', good, 'handler', 'handler "handler" is not of the form <module>.<function>; set spec.runtime.handler'],
    ['not a function', 'exports.handler = 3;', 'index.handler', 'handler "index.handler" is a number, not a function; set spec.runtime.handler'],
    ['callback', 'exports.handler = (event, context, callback) => {};', 'index.handler', 'handler "index.handler" takes 3 parameters; expected (event, context), and a promise instead of a callback'],
    ['syntax error', 'exports.handler = () => {\n  oops oops\n};', 'index.handler', `cannot load "index": SyntaxError: Unexpected identifier (index.js, line 2)`],
    ['syntax error in an ES module', {'index.mjs': 'export const handler = () => {\n  oops oops\n};'}, 'index.handler', `cannot load "index": SyntaxError: Unexpected identifier (index.mjs, line 2)`],
    ['error at load', '\nprocess.env.MISSING.length;\n' + good, 'index.handler', `cannot load "index": TypeError: Cannot read properties of undefined (reading 'length') (index.js, line 2)`],
    ['missing dependency', `const a = 1;\nrequire('requestz');\n` + good, 'index.handler', `cannot load "index": cannot find module 'requestz' (index.js, line 2); is it among the dependencies?`],
    ['missing dependency of an ES module', {'index.mjs': `\n\nimport 'requestz';`}, 'index.handler', `cannot load "index": cannot find module 'requestz' (index.mjs, line 3); is it among the dependencies?`],
    ['missing file', `require('./lib');\n` + good, 'index.handler', `cannot load "index": cannot find module './lib' (index.js, line 1); is it among the dependencies?`],
    ['exit at load', `process.exit(0);\n`, 'index.handler', `cannot load "index": ProcessExit: 0 (index.js, line 1)`],
    ['throws text', `throw 'text';`, 'index.handler', `cannot load "index": it threw text`],
  ]) {
    const worker = new Process(files, {LAMBDA_HANDLER: handler});
    const [header] = await worker.receive();
    if (name.startsWith('syntax error')) header.message = header.message.replace(` 'oops'`, ''); // newer versions name it
    assert.deepEqual(header, {kind: 'failed', message: want}, name);
    assert.equal(await worker.end(), 1, name);
  }
});

test('what is printed', async () => {
  const worker = new Process(`
exports.handler = (event, context) => {
  console.debug('debug'); console.log('log %d', 1); console.warn({a: 1}); console.error(new Error('broken'));
  process.stdout.write('two\\nlines\\nunfinished');
  context.logger.info('told %s', 'twice'); context.logger.debug('whispered'); context.logger.error('failed', new Error('cause'));
};`);
  await worker.receive();
  await worker.invoke({event: {id: 'e', type: 't'}, traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'});
  await worker.end();
  const lines = worker.lines();
  for (const line of lines) assert.deepEqual([line.event_id, line.event_type, line.trace_id, line.span_id], ['e', 't', '0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331']);
  assert.deepEqual(lines.map((l) => [l.severity, l.logger, l.message.split('\n')[0]]), [
    ['DEBUG', 'stdout', 'debug'], ['INFO', 'stdout', 'log 1'], ['WARNING', 'stderr', '{ a: 1 }'], ['ERROR', 'stderr', 'Error: broken'],
    ['INFO', 'stdout', 'two'], ['INFO', 'stdout', 'lines'], ['INFO', 'function', 'told twice'], ['ERROR', 'function', 'failed Error: cause'],
    ['INFO', 'stdout', 'unfinished'],
  ]);
  assert.match(lines[7].exception, /^Error: cause\n/);
});

test('loads nothing slow', async () => {
  // Cold starts pay for each of these, which only some functions need.
  const worker = new Process(`exports.handler = () => process.moduleLoadList.filter((m) => /NativeModule (http|https|crypto|zlib|child_process|worker_threads|tty)$/.test(m));`);
  await worker.receive();
  assert.equal((await worker.invoke({}))[1].toString(), '[]');
  await worker.end();
});
