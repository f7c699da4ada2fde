'use strict';
// Makes what a function logs and prints JSON lines that name its event.

const fs = require('node:fs');
const {format} = require('node:util');

const LEVELS = {DEBUG: 10, INFO: 20, WARNING: 30, ERROR: 40};

// state.current is the Context of the invocation. There is one at a time, and
// what the handler starts belongs to it.
const state = {current: undefined, json: true, traceContext: true, least: LEVELS.INFO};

const streams = [];

/** Writes one line, whatever the level is. */
function write(severity, logger, message, exception) {
  const now = new Date().toISOString();
  if (!state.json) {
    put(`${now} ${severity} ${logger}: ${message}${exception ? `\n${exception}` : ''}\n`);
    return;
  }
  const line = {timestamp: now, severity, logger, message};
  const context = state.current;
  if (context !== undefined) {
    if (context.id) {
      line.event_id = context.id;
      line.event_type = context.type;
    }
    if (state.traceContext && context.traceId) {
      line.trace_id = context.traceId;
      line.span_id = context.spanId;
    }
  }
  if (exception) line.exception = exception;
  put(JSON.stringify(line) + '\n');
}

function put(text) {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(fs.writeSync(2, rest));
    } catch (e) {
      if (e.code !== 'EAGAIN') return; // nobody reads the log
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** A logger of that name: debug, info, warn and error take what console.log takes. */
function logger(name) {
  const at = (severity) => (...args) => {
    if (LEVELS[severity] < state.least) return;
    const error = args.find((a) => a instanceof Error);
    write(severity, name, format(...args.map((a) => (a === error && error ? String(error) : a))), error && error.stack);
  };
  return {debug: at('DEBUG'), info: at('INFO'), warn: at('WARNING'), warning: at('WARNING'), error: at('ERROR')};
}

/** Sets the level; as JSON, takes over the console and both streams too. */
function configure(environ = process.env) {
  state.least = LEVELS[(environ.LAMBDA_LOG_LEVEL || 'info').toUpperCase()] || LEVELS.INFO;
  state.json = environ.LAMBDA_LOG_FORMAT !== 'text';
  state.traceContext = !['false', 'f', '0'].includes((environ.LAMBDA_LOG_TRACE_CONTEXT || 'true').toLowerCase());
  if (!state.json) return;
  // Who prints wants to see it, whatever the level is.
  for (const [method, severity, stream] of [['debug', 'DEBUG', 'stdout'], ['log', 'INFO', 'stdout'], ['info', 'INFO', 'stdout'],
    ['warn', 'WARNING', 'stderr'], ['error', 'ERROR', 'stderr'], ['trace', 'WARNING', 'stderr']]) {
    console[method] = (...args) => write(severity, stream, format(...args));
  }
  takeOver('stdout', 'INFO');
  takeOver('stderr', 'WARNING');
}

// takeOver makes lines of a stream log lines. The stream itself is made only
// when somebody writes to it: that takes a while.
function takeOver(name, severity) {
  const lines = {rest: '', end() {
    if (lines.rest) write(severity, name, lines.rest);
    lines.rest = '';
  }};
  streams.push(lines);
  const descriptor = Object.getOwnPropertyDescriptor(process, name);
  Object.defineProperty(process, name, {configurable: true, enumerable: true, get() {
    const stream = descriptor.get.call(process);
    stream.write = (chunk, encoding, callback) => {
      const all = (lines.rest + (typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString())).split('\n');
      lines.rest = all.pop();
      for (const line of all) if (line.trimEnd()) write(severity, name, line.trimEnd());
      const done = typeof encoding === 'function' ? encoding : callback;
      if (done) process.nextTick(done);
      return true;
    };
    Object.defineProperty(process, name, {configurable: true, enumerable: true, value: stream});
    return stream;
  }});
}

/** Logs what was printed without an end of line. */
function flush() {
  for (const stream of streams) stream.end();
}

module.exports = {configure, flush, logger, state, write};
