'use strict';
// One way to read everything that a handler can stream.

const {NO_BODY} = require('./frames.js');
const {InvalidReply, brandOf, jsonText, typeName} = require('./value.js');

const NDJSON = 'application/x-ndjson';
const EVENT_STREAM = 'text/event-stream';

/** Whether a value is a stream: of Node.js, of the web, a generator, or any async iterable. */
function isStream(value) {
  if (value === null || typeof value !== 'object') return false;
  return typeof value[Symbol.asyncIterator] === 'function' || isWebStream(value) || isGenerator(value);
}

function isWebStream(value) {
  return typeof value.getReader === 'function' && typeof value.cancel === 'function';
}

function isGenerator(value) {
  return typeof value[Symbol.iterator] === 'function' && typeof value.next === 'function' && typeof value.return === 'function';
}

/** A source of items: next() as of an iterator; close() ends it, whatever it waits for. */
function open(value) {
  if (isWebStream(value)) {
    const reader = value.getReader();
    return {next: () => reader.read(), close: () => reader.cancel()};
  }
  const iterator = (value[Symbol.asyncIterator] || value[Symbol.iterator]).call(value);
  return {
    next: () => iterator.next(),
    async close() {
      if (typeof value.destroy === 'function') value.destroy();
      else if (typeof iterator.return === 'function') await iterator.return();
    },
  };
}

/** How the items of a stream are written; the first one decides. */
function encodingOf(first) {
  if (bytesOf(first) !== undefined) return {contentType: 'application/octet-stream', encode: raw};
  if (typeof first === 'string') return {contentType: 'text/plain; charset=utf-8', encode: raw};
  if (brandOf(first) === 'ServerSentEvent') return {contentType: EVENT_STREAM, encode: raw};
  return {contentType: NDJSON, encode: line};
}

function line(item) {
  if (bytesOf(item) !== undefined) throw new InvalidReply(`the handler yielded a value of type ${typeName(item)} after JSON`);
  return Buffer.from(jsonText(item) + '\n');
}

function raw(item) {
  if (typeof item === 'string') return Buffer.from(item);
  if (brandOf(item) === 'ServerSentEvent') return Buffer.from(String(item));
  const bytes = bytesOf(item);
  if (bytes === undefined) throw new InvalidReply(`the handler yielded a value of type ${typeName(item)} after text or bytes`);
  return bytes;
}

/** The bytes of a Buffer, typed array or ArrayBuffer; of others undefined. */
function bytesOf(value) {
  if (Buffer.isBuffer(value)) return value;
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof ArrayBuffer) return Buffer.from(value);
  return undefined;
}

/**
 * All of a source as one body: bytes and text are joined. Other items are a JSON list,
 * unless they are written as in a stream.
 */
async function collect(source, written, most) {
  const first = await source.next();
  if (first.done) return {body: NO_BODY};
  const {contentType, encode} = encodingOf(first.value);
  const list = contentType === NDJSON && !written;
  const parts = [];
  let length = 0;
  for (let item = first; !item.done; item = await source.next()) {
    const part = encode(item.value);
    parts.push(list ? part.subarray(0, -1) : part);
    length += part.length;
    if (length > most) {
      source.close();
      throw new InvalidReply(`the handler streamed more than ${most} bytes in answer to a CloudEvent`);
    }
  }
  if (list) return {contentType: 'application/json', body: Buffer.from(`[${parts.join(',')}]`)};
  return {contentType, body: Buffer.concat(parts)};
}

module.exports = {EVENT_STREAM, bytesOf, collect, encodingOf, isStream, open};
