'use strict';
// A context for tests of handlers, without a runtime.

const {format} = require('node:util');

const {Context} = require('./context.js');

const CURRENT = Symbol.for('knative-lambda.current');

/** A Context with methods that do what the runtime does, and the lines of its logger. */
class FakeContext extends Context {
  #call;

  constructor(call) {
    super(call);
    this.#call = call;
    this.logs = call.logs;
  }

  /** Cancels the call: "timeout" or "disconnect". */
  cancel(reason = 'timeout') {
    this.#call.cancelled = true;
    this.#call.cancellation.abort(new DOMException(reason, reason === 'timeout' ? 'TimeoutError' : 'AbortError'));
  }

  /** Makes the pod stop. */
  stop() {
    this.#call.stop.abort();
  }

  /** Calls a function that finds this context by currentContext(). */
  run(call, ...args) {
    const before = globalThis[CURRENT];
    globalThis[CURRENT] = () => this;
    try {
      return call(...args);
    } finally {
      globalThis[CURRENT] = before;
    }
  }
}

function pairs(fields) {
  const all = typeof fields[Symbol.iterator] === 'function' ? [...fields] : Object.entries(fields);
  return all.flatMap(([name, value]) => [value].flat().map((v) => [name.toLowerCase(), String(v)]));
}

/** Makes a context: of a CloudEvent where event has its attributes, of a plain request otherwise. */
function fakeContext({event, method = 'POST', path = '/', headers = {}, body = '', timeout = 30_000, traceparent,
  functionName = 'function', functionNamespace = 'default'} = {}) {
  const [route, ...query] = path.split('?');
  const logs = [];
  const log = (severity) => (...args) => void logs.push({severity, message: format(...args)});
  const cancellation = new AbortController();
  const stop = new AbortController();
  return new FakeContext({
    header: {event: event && {specversion: '1.0', id: '1', source: 'test', ...event}, method, path: route, rawQuery: query.join('?'),
      query: [...new URLSearchParams(query.join('?'))], headers: pairs(headers), timeout, traceparent},
    body: Buffer.from(body),
    logger: {debug: log('DEBUG'), info: log('INFO'), warn: log('WARNING'), warning: log('WARNING'), error: log('ERROR')},
    functionName, functionNamespace, logs, cancellation, stop, cancelled: false, signal: cancellation.signal, stopSignal: stop.signal,
  });
}

module.exports = {FakeContext, fakeContext};
