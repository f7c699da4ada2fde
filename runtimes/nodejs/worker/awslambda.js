'use strict';
// The global awslambda of AWS Lambda's Node.js: handlers that write their answer to a
// stream.

const {PassThrough} = require('node:stream');

const {Response} = require('./knative-lambda/index.js');

/** What such a handler writes to. The answer begins with the first piece, or the end. */
class ResponseStream extends PassThrough {
  constructor() {
    super();
    this.metadata = {};
    this.contentType = undefined;
    this.begun = new Promise((resolve, reject) => Object.assign(this, {begin: resolve, giveUp: reject}));
    this.begun.catch(() => {}); // who awaits it knows
    this.on('error', this.giveUp); // after the beginning the reader of the stream knows
  }

  setContentType(type) {
    this.contentType = type;
  }

  _transform(piece, encoding, done) {
    this.begin();
    done(null, piece);
  }

  _flush(done) {
    this.begin();
    done();
  }
}

/** Makes a handler of one that takes (event, responseStream, context). */
function streamifyResponse(handler) {
  return async (event, context) => {
    const stream = new ResponseStream();
    (async () => handler(event, stream, context))().catch((e) => stream.destroy(e instanceof Error ? e : new Error(String(e))));
    await stream.begun;
    const {statusCode, headers, cookies} = stream.metadata;
    return new Response(stream, {status: statusCode, headers, cookies, contentType: stream.contentType});
  };
}

/** Status, headers and cookies of an answer, before its first piece. */
class HttpResponseStream {
  static from(stream, metadata) {
    stream.metadata = metadata;
    return stream;
  }
}

/** Sets the global, unless there is one. */
function install() {
  globalThis.awslambda ??= {streamifyResponse, HttpResponseStream};
}

module.exports = {install};
