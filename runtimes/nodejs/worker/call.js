'use strict';
// A call, whatever carries it.

const {AsyncLocalStorage} = require('node:async_hooks');

const {Context} = require('./knative-lambda/context.js');

// calls names the call that runs the current code.
const calls = new AsyncLocalStorage();

Object.defineProperty(globalThis, Symbol.for('knative-lambda.current'), {value: () => {
  const call = calls.getStore();
  return call && call.context;
}, configurable: true});

const stop = new AbortController();

const names = {functionName: process.env.LAMBDA_FUNCTION_NAME, functionNamespace: process.env.LAMBDA_FUNCTION_NAMESPACE};

class Call {
  #cancellation;
  #context;

  /** header and body are those of an invoke frame; upload is the body's stream, if chunks follow. */
  constructor(header, body, logger, upload) {
    this.header = header;
    this.body = body;
    this.logger = logger;
    this.upload = upload;
    this.printed = {}; // without an end of line
    this.cancelled = false;
    this.ended = false;
  }

  get functionName() {
    return names.functionName;
  }

  get functionNamespace() {
    return names.functionNamespace;
  }

  get context() {
    return this.#context ??= new Context(this);
  }

  get signal() {
    if (this.#cancellation === undefined) {
      this.#cancellation = new AbortController();
      if (this.cancelled) this.#abort();
    }
    return this.#cancellation.signal;
  }

  get stopSignal() {
    return stop.signal;
  }

  /** The answer is no longer awaited: reason is "timeout" or "disconnect". */
  cancel(reason) {
    if (this.cancelled) return;
    this.cancelled = reason;
    if (this.#cancellation) calls.run(this, () => this.#abort());
  }

  #abort() {
    this.#cancellation.abort(this.cancelled === 'timeout' ? new DOMException('the call has reached its timeout', 'TimeoutError')
      : new DOMException('the client has disconnected', 'AbortError'));
  }
}

/** The pod stops. */
function drain() {
  stop.abort();
}

module.exports = {Call, calls, drain};
