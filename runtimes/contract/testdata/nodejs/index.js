'use strict';
// The handler of the contract's tests, in JavaScript.

const fs = require('node:fs');
const {setTimeout: sleep} = require('node:timers/promises');
const {CloudEvent, PermanentError} = require('lambda-runtime');

class Own extends Error {
  constructor(message) {
    super(message);
    this.name = 'Own';
    this.permanent = true;
  }
}

function returns(what) {
  switch (what) {
    case 'text': return 'a text';
    case 'list': return [1, 'é'];
    case 'number': return 1.5;
    case 'false': return false;
    case 'empty': return {};
    case 'bytes': return Buffer.from([0, 1]);
    case 'event': return new CloudEvent('io.example.reply', {a: 1});
    case 'full': return new CloudEvent('io.example.reply', 'text', {id: 'own-id', source: '/own', subject: 'own-subject', time: new Date('2026-01-02'),
      datacontenttype: 'text/plain', myext: 'x', count: 3, lambdahops: 0});
    case 'bare': return new CloudEvent('io.example.reply');
    case 'nested': return new CloudEvent('io.example.reply', {specversion: '1.0', type: 'inner'});
    case 'invalid': return new CloudEvent('');
    case 'bad extension': return new CloudEvent('io.example.reply', undefined, {not_valid: 'x'});
    case 'unwritable': return {o: 1n};
    case 'nan': return NaN;
    case 'long': return 'x'.repeat(2 << 20);
    default: return undefined;
  }
}

function fails(what) {
  switch (what) {
    case 'error': throw new TypeError('it: failed');
    case 'permanent': throw new PermanentError('for good');
    case 'own': throw new Own('for good too');
    case 'exit': process.exit(3);
    case 'crash': process.reallyExit(3);
  }
}

exports.handler = async (event, context) => {
  if (event === null || typeof event !== 'object' || !('do' in event)) {
    const kind = event === null ? 'nothing' : Buffer.isBuffer(event) ? 'bytes' : 'value';
    return {kind, value: kind === 'bytes' ? event.toString() : event};
  }
  switch (event.do) {
    case 'return': return returns(event.what);
    case 'fail': return fails(event.what);
    case 'log':
      console.log('printed');
      process.stderr.write('two\nlines\n');
      context.logger.info('told');
      context.logger.warn('warned');
      context.logger.debug('whispered');
      return undefined;
    case 'wait':
      fs.writeFileSync(event.started, '');
      while (!fs.existsSync(event.until)) await sleep(1);
      return 'done';
    case 'context':
      return {id: context.id, type: context.type, source: context.source, subject: context.subject, time: context.time, extensions: context.extensions,
        remaining: context.remainingTime() > 15000 && context.remainingTime() <= 20000, method: context.method, path: context.path, header: context.headers['x-own'],
        traceparent: context.traceparent, trace: context.traceId, name: context.functionName, namespace: context.functionNamespace};
  }
};
