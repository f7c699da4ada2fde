'use strict';
// What handlers throw, as fields of an error frame and as a line of the log.

const fields = require('./fields.js');
const logging = require('./logging.js');
const {BadInput} = require('./decode.js');
const {brandOf} = require('./value.js');

const MAX_MESSAGE = 16 << 10;
const MAX_STACK = 64 << 10;

/** A call of process.exit by the function's code. */
class ProcessExit extends Error {
  constructor(code) {
    super(String(code === undefined ? process.exitCode || 0 : code));
    this.name = 'ProcessExit';
  }
}

/** The fields of an error frame. */
function errorFields(e) {
  if (e instanceof BadInput) return {type: 'InvalidRequest', message: cut(textOf(e), MAX_MESSAGE), badInput: true};
  const reply = {type: cut(nameOf(e), 1024), message: cut(textOf(e), MAX_MESSAGE), stack: e instanceof Error ? cut(ownFrames(e), MAX_STACK) : undefined};
  if (e && e.permanent === true) reply.permanent = true;
  if (brandOf(e) === 'HTTPError') chosen(e, reply);
  return reply;
}

function chosen(e, reply) {
  try {
    reply.status = fields.status(e.status, 400);
    reply.headers = fields.headers(e.headers);
    fields.checkSize(reply.headers);
  } catch (invalid) {
    Object.assign(reply, {status: undefined, headers: undefined, type: invalid.name, message: invalid.message});
  }
}

/** Logs what a handler threw, unless it is the answer to a bad request. */
function logError(e) {
  if (e instanceof BadInput || (brandOf(e) === 'HTTPError' && e.status < 500)) return;
  logging.write('ERROR', 'function', describe(e), (e instanceof Error && ownFrames(e)) || textOf(e));
}

/** Whether an error says no more than that its call was cancelled. */
function isAbort(e) {
  return e instanceof Error && ['AbortError', 'TimeoutError'].includes(e.name);
}

/** Name and text of what was thrown. */
function describe(e) {
  const text = textOf(e);
  return text ? `${nameOf(e)}: ${text}` : nameOf(e);
}

function nameOf(e) {
  if (!(e instanceof Error)) return 'Error';
  return safely(() => String((e.name === 'Error' && e.constructor.name) || e.name)) || 'Error';
}

function textOf(e) {
  const text = safely(() => String(e instanceof Error ? e.message : e));
  return text === undefined ? '(its text cannot be read)' : text;
}

/** The stack without the frames of this program: the author's are enough. */
function ownFrames(e) {
  const stack = safely(() => String(e.stack)) || '';
  return stack.split('\n').filter((line) => !/^ {4}at /.test(line) || !(line.includes(__dirname) || line.includes('node:'))).join('\n');
}

function safely(read) {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Text of at most so many bytes, without half a character. */
function cut(text, length) {
  if (text.length * 3 <= length) return text;
  const bytes = Buffer.from(text.slice(0, length));
  if (bytes.length <= length) return bytes.toString();
  let end = length;
  while ((bytes[end] & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

module.exports = {MAX_MESSAGE, ProcessExit, cut, describe, errorFields, isAbort, logError, textOf};
