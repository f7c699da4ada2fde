'use strict';
// What a function imports from its runtime. A bundler may put a copy of this module
// into the function, so that the worker recognizes these objects by their brand and
// not by their class.

const BRAND = Symbol.for('knative-lambda.brand');
const CURRENT = Symbol.for('knative-lambda.current');

function brand(prototype, name) {
  Object.defineProperty(prototype, BRAND, {value: name});
}

/**
 * An HTTP response. The body is JSON, text, bytes, a stream or nothing. Headers are an
 * object, whose values may be lists, or pairs; cookies are values of Set-Cookie.
 */
class Response {
  constructor(body, {status = 200, headers = {}, cookies = [], contentType} = {}) {
    this.body = body;
    this.status = status;
    this.headers = headers;
    this.cookies = cookies;
    this.contentType = contentType;
  }
}

/** An error that is answered with its status, 400 to 599, and its headers. */
class HTTPError extends Error {
  constructor(status, message = `HTTP status ${status}`, {headers = {}, ...options} = {}) {
    super(message, options);
    if (!Number.isInteger(status) || status < 400 || status > 599) throw new RangeError(`status ${status} of an HTTPError; expected 400 to 599`);
    this.name = 'HTTPError';
    this.status = status;
    this.headers = headers;
  }
}

/**
 * An error that no retry resolves, so that the event is not sent again. Any error with
 * a property permanent of true is one too.
 */
class PermanentError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = 'PermanentError';
    this.permanent = true;
  }
}

/**
 * A CloudEvent to return, with further attributes and extensions as the properties of
 * an object. id, source and time have defaults. The data is encoded as any value.
 */
class CloudEvent {
  constructor(type, data, attributes) {
    this.type = type;
    this.data = data;
    this.attributes = attributes || {};
  }
}

class ServerSentEvent {
  constructor(data, {event, id, retry} = {}) {
    Object.assign(this, {data, event, id, retry});
  }

  toString() {
    const text = typeof this.data === 'string' ? this.data : JSON.stringify(this.data === undefined ? null : this.data);
    const fields = [['event', this.event], ['id', this.id], ['retry', this.retry]].filter(([, value]) => value !== undefined);
    for (const [name, value] of fields) {
      if (/[\r\n\0]/.test(value)) throw new TypeError(`a line break in the field ${name} of a server-sent event`);
    }
    const lines = text.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`);
    return fields.map(([name, value]) => `${name}: ${value}\n`).join('') + lines.join('') + '\n';
  }
}

/** A server-sent event to yield: the stream's content type is text/event-stream. */
function sse(data, fields) {
  return new ServerSentEvent(data, fields);
}

/** Marks a function (request, response) of node:http as the handler. */
function http(listener) {
  brand(listener, 'listener');
  return listener;
}

/**
 * Marks a handler that reads request bodies as they arrive, from context.request.stream().
 * Its event is null. CloudEvents and forms are still read as a whole.
 */
function requestStream(handler) {
  brand(handler, 'requestStream');
  return handler;
}

/** The context of the call that runs this code; undefined outside of calls. */
function currentContext() {
  return globalThis[CURRENT] && globalThis[CURRENT]();
}

brand(Response.prototype, 'Response');
brand(HTTPError.prototype, 'HTTPError');
brand(CloudEvent.prototype, 'CloudEvent');
brand(ServerSentEvent.prototype, 'ServerSentEvent');

module.exports = {CloudEvent, HTTPError, PermanentError, Response, currentContext, http, sse, requestStream};
