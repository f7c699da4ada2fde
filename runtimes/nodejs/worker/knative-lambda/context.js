'use strict';
// The context of a call and its HTTP request.

const {Readable} = require('node:stream');

const ATTRIBUTES = new Set(['specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema']);

/** Pairs as an object of lists. */
function lists(pairs) {
  const all = new Map();
  for (const [name, value] of pairs) {
    const values = all.get(name);
    if (values) values.push(value);
    else all.set(name, [value]);
  }
  return Object.fromEntries(all);
}

/** The HTTP request of a call. header and body are those of its invoke frame. */
class HTTPRequest {
  #call;
  #memo = {};

  constructor(call) {
    this.#call = call;
  }

  get method() {
    return this.#call.header.method;
  }

  /** The path as sent, percent-encoded, without the query. */
  get path() {
    return this.#call.header.path;
  }

  /** Path and query. */
  get url() {
    const query = this.rawQuery;
    return query ? `${this.path}?${query}` : this.path;
  }

  /** The query as sent, without the "?". */
  get rawQuery() {
    const {rawQuery, query} = this.#call.header;
    if (rawQuery !== undefined) return rawQuery;
    return query ? String(this.query) : '';
  }

  /** The query as URLSearchParams. */
  get query() {
    return this.#memo.query ??= new URLSearchParams(this.#call.header.query || []);
  }

  /** Headers by name in lower case; several of one name are joined. */
  get headers() {
    return this.#memo.headers ??= Object.fromEntries(
      Object.entries(this.headersDistinct).map(([name, values]) => [name, values.join(name === 'cookie' ? '; ' : ', ')]));
  }

  /** Headers by name in lower case, each a list of values. */
  get headersDistinct() {
    return this.#memo.distinct ??= lists(this.#call.header.headers || []);
  }

  /** Cookies by name. */
  get cookies() {
    return this.#memo.cookies ??= readCookies(this.headers.cookie);
  }

  /** The body's bytes; undefined where the handler reads it as a stream. */
  get body() {
    return this.#call.upload ? undefined : this.#call.body;
  }

  /** The body as a stream of Node.js. */
  stream() {
    return this.#memo.stream ??= this.#call.upload || Readable.from(this.#call.body.length ? [this.#call.body] : []);
  }
}

function readCookies(text = '') {
  const found = new Map();
  for (const pair of text.split(';')) {
    const equals = pair.indexOf('=');
    const name = pair.slice(0, equals).trim();
    if (equals < 1 || found.has(name)) continue; // the first is the most specific
    found.set(name, unescaped(pair.slice(equals + 1).trim().replace(/^"(.*)"$/, '$1')));
  }
  return Object.fromEntries(found);
}

function unescaped(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/**
 * What a handler gets besides the event's data. Attributes of the CloudEvent are
 * undefined when the request was none.
 */
class Context {
  #call;
  #request;

  constructor(call) {
    this.#call = call;
    const event = call.header.event || {};
    this.id = event.id;
    this.type = event.type;
    this.source = event.source;
    this.subject = event.subject;
    this.time = event.time;
    this.attributes = event; // all of them, extensions too
    this.traceparent = call.header.traceparent;
    this.tracestate = call.header.tracestate;
    this.logger = call.logger;
    this.functionName = call.functionName;
    this.functionNamespace = call.functionNamespace;
    this.deadline = performance.now() + (call.header.timeout || 0);
  }

  get request() {
    return this.#request ??= new HTTPRequest(this.#call);
  }

  get method() {
    return this.request.method;
  }

  get path() {
    return this.request.path;
  }

  get headers() {
    return this.request.headers;
  }

  /** The CloudEvent's extension attributes. */
  get extensions() {
    return Object.fromEntries(Object.entries(this.attributes).filter(([name]) => !ATTRIBUTES.has(name)));
  }

  /** The trace's id of W3C Trace Context, or undefined. */
  get traceId() {
    return traceField(this.traceparent, 1);
  }

  /** The id of the call's span of W3C Trace Context, or undefined. */
  get spanId() {
    return traceField(this.traceparent, 2);
  }

  /** An AbortSignal: the call's timeout has passed, or its client has disconnected. */
  get signal() {
    return this.#call.signal;
  }

  /** Whether the answer is no longer awaited: see signal. */
  get cancelled() {
    return Boolean(this.#call.cancelled);
  }

  /** Whether the pod stops. Long streams should end then. */
  get stopping() {
    return this.stopSignal.aborted;
  }

  /** An AbortSignal: the pod stops. */
  get stopSignal() {
    return this.#call.stopSignal;
  }

  /** Milliseconds until the call's timeout. */
  remainingTime() {
    return Math.max(0, this.deadline - performance.now());
  }
}

function traceField(traceparent, n) {
  const parts = (traceparent || '').split('-');
  return parts.length >= 4 ? parts[n] : undefined;
}

module.exports = {Context, lists};
