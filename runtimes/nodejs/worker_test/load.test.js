'use strict';
// Which modules are loaded, what kind their handlers are, and what authors read about others.

const assert = require('node:assert/strict');
const {test} = require('node:test');

const {Worker, start} = require('./support.js');

const ANSWER = 'return new CloudEvent("t", [1]);';
const CJS = `const {CloudEvent} = require('knative-lambda');`;
const ESM = `import {CloudEvent} from 'knative-lambda';`;

for (const [name, files, handler = 'index.handler'] of [
  ['CommonJS', {'index.js': `${CJS} exports.handler = () => { ${ANSWER} };`}],
  ['.cjs', {'index.cjs': `${CJS} module.exports = {handler() { ${ANSWER} }};`}],
  ['ES module', {'index.mjs': `${ESM} export const handler = () => { ${ANSWER} };`}],
  ['alias', {'index.mjs': `import {CloudEvent} from 'lambda-runtime'; export const handler = () => { ${ANSWER} };`}],
  ['ES module by package.json', {'package.json': '{"type": "module"}', 'index.js': `${ESM} export function handler() { ${ANSWER} }`}],
  ['ES module by its syntax', {'index.js': `import {handle} from './lib.js'; export const handler = handle;`, 'lib.js': `${ESM} export const handle = () => { ${ANSWER} };`}],
  ['K7: CommonJS helper of an ES module by its syntax', {'index.js': `import lib from './lib/helper.js'; export const handler = lib.handle;`,
    'lib/helper.js': `const path = require('path'); ${CJS} module.exports = {name: path.basename(__filename), handle() { ${ANSWER} }};`}],
  ['top-level await', {'index.js': `${ESM} await null; export const handler = () => { ${ANSWER} };`}],
  ['default export', {'index.mjs': `${ESM} export default {handler() { ${ANSWER} }};`}],
  ['the module is the handler', {'index.js': `${CJS} module.exports = () => { ${ANSWER} };`}],
  ['default', {'index.js': `${CJS} module.exports = () => { ${ANSWER} };`}, 'index.default'],
  ['a handler that is made later', {'index.js': `${CJS} exports.handler = Promise.resolve(() => { ${ANSWER} });`}],
  ['folder', {'lib/api.js': `${CJS} exports.handle = () => { ${ANSWER} };`}, 'lib/api.handle'],
  ['index of a folder', {'api/index.js': `${CJS} exports.handle = () => { ${ANSWER} };`}, 'api.handle'],
  ['dependency', {'node_modules/dep/index.js': 'exports.n = 1;', 'index.js': `import dep from 'dep'; ${ESM} export const handler = () => { if (dep.n) { ${ANSWER} } };`}],
  ['the SDK is a dependency, too', {'node_modules/knative-lambda/index.js': 'throw new Error("not this one");', 'index.js': `${CJS} exports.handler = () => { ${ANSWER} };`}],
]) {
  test(`loads: ${name}`, async (t) => {
    const worker = await start(t, files, {LAMBDA_HANDLER: handler});
    assert.deepEqual(worker.ready, {kind: 'ready', protocol: 2, interface: 'handler'});
    const [header, body] = await worker.call({});
    assert.deepEqual([header.event && header.event.type, body.toString()], ['t', '[1]']);
  });
}

const GOOD = 'exports.handler = () => 1;\n';

for (const [name, files, want, environ] of [
  ['no such function', GOOD, 'handler "index.handlr" not found: module "index" exports handler; set spec.runtime.handler', {LAMBDA_HANDLER: 'index.handlr'}],
  ['no function at all', 'exports.x = 1;', 'handler "index.handler" not found: module "index" exports no function; set spec.runtime.handler'],
  ['no such module', GOOD, 'handler "idex.handler" not found: the source has no module "idex"; set spec.runtime.handler', {LAMBDA_HANDLER: 'idex.handler'}],
  ['no dot', GOOD, 'handler "handler" is not of the form <module>.<export>; set spec.runtime.handler', {LAMBDA_HANDLER: 'handler'}],
  ['not a function', 'exports.handler = 3;', 'handler "index.handler" is a number, not a function or an app; set spec.runtime.handler'],
  ['callback', 'exports.handler = (event, context, callback) => {};', 'handler "index.handler" takes 3 parameters; expected (event, context), and a promise instead of a callback'],
  ['syntax error', 'exports.handler = () => {\n  oops oops\n};', `cannot load "index": SyntaxError: Unexpected identifier (index.js, line 2)`],
  ['syntax error in an ES module', {'index.mjs': 'export const handler = () => {\n  oops oops\n};'}, `cannot load "index": SyntaxError: Unexpected identifier (index.mjs, line 2)`],
  ['error', '\nprocess.env.MISSING.length;\n' + GOOD, `cannot load "index": TypeError: Cannot read properties of undefined (reading 'length') (index.js, line 2)`],
  ['missing dependency', `const a = 1;\nrequire('requestz');\n` + GOOD, `cannot load "index": cannot find module 'requestz' (index.js, line 2); is it among the dependencies?`],
  ['missing dependency of an ES module', {'index.mjs': `\n\nimport 'requestz';`}, `cannot load "index": cannot find module 'requestz' (index.mjs, line 3); is it among the dependencies?`],
  ['missing file', `require('./lib');\n` + GOOD, `cannot load "index": cannot find module './lib' (index.js, line 1); is it among the dependencies?`],
  ['exit', `process.exit(0);\n`, `cannot load "index": ProcessExit: 0 (index.js, line 1)`],
  ['exit later', `process.nextTick(() => process.exit(3));\nsetTimeout(() => {}, 10000);`, `an error was thrown while the handler was loaded: ProcessExit: 3`],
  ['throws text', `throw 'text';`, `cannot load "index": it threw text`],
  ['await without end', {'index.mjs': `await new Promise(() => {});`}, 'loading never ends: a top-level await is never settled'],
  ['another language\'s interface', GOOD, 'spec.runtime.interface: asgi is not for Node.js; expected auto, handler, listener, fetch', {LAMBDA_INTERFACE: 'asgi'}],
  ['no fetch', 'exports.handler = {};', 'handler "index.handler" has no function fetch; set spec.runtime.interface or spec.runtime.handler', {LAMBDA_INTERFACE: 'fetch'}],
  ['no listener', 'exports.handler = {};', 'handler "index.handler" is a object, not a listener; set spec.runtime.interface or spec.runtime.handler', {LAMBDA_INTERFACE: 'listener'}],
  ['K2: a message without end', `throw new Error('x'.repeat(1 << 21));`, `cannot load "index": Error: ${'x'.repeat(16384 - 28)}`],
]) {
  test(`refuses: ${name}`, async () => {
    const worker = new Worker(files, environ);
    const [header] = await worker.control.next();
    if (name.startsWith('syntax error')) header.message = header.message.replace(` 'oops'`, ''); // newer versions name it
    assert.deepEqual(header, {kind: 'failed', message: want});
    assert.equal(await worker.end(), 1);
  });
}

test('TypeScript, where Node.js runs it', async (t) => {
  const files = {'index.ts': `import {Response, type Context} from 'knative-lambda';
    interface Order { n: number }
    export const handler = async (event: Order, context: Context): Promise<Response> => new Response({n: event.n + 1, path: context.path}, {status: 201});`};
  const worker = new Worker(files);
  t.after(() => worker.end());
  const [ready] = await worker.control.next();
  if (ready.kind === 'failed') {
    assert.match(ready.message, /^handler "index\.handler" is in index\.ts, and Node\.js [\d.]+ does not run TypeScript; set spec\.runtime\.version to "22" or newer, or compile it to JavaScript$/);
    return;
  }
  const [answer, body] = await worker.json({n: 1});
  assert.deepEqual([answer.status, JSON.parse(body)], [201, {n: 2, path: '/'}]);
});

for (const [name, code, environ, want] of [
  ['fetch', 'exports.handler = {fetch: () => new Response("a")};', {}, 'fetch'],
  ['fetch, the module itself', 'module.exports = {fetch: () => new Response("a")};', {}, 'fetch'],
  ['fetch, chosen', 'exports.handler = () => new Response("a");', {LAMBDA_INTERFACE: 'fetch'}, 'fetch'],
  ['listener, marked', 'exports.handler = require("knative-lambda").http((req, res) => res.end());', {}, 'listener'],
  ['listener, chosen', 'exports.handler = (req, res) => res.end();', {LAMBDA_INTERFACE: 'listener'}, 'listener'],
  ['server', 'exports.handler = require("http").createServer((req, res) => res.end());', {}, 'listener'],
  ['server that listens later', 'setTimeout(() => require("http").createServer((req, res) => res.end()).listen(1), 50);', {}, 'listener'],
  ['handler, chosen', 'exports.handler = Object.assign(() => 1, {fetch() {}});', {LAMBDA_INTERFACE: 'handler'}, 'handler'],
]) {
  test(`recognizes: ${name}`, async (t) => {
    const worker = await start(t, code, environ);
    assert.equal(worker.ready.interface, want);
    assert.equal(worker.ready.address !== undefined, want === 'listener');
    assert.equal(worker.ready.requestStream, want === 'fetch' ? true : undefined);
  });
}

test('loads nothing slow', async (t) => {
  // Cold starts pay for each of these, which only some functions need.
  const worker = await start(t, `exports.handler = () => process.moduleLoadList.filter((m) => /NativeModule (http|https|crypto|zlib|child_process|worker_threads|tty|internal.deps.undici.undici)$/.test(m));`);
  assert.equal((await worker.call({}))[1].toString(), '[]');
});
