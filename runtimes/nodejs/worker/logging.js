'use strict';
// Makes what a function logs and prints JSON lines that name its event. Lines go to
// the descriptor, not through streams that user code may replace.

const fs = require('node:fs');
const {StringDecoder} = require('node:string_decoder');
const {format} = require('node:util');

const {calls} = require('./call.js');

const LEVELS = {DEBUG: 10, INFO: 20, WARNING: 30, ERROR: 40};

const settings = {json: true, traceContext: true, least: LEVELS.INFO};

// What was printed outside of calls without an end of line.
const outside = {};

/** Writes one line, whatever the level is. */
function write(severity, logger, message, exception) {
  const now = new Date().toISOString();
  if (!settings.json) {
    put(`${now} ${severity} ${logger}: ${message}${exception ? `\n${exception}` : ''}\n`);
    return;
  }
  const line = {timestamp: now, severity, logger, message};
  const call = calls.getStore();
  if (call !== undefined) identify(line, call.context);
  if (exception) line.exception = exception;
  put(JSON.stringify(line) + '\n');
}

function identify(line, context) {
  if (context.id) {
    line.event_id = context.id;
    line.event_type = context.type;
  }
  if (settings.traceContext && context.traceId) {
    line.trace_id = context.traceId;
    line.span_id = context.spanId;
  }
}

function put(text) {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(fs.writeSync(2, rest));
    } catch (e) {
      if (e.code !== 'EAGAIN') return; // the log has no reader
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** A logger of that name: debug, info, warn and error take what console.log takes. */
function logger(name) {
  const at = (severity) => (...args) => {
    if (LEVELS[severity] < settings.least) return;
    const error = args.find((a) => a instanceof Error);
    write(severity, name, format(...args.map((a) => (a === error && error ? String(error) : a))), error && error.stack);
  };
  return {debug: at('DEBUG'), info: at('INFO'), warn: at('WARNING'), warning: at('WARNING'), error: at('ERROR')};
}

/** Sets the level; as JSON, replaces the console's methods and both streams' write. */
function configure(environ = process.env) {
  settings.least = LEVELS[(environ.LAMBDA_LOG_LEVEL || 'info').toUpperCase()] || LEVELS.INFO;
  settings.json = environ.LAMBDA_LOG_FORMAT !== 'text';
  settings.traceContext = !['false', 'f', '0'].includes((environ.LAMBDA_LOG_TRACE_CONTEXT || 'true').toLowerCase());
  if (!settings.json) return;
  // What is printed is logged, whatever the level is.
  for (const [method, severity, stream] of [['debug', 'DEBUG', 'stdout'], ['log', 'INFO', 'stdout'], ['info', 'INFO', 'stdout'],
    ['warn', 'WARNING', 'stderr'], ['error', 'ERROR', 'stderr'], ['trace', 'WARNING', 'stderr']]) {
    console[method] = (...args) => write(severity, stream, format(...args));
  }
  replaceWrite('stdout', 'INFO');
  replaceWrite('stderr', 'WARNING');
}

// replaceWrite makes lines of a stream log lines. The stream itself is created on first
// use: that is slow.
function replaceWrite(name, severity) {
  const descriptor = Object.getOwnPropertyDescriptor(process, name);
  Object.defineProperty(process, name, {configurable: true, enumerable: true, get() {
    const stream = descriptor.get.call(process);
    stream.write = (chunk, encoding, callback) => {
      const call = calls.getStore();
      print(call ? call.printed : outside, name, severity, typeof chunk === 'string' ? chunk : Buffer.from(chunk));
      if (call && call.ended) flush(call.printed);
      const done = typeof encoding === 'function' ? encoding : callback;
      if (done) process.nextTick(done);
      return true;
    };
    Object.defineProperty(process, name, {configurable: true, enumerable: true, value: stream});
    return stream;
  }});
}

// print logs the whole lines and keeps the rest: concurrent calls do not mix theirs.
function print(printed, name, severity, chunk) {
  const lines = printed[name] ??= {rest: '', severity, decoder: new StringDecoder()};
  const all = (lines.rest + lines.decoder.write(chunk)).split('\n');
  lines.rest = all.pop();
  for (const line of all) if (line.trimEnd()) write(severity, name, line.trimEnd());
}

/** Logs what was printed without an end of line. */
function flush(printed = outside) {
  for (const [name, lines] of Object.entries(printed)) {
    const rest = lines.rest + lines.decoder.end();
    lines.rest = '';
    if (rest) write(lines.severity, name, rest);
  }
}

module.exports = {configure, flush, logger, write};
