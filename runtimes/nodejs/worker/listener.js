'use strict';
// Listeners: apps that want the requests and responses of node:http. They are served
// on a loopback address, whose only client is the runtime.

const net = require('node:net');

const {Call, calls} = require('./call.js');
const {errorFields, logError} = require('./errors.js');
const logging = require('./logging.js');

const HOST = '127.0.0.1';

/**
 * Redirects the first HTTP server that listens while the function is loaded to a free
 * port of the loopback interface. Others listen where they want to.
 */
class Redirect {
  constructor() {
    const redirect = this;
    this.server = undefined;
    this.args = undefined; // what it was to listen on
    this.original = net.Server.prototype.listen;
    this.found = new Promise((resolve) => { this.resolve = resolve; });
    net.Server.prototype.listen = function (...args) {
      if (redirect.server || !(this instanceof require('node:http').Server)) return redirect.original.apply(this, args);
      redirect.server = this;
      redirect.args = args;
      redirect.resolve(this);
      const callback = args.at(-1);
      return redirect.original.call(this, {port: 0, host: HOST}, ...(typeof callback === 'function' ? [callback] : []));
    };
  }

  /** Ends it. Without keep, a server that was redirected listens where it wanted to. */
  end(keep) {
    net.Server.prototype.listen = this.original;
    if (this.server && !keep) this.server.close(() => this.original.apply(this.server, this.args));
  }
}

/** The server of an app: {server, close} where close ends the app, which has no calls any more. */
async function serverOf(app, redirected) {
  const http = require('node:http');
  if (typeof app.routing === 'function' && typeof app.ready === 'function') {
    await app.ready();
    return {server: app.server, close: () => end(app.server, app)};
  }
  let server = redirected;
  if (app instanceof http.Server) server = app;
  else if (server === undefined) server = http.createServer(typeof app.callback === 'function' ? app.callback() : app);
  return {server, close: () => end(server, server)};
}

function end(server, app) {
  server.closeAllConnections(); // idle ones would be waited for
  return app.close();
}

/** Serves a server's requests as calls: resolves to its address. opening: it is about to listen. */
async function serve(server, opening, logger) {
  Object.assign(server, {keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0, timeout: 0}); // the runtime watches time
  const emit = server.emit;
  server.emit = function (event, request, response, ...rest) {
    if (!['request', 'checkContinue', 'checkExpectation', 'upgrade', 'connect'].includes(event)) return emit.apply(this, arguments);
    return new ListenerCall(request, response, logger).run(() => emit.call(this, event, request, response, ...rest));
  };
  if (server.address() === null) {
    await new Promise((resolve, reject) => {
      server.once('listening', resolve).once('error', reject);
      if (!opening) server.listen({port: 0, host: HOST});
    });
  }
  return `${HOST}:${server.address().port}`;
}

class ListenerCall extends Call {
  /** response is a socket for upgrades. */
  constructor(request, response, logger) {
    super(headerOf(request), undefined, logger, request);
    this.response = response;
    bind(request, this);
    bind(response, this);
    response.on('close', () => {
      if (!response.writableFinished) this.cancel('disconnect');
      this.ended = true;
      logging.flush(this.printed);
    });
  }

  run(emit) {
    return calls.run(this, () => {
      try {
        return emit();
      } catch (e) {
        this.fail(e);
        return true;
      }
    });
  }

  /** Answers with an error; after the head, the client sees an incomplete body. */
  fail(e) {
    if (this.ended || this.response.writableEnded) return;
    logError(e);
    if (this.response.headersSent !== false) {
      this.response.destroy();
      return;
    }
    const {type, message, permanent = false, status = permanent ? 422 : 500} = errorFields(e);
    for (const name of this.response.getHeaderNames()) this.response.removeHeader(name);
    this.response.writeHead(status, {'content-type': 'application/json'}).end(JSON.stringify({type, message, permanent}));
  }
}

// bind makes events of a request or response happen in its call: their connection is
// older than the call.
function bind(emitter, call) {
  const emit = emitter.emit;
  emitter.emit = function (...args) {
    return calls.run(call, () => emit.apply(this, args));
  };
}

// headerOf makes of a request what an invoke frame has.
function headerOf(request) {
  const [path, ...query] = request.url.split('?');
  const headers = [];
  for (let i = 0; i < request.rawHeaders.length; i += 2) headers.push([request.rawHeaders[i].toLowerCase(), request.rawHeaders[i + 1]]);
  const rawQuery = query.join('?');
  return {method: request.method, path, rawQuery, query: [...new URLSearchParams(rawQuery)], headers,
    traceparent: request.headers.traceparent, tracestate: request.headers.tracestate, event: eventOf(request.headers)};
}

// eventOf has the attributes of a CloudEvent in binary mode, for logs.
function eventOf(headers) {
  if (headers['ce-id'] === undefined || headers['ce-type'] === undefined) return undefined;
  const attributes = Object.entries(headers).filter(([name]) => name.startsWith('ce-'));
  return Object.fromEntries(attributes.map(([name, value]) => [name.slice('ce-'.length), value]));
}

module.exports = {Redirect, serve, serverOf};
