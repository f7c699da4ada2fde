'use strict';
// Many calls at once, and what one may do without harm to the others.

const assert = require('node:assert/strict');
const {test} = require('node:test');

const {start, until} = require('./support.js');

const numbers = (n) => Array.from({length: n}, (_, i) => i + 1);

test('200 calls that wait a second', async (t) => {
  const worker = await start(t, 'exports.handler = (event) => new Promise((resolve) => setTimeout(resolve, 1000, event));', {slots: 200});
  const begin = performance.now();
  const answers = await Promise.all(numbers(200).map((n) => worker.json(n, {}, n)));
  const taken = performance.now() - begin;
  answers.forEach(([answer, body], i) => assert.deepEqual([answer.kind, body.toString()], ['result', String(i + 1)]));
  assert.ok(taken > 990 && taken < 20_000, `${taken} ms`); // one after another they take 200 s
  t.diagnostic(`200 calls took ${Math.round(taken)} ms`);
});

test('a hanging call and 50 neighbours; a cancelled call answers late', async (t) => {
  const worker = await start(t, `let release;
    exports.handler = (event, context) => event !== 'hang' ? event : new Promise((resolve) => {
      context.signal.addEventListener('abort', () => { console.log(context.signal.reason.name, context.cancelled); setTimeout(resolve, 50, 'too late'); });
    });`, {slots: 51});
  const hanging = worker.invoke({contentType: 'application/json'}, '"hang"', 51);
  const answers = await Promise.all(numbers(50).map((n) => worker.json(n, {}, n)));
  assert.deepEqual(answers.map(([, body]) => Number(body)), numbers(50));
  worker.cancel(hanging + 1000, 'timeout', 51); // of no call
  worker.cancel(hanging, 'timeout', 51);
  const [late] = await worker.slot(51).next();
  assert.deepEqual(late, {kind: 'error', id: hanging, type: 'Cancelled', message: 'the call was cancelled: timeout'});
  worker.cancel(hanging, 'timeout', 51); // too late
  assert.equal((await worker.json('again', {}, 51))[1].toString(), '"again"', 'the slot is used again');
  assert.deepEqual(worker.lines().map((l) => l.message), ['TimeoutError true']);
});

test('an error that is an echo of the cancellation is not logged', async (t) => {
  const worker = await start(t, `exports.handler = (event, context) => {
    console.log('called');
    return require('timers/promises').setTimeout(60_000, 1, {signal: context.signal});
  };`);
  const cancelled = (id) => ({kind: 'error', id, type: 'Cancelled', message: 'the call was cancelled: disconnect'});
  worker.invoke();
  await until(() => worker.log.includes('called'));
  worker.cancel(1, 'disconnect');
  assert.deepEqual((await worker.slot(1).next())[0], cancelled(1));
  worker.cancel(2, 'disconnect');
  worker.control.send({kind: 'ping', id: 1});
  await worker.control.next(); // so that the cancel is read before its invoke
  worker.invoke();
  assert.deepEqual((await worker.slot(1).next())[0], cancelled(2));
  assert.equal(worker.lines().length, 1, 'neither an error nor a second call');
});

test('an unhandled rejection fails its call only', async (t) => {
  const worker = await start(t, `exports.handler = (event) => {
    if (event === 'reject') { setTimeout(() => Promise.reject(new TypeError('late')), 20); return new Promise(() => {}); }
    if (event === 'afterwards') { setTimeout(() => Promise.reject(new TypeError('after its answer')), 20); return 1; }
    return new Promise((resolve) => setTimeout(resolve, 200, event));
  };`, {slots: 52});
  const neighbours = numbers(50).map((n) => worker.json(n, {}, n));
  const [failed] = await worker.json('reject', {event: {id: 'e', type: 't'}}, 51);
  assert.deepEqual([failed.kind, failed.type, failed.message], ['error', 'TypeError', 'late']);
  await worker.json('afterwards', {event: {id: 'f', type: 't'}}, 52);
  await until(() => worker.log.includes('after its answer'));
  assert.deepEqual((await Promise.all(neighbours)).map(([, body]) => Number(body)), numbers(50));
  assert.deepEqual(worker.lines().map((l) => [l.event_id, l.message]), [['e', 'TypeError: late'], ['f', 'TypeError: after its answer']]);
  assert.equal((await worker.json('on', {}, 51))[1].toString(), '"on"');
  worker.control.send({kind: 'ping', id: 7});
  assert.deepEqual((await worker.control.next())[0], {kind: 'pong', id: 7}, 'no retire before it');
});

test('an exception outside of the handler fails its call and retires the worker', async (t) => {
  const worker = await start(t, `exports.handler = (event) => {
    if (event === 'throw') { setTimeout(() => { throw new TypeError('late'); }, 20); return new Promise(() => {}); }
    return new Promise((resolve) => setTimeout(resolve, 200, event));
  };`, {slots: 51});
  const neighbours = numbers(50).map((n) => worker.json(n, {}, n));
  const [failed] = await worker.json('throw', {}, 51);
  assert.deepEqual([failed.kind, failed.type, failed.message], ['error', 'TypeError', 'late']);
  assert.deepEqual((await worker.control.next())[0], {kind: 'retire', message: 'an exception outside of the handler: TypeError: late'});
  assert.deepEqual((await Promise.all(neighbours)).map(([, body]) => Number(body)), numbers(50));
  assert.equal(await worker.end(), 0);
});

test('a rejection that belongs to no call retires the worker', async (t) => {
  const worker = await start(t, `setTimeout(() => Promise.reject(new Error('of nobody')), 300); exports.handler = () => 1;`);
  assert.deepEqual((await worker.control.next())[0], {kind: 'retire', message: 'an unhandled rejection outside of calls: Error: of nobody'});
  assert.equal((await worker.call({}))[1].toString(), '1');
});

test('process.exit() ends its call', async (t) => {
  const worker = await start(t, `exports.handler = async (event) => {
    if (event === 'caught') try { process.exit(1); } catch { return 'hidden'; }
    if (event === 'exit') { await null; process.exit(3); }
    if (event === 'timer') { setTimeout(() => process.exit(4), 20); return new Promise(() => {}); }
    return event;
  };`);
  for (const [what, code] of [['caught', '1'], ['exit', '3']]) {
    const [answer] = await worker.json(what);
    assert.deepEqual([answer.kind, answer.type, answer.message], ['error', 'ProcessExit', code]);
  }
  assert.equal((await worker.json('on'))[1].toString(), '"on"');
  const [answer] = await worker.json('timer');
  assert.deepEqual([answer.type, answer.message], ['ProcessExit', '4']);
  assert.deepEqual((await worker.control.next())[0], {kind: 'retire', message: 'an exception outside of the handler: ProcessExit: 4'});
});

test('death ends all connections at once', async (t) => {
  const worker = await start(t, `exports.handler = (event) => event === 'die' ? process.kill(process.pid, 'SIGKILL') : new Promise(() => {});`, {slots: 20});
  const closed = numbers(20).map((n) => new Promise((resolve) => { worker.slot(n).socket.on('close', resolve); }));
  for (const n of numbers(19)) worker.invoke({}, '', n);
  worker.invoke({contentType: 'application/json'}, '"die"', 20);
  await Promise.all(closed);
  assert.equal(await worker.exited, 'SIGKILL');
});

test('drain, then the end', async (t) => {
  const worker = await start(t, `process.on('exit', () => console.log('exit'));
    process.on('SIGTERM', async () => { await null; console.log('SIGTERM'); });
    exports.handler = (event, context) => event === 'now' ? context.stopping : new Promise((resolve) => context.stopSignal.addEventListener('abort', () => resolve(context.stopping)));`);
  const waiting = worker.call({}, '', 2);
  assert.equal((await worker.json('now'))[1].toString(), 'false');
  worker.control.send({kind: 'drain', timeout: 1000});
  assert.equal((await waiting)[1].toString(), 'true');
  assert.equal((await worker.json('now'))[1].toString(), 'true', 'new calls still come');
  assert.equal(await worker.end(), 0);
  assert.deepEqual(worker.lines().map((l) => l.message), ['SIGTERM', 'exit']);
});

test('K12: children get none of the connections', async (t) => {
  const worker = await start(t, `const {fork, spawnSync} = require('child_process');
    if (process.argv[2] === 'child') process.exit(0);
    exports.handler = async (event) => {
      if (event === 'fork') return new Promise((resolve) => fork(__filename, ['child']).on('exit', resolve));
      return spawnSync('ls', ['/proc/self/fd'], {encoding: 'utf8'}).stdout.trim().split('\\n').map(Number);
    };`, {slots: 100});
  worker.slot(1);
  const open = JSON.parse((await worker.json('list'))[1]);
  assert.deepEqual(open.filter((n) => n > 3 && n <= 103), [], 'slots'); // 3 is the folder that ls reads
  assert.equal((await worker.json('fork'))[1].toString(), '0');
});

test('K12: cluster starts the function, not the worker', async (t) => {
  const worker = await start(t, `const cluster = require('cluster');
    if (cluster.isWorker) process.send(['child', process.env.LAMBDA_WORKER_FD === undefined, require.main === module], () => process.exit(0));
    exports.handler = () => new Promise((resolve) => cluster.fork().on('message', resolve));`);
  assert.equal((await worker.call({}))[1].toString(), '["child",true,true]');
});

test('K6: variables and modules of the function do not reach the worker', async (t) => {
  const worker = await start(t, {'node_modules/net/index.js': 'throw new Error("shadow");', 'node_modules/async_hooks/index.js': 'throw new Error("shadow");',
    'preload.js': 'globalThis.preloaded = true;', 'index.js': 'exports.handler = () => globalThis.preloaded;'},
  {NODE_PATH: 'node_modules', NODE_OPTIONS: '--require ./preload.js'});
  assert.equal((await worker.call({}))[1].toString(), 'true');
});
