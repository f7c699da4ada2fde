'use strict';
// Apps: fetch over slots, listeners over HTTP.

const assert = require('node:assert/strict');
const http = require('node:http');
const {test} = require('node:test');

const {start, until} = require('./support.js');

/** A request to a listener: status, headers and body. */
function request(worker, {body, agent, ...options} = {}) {
  const [host, port] = worker.ready.address.split(':');
  return new Promise((resolve, reject) => {
    const req = http.request({host, port, agent, path: '/', method: body ? 'POST' : 'GET', ...options}, (res) => {
      const parts = [];
      res.on('data', (part) => parts.push(part));
      res.on('end', () => resolve({status: res.statusCode, headers: res.headers, body: Buffer.concat(parts).toString()}));
      res.on('error', reject);
    });
    req.on('error', reject);
    req.end(body);
  });
}

test('fetch: requests and responses of the web', async (t) => {
  const worker = await start(t, `const {currentContext} = require('knative-lambda');
    exports.handler = {async fetch(req, context) {
      const url = new URL(req.url);
      if (url.pathname === '/value') return {a: 1};
      if (url.pathname === '/throw') throw new TypeError('no');
      await null;
      console.log('called');
      return Response.json({method: req.method, url: req.url, a: req.headers.get('x-a'), body: await req.text(), same: context === currentContext()},
        {status: 202, headers: [['set-cookie', 'a=1'], ['set-cookie', 'b=2'], ['x-b', '1']]});
    }};`);
  assert.deepEqual(worker.ready, {kind: 'ready', protocol: 2, interface: 'fetch', requestStream: true});
  const headers = [['host', 'f.example'], ['x-forwarded-proto', 'https'], ['x-a', '1'], ['x-a', '2'], ['ce-id', 'e']];
  for (const [method, sent] of [['POST', 'hi'], ['PUT', ''], ['GET', ''], ['HEAD', '']]) {
    const [answer, body] = await worker.call({method, path: '/a%20b', query: [['q', '1 2']], rawQuery: 'q=1%202&z', headers}, sent);
    assert.deepEqual(answer, {kind: 'result', status: 202, headers: [['content-type', 'application/json'], ['x-b', '1']], cookies: ['a=1', 'b=2']});
    assert.deepEqual(JSON.parse(body), {method, url: 'https://f.example/a%20b?q=1%202&z', a: '1, 2', body: sent, same: true});
  }
  assert.equal(JSON.parse((await worker.call({headers: [['host', 'not a host']]}))[1]).url, 'http://localhost/');
  const [value] = await worker.call({path: '/value'});
  assert.deepEqual([value.type, value.message], ['InvalidReply', 'fetch returned a value of type Object; expected a Response']);
  assert.deepEqual((({type, message}) => [type, message])((await worker.call({path: '/throw'}))[0]), ['TypeError', 'no']);
  const [refused] = await worker.call({method: 'TRACE'});
  assert.deepEqual([refused.type, refused.status], ['HTTPError', 400]);
});

test('fetch: bodies in pieces, both ways', async (t) => {
  const worker = await start(t, `exports.handler = {fetch: (req) => new Response(req.body)};`);
  const slot = worker.slot(1);
  worker.invoke({more: true}, '');
  assert.deepEqual((await slot.next())[0], {kind: 'result', id: 1, status: 200, more: true}, 'the head goes ahead');
  for (const piece of ['a', 'b']) {
    slot.send(undefined, piece);
    assert.equal((await slot.next())[1].toString(), piece);
  }
  slot.send(undefined);
  assert.equal((await slot.next())[1].length, 0);
  for (const [length, more] of [[1 << 20, undefined], [17 << 20, true]]) { // streams have no limit
    const body = Buffer.alloc(length, 'x');
    const [answer, got] = await worker.call({}, body);
    assert.equal(answer.more, more);
    assert.ok(got.equals(body));
  }
});

test('fetch: the client disconnects', async (t) => {
  const worker = await start(t, `exports.handler = {fetch: async (req) => {
    req.signal.addEventListener('abort', () => console.log('aborted'));
    return new Response(new ReadableStream({start(c) { c.enqueue(Buffer.from('x')); }, cancel: () => console.log('closed')}));
  }};`);
  const id = worker.invoke();
  assert.equal((await worker.slot(1).next())[1].toString(), 'x');
  worker.cancel(id, 'disconnect');
  assert.equal((await worker.slot(1).next())[1].length, 0);
  await until(() => worker.log.includes('aborted') && worker.log.includes('closed'));
});

test('a listener: calls, context and errors', async (t) => {
  const worker = await start(t, `const {currentContext, http} = require('knative-lambda');
    exports.handler = http((req, res) => {
      if (req.url === '/throw') throw new TypeError('no');
      if (req.url === '/later') return void setTimeout(() => Promise.reject(new TypeError('late')), 10);
      if (req.url === '/half') { res.write('half'); return void setTimeout(() => Promise.reject(new TypeError('too late')), 10); }
      let text = '';
      req.on('data', (part) => { text += part; });
      req.on('end', () => { console.log('in end'); res.writeHead(201, {'x-a': ['1', '2']}).end(JSON.stringify([text, currentContext().path, req.httpVersion])); });
    });`);
  const agent = new http.Agent({keepAlive: true, maxSockets: 1});
  t.after(() => agent.destroy());
  const headers = {'ce-id': 'e', 'ce-type': 't', 'ce-source': 's', 'ce-specversion': '1.0', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'};
  const answer = await request(worker, {agent, path: '/a?b', body: 'hi', headers});
  assert.deepEqual([answer.status, answer.headers['x-a'], JSON.parse(answer.body)], [201, '1, 2', ['hi', '/a', '1.1']]);
  await until(() => worker.log.includes('in end'));
  const line = worker.lines().at(-1);
  assert.deepEqual([line.event_id, line.trace_id], ['e', '0af7651916cd43dd8448eb211c80319c']);
  for (const [path, message] of [['/throw', 'no'], ['/later', 'late']]) {
    const failed = await request(worker, {agent, path});
    assert.deepEqual([failed.status, JSON.parse(failed.body)], [500, {type: 'TypeError', message, permanent: false}]);
  }
  await assert.rejects(request(worker, {path: '/half'}), {code: 'ECONNRESET'});
  worker.control.send({kind: 'ping', id: 1});
  assert.equal((await worker.control.next())[0].kind, 'pong', 'no retire before it');
});

test('a listener: the client disconnects, and the pod stops', async (t) => {
  const worker = await start(t, `const {currentContext} = require('knative-lambda');
    const server = require('http').createServer((req, res) => {
      const context = currentContext();
      console.log('called');
      context.signal.addEventListener('abort', () => console.log('aborted', context.cancelled));
    });
    server.on('close', () => console.log('closed'));
    exports.handler = server;`);
  const [host, port] = worker.ready.address.split(':');
  const req = http.get({host, port}).on('error', () => {});
  await until(() => worker.log.includes('called'));
  req.destroy();
  await until(() => worker.log.includes('aborted true'));
  worker.control.socket.end();
  assert.equal(await worker.exited, 0);
});

test('a server that listens while the module is loaded', async (t) => {
  const app = `require('http').createServer((req, res) => res.end('from ' + req.url))`;
  for (const [name, files] of [
    ['CommonJS', {'index.js': `${app}.listen(3000, () => console.log('listening'));`}],
    ['with a host', {'index.js': `${app}.listen({port: 3000, host: '0.0.0.0'}, () => console.log('listening'));`}],
    ['ES module, awaited', {'index.mjs': `import {once} from 'events'; import {createServer} from 'http'; const s = createServer((req, res) => res.end('from ' + req.url)); s.listen(3000);
      await once(s, 'listening'); console.log('listening');`}],
    ['after a while', {'index.js': `(async () => { await new Promise((r) => setTimeout(r, 50)); ${app}.listen(process.env.PORT, () => console.log('listening')); })();`}],
    ['exported, too', {'index.js': `module.exports = ${app}; module.exports.listen(3000, () => console.log('listening'));`}],
  ]) {
    const worker = await start(t, files, {PORT: '3000'});
    assert.notEqual(worker.ready.address, '127.0.0.1:3000', name);
    assert.equal((await request(worker, {path: '/x'})).body, 'from /x', name);
    await until(() => worker.log.includes('"listening"'), name);
  }
});

test('a second server, and one beside a handler, listen where they want to', async (t) => {
  const two = await start(t, `const http = require('http');
    http.createServer((req, res) => res.end('app')).listen(3000);
    const metrics = http.createServer((req, res) => res.end('metrics')).listen(0, () => console.log('metrics on ' + metrics.address().port));`);
  assert.equal((await request(two)).body, 'app');
  await until(() => two.log.includes('metrics on'));
  const port = /metrics on (\d+)/.exec(two.log)[1];
  assert.equal((await request({ready: {address: `127.0.0.1:${port}`}})).body, 'metrics');

  const free = await new Promise((resolve) => { const s = http.createServer().listen(0, () => { const {port: p} = s.address(); s.close(() => resolve(p)); }); });
  const beside = await start(t, `require('http').createServer((req, res) => res.end('metrics')).listen(${free}); exports.handler = () => 1;`);
  assert.equal(beside.ready.interface, 'handler');
  await until(() => request({ready: {address: `127.0.0.1:${free}`}}).then(({body}) => body === 'metrics', () => false));
});

test('upgrades pass', async (t) => {
  const worker = await start(t, `const server = require('http').createServer();
    server.on('upgrade', (req, socket) => { socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n'); socket.pipe(socket); });
    exports.handler = server;`);
  const [host, port] = worker.ready.address.split(':');
  const echoed = await new Promise((resolve, reject) => {
    http.get({host, port, headers: {Connection: 'Upgrade', Upgrade: 'echo'}}).on('error', reject).on('upgrade', (res, socket) => {
      socket.once('data', (data) => {
        socket.destroy();
        resolve(String(data));
      });
      socket.write('ping');
    });
  });
  assert.equal(echoed, 'ping');
});
