'use strict';
// Objects with fetch(request): the request and the response are those of the web.

const {HTTPError} = require('./knative-lambda');
const {InvalidReply, brandOf, typeName} = require('./value.js');

/** Calls app.fetch for a call. */
async function callFetch(app, call) {
  const value = await app.fetch(requestOf(call), call.context);
  if (brandOf(value) === 'Response' || (value && typeof value.arrayBuffer === 'function' && value.headers)) return value;
  throw new InvalidReply(`fetch returned a value of type ${typeName(value)}; expected a Response`);
}

function requestOf(call) {
  const {request, signal} = call.context;
  const {headers} = request;
  const init = {method: request.method, headers: call.header.headers || [], signal};
  if (!['GET', 'HEAD'].includes(request.method)) Object.assign(init, bodyOf(call));
  const scheme = headers['x-forwarded-proto'] === 'https' ? 'https' : 'http';
  let url = `${scheme}://${headers.host || 'localhost'}${request.url}`;
  if (!URL.canParse(url)) url = `${scheme}://localhost${request.url}`;
  try {
    return new Request(url, init);
  } catch (e) {
    throw new HTTPError(400, `no Request of the web can have this method, path or header: ${e.message}`);
  }
}

function bodyOf(call) {
  if (call.upload === undefined) return call.body.length ? {body: call.body} : {};
  const pieces = call.upload[Symbol.asyncIterator]();
  const body = new ReadableStream({
    type: 'bytes',
    async pull(controller) {
      const {value, done} = await pieces.next();
      if (!done) {
        controller.enqueue(new Uint8Array(value)); // a copy: its buffer is handed over
        return;
      }
      controller.close();
      if (controller.byobRequest) controller.byobRequest.respond(0);
    },
    cancel: () => void call.upload.destroy(),
  });
  return {body, duplex: 'half'};
}

module.exports = {callFetch};
