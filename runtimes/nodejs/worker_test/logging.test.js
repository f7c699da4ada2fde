'use strict';
// What is printed and logged.

const assert = require('node:assert/strict');
const {test} = require('node:test');

const {start, until} = require('./support.js');

test('console, streams and the logger', async (t) => {
  const worker = await start(t, `
exports.handler = (event, context) => {
  console.debug('debug'); console.log('log %d', 1); console.warn({a: 1}); console.error(new Error('broken'));
  process.stdout.write('two\\nlines\\nunfinished');
  context.logger.info('logged %s', 'twice'); context.logger.debug('hidden'); context.logger.error('failed', new Error('cause'));
};`);
  await worker.call({event: {id: 'e', type: 't'}, traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'});
  await until(() => worker.log.includes('unfinished'));
  const lines = worker.lines();
  for (const line of lines) assert.deepEqual([line.event_id, line.event_type, line.trace_id, line.span_id], ['e', 't', '0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331']);
  assert.deepEqual(lines.map((l) => [l.severity, l.logger, l.message.split('\n')[0]]), [
    ['DEBUG', 'stdout', 'debug'], ['INFO', 'stdout', 'log 1'], ['WARNING', 'stderr', '{ a: 1 }'], ['ERROR', 'stderr', 'Error: broken'],
    ['INFO', 'stdout', 'two'], ['INFO', 'stdout', 'lines'], ['INFO', 'function', 'logged twice'], ['ERROR', 'function', 'failed Error: cause'],
    ['INFO', 'stdout', 'unfinished'],
  ]);
  assert.match(lines[7].exception, /^Error: cause\n/);
});

test('concurrent calls keep their lines and their identity', async (t) => {
  const worker = await start(t, `const {setTimeout: sleep} = require('timers/promises');
    exports.handler = async (event, context) => {
      for (const part of ['one ', 'two ', 'é'.repeat(3)]) {
        for (const byte of Buffer.from(part)) { process.stdout.write(Buffer.from([byte])); await sleep(1); }
      }
      process.stdout.write(' ' + context.id + '\\n');
      setTimeout(() => { console.log('after ' + context.id); process.stdout.write('and more'); }, 20);
    };`, {slots: 10});
  await Promise.all(Array.from({length: 10}, (_, i) => worker.call({event: {id: `e${i}`, type: 't'}}, '', i + 1)));
  await until(() => worker.lines().length === 30);
  const of = (text) => worker.lines().filter((l) => l.message.startsWith(text));
  for (const line of of('one')) assert.equal(line.message, `one two ééé ${line.event_id}`);
  for (const line of of('after')) assert.equal(line.message, `after ${line.event_id}`);
  assert.equal(new Set(of('and more').map((l) => l.event_id)).size, 10);
});

test('text, and no trace context', async (t) => {
  const code = `exports.handler = (event, context) => { context.logger.warn('careful'); context.logger.info('hidden'); console.log('plain'); };`;
  const text = await start(t, code, {LAMBDA_LOG_FORMAT: 'text', LAMBDA_LOG_LEVEL: 'warning'});
  await text.call({});
  await until(() => text.log.includes('plain') && text.log.includes('careful'));
  assert.match(text.log, /^\S+Z WARNING function: careful$/m);
  assert.doesNotMatch(text.log, /hidden/);
  const bare = await start(t, code, {LAMBDA_LOG_TRACE_CONTEXT: 'false'});
  await bare.call({traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'});
  await until(() => bare.lines().length === 3);
  for (const line of bare.lines()) assert.equal(line.trace_id, undefined);
});

test('K1: a stream that logs what it is given does not recurse', async (t) => {
  const worker = await start(t, `const {Console} = require('console');
    const own = new Console(process.stdout, process.stderr);
    console.log = (...args) => own.log('own', ...args);
    const write = process.stdout.write;
    process.stdout.write = (chunk, ...rest) => { write.call(process.stdout, 'seen ' + chunk, ...rest); return true; };
    exports.handler = (event) => { console.log('parcel', event); return event; };`);
  for (const n of [1, 2, 3]) assert.equal((await worker.json(n))[1].toString(), String(n));
  await until(() => worker.lines().length === 3);
  assert.deepEqual(worker.lines().map((l) => l.message), ['seen own parcel 1', 'seen own parcel 2', 'seen own parcel 3']);
});

test('odd output: one line each, all of it JSON, none lost', async (t) => {
  const worker = await start(t, `exports.handler = () => {
    console.log('x'.repeat(2 << 20));
    process.stdout.write(Buffer.from([0x62, 0xff, 0x0a]));
    console.log('\\ud800 lone'); console.log('%d %z', 'no number'); console.table([{a: 1}]); console.log();
    process.stderr.write('a\\r\\nb');
  };`);
  await worker.call({});
  await until(() => worker.log.includes('"b"'));
  const messages = worker.lines().map((l) => l.message);
  assert.deepEqual([messages[0].length, ...messages.slice(1, 4)], [2 << 20, 'b\ufffd', '\ud800 lone', 'NaN %z']);
  assert.deepEqual(messages.slice(-2), ['a', 'b']);
  assert.ok(messages.some((m) => m.includes('(index)')));
});
