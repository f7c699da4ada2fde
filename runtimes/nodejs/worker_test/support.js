'use strict';
// A front in small: starts a worker over files and speaks protocol 2 with it.

const {spawn} = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const {Reader, write} = require('../worker/frames.js');

const NODE = process.env.WORKER_TEST_NODE || process.execPath;

/** Frames of one connection, in order: next() waits for one. */
class Connection {
  constructor(socket) {
    this.socket = socket;
    this.frames = [];
    this.waiting = [];
    const reader = new Reader((header, body) => {
      this.frames.push([header, body]);
      this.deliver();
    });
    socket.on('data', (data) => reader.push(data)).on('error', () => {});
  }

  deliver() {
    while (this.waiting.length && this.frames.length) this.waiting.shift()(this.frames.shift());
  }

  send(header, body = '') {
    write(this.socket, header, Buffer.from(body));
  }

  next() {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.deliver();
    });
  }
}

/** A worker process over files (name to text) in a folder of its own; modules is its node_modules. */
class Worker {
  constructor(files, {slots = 2, ...environ} = {}, modules = undefined) {
    this.dir = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'worker-'));
    for (const [name, text] of Object.entries(typeof files === 'string' ? {'index.js': files} : files)) {
      fs.mkdirSync(path.dirname(path.join(this.dir, name)), {recursive: true});
      fs.writeFileSync(path.join(this.dir, name), text);
    }
    if (modules) fs.symlinkSync(modules, path.join(this.dir, 'node_modules'));
    this.process = spawn(NODE, [path.join(__dirname, '..', 'worker', 'worker.js')], {
      stdio: ['ignore', 'pipe', 'pipe', ...Array(slots + 1).fill('pipe')], cwd: this.dir,
      env: {...process.env, NODE_TEST_CONTEXT: undefined, LAMBDA_WORKER_FD: '3', LAMBDA_WORKER_SLOTS: String(slots), LAMBDA_HANDLER: 'index.handler',
        LAMBDA_TASK_ROOT: this.dir, ...environ},
    });
    this.log = '';
    this.process.stdout.on('data', (data) => { this.log += data; });
    this.process.stderr.on('data', (data) => { this.log += data; });
    this.exited = new Promise((resolve) => { this.process.on('close', (code, signal) => resolve(signal || code)); });
    this.control = new Connection(this.process.stdio[3]);
    this.slots = [];
    this.ids = 0;
  }

  /** The slot of that number, opened. */
  slot(n = 1) {
    if (this.slots[n] === undefined) {
      this.slots[n] = new Connection(this.process.stdio[3 + n]);
      this.control.send({kind: 'open', slot: n});
    }
    return this.slots[n];
  }

  /** Begins a call: its id. */
  invoke(header = {}, body = '', n = 1) {
    const id = ++this.ids;
    this.slot(n).send({kind: 'invoke', id, timeout: 5000, method: 'POST', path: '/', ...header}, body);
    return id;
  }

  cancel(id, reason = 'timeout', n = 1) {
    this.control.send({kind: 'cancel', slot: n, id, reason});
  }

  /** A whole call: the header of its answer without the id, and the body, also of a stream. */
  async call(header, body, n = 1) {
    const id = this.invoke(header, body, n);
    const [answer, first] = await this.slot(n).next();
    if (answer.id !== id) throw new Error(`answer to ${answer.id} instead of ${id}`);
    delete answer.id;
    const parts = [first];
    while (answer.more && answer.kind === 'result') {
      const [end, piece] = await this.slot(n).next();
      if (end) return [{...answer, end}, Buffer.concat(parts)];
      if (piece.length === 0) break;
      parts.push(piece);
    }
    return [answer, Buffer.concat(parts)];
  }

  /** A call with an event as JSON. */
  json(event, header = {}, n = 1) {
    return this.call({contentType: 'application/json', ...header}, JSON.stringify(event), n);
  }

  lines() {
    return this.log.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }

  /** Closes all connections: the exit status. */
  async end() {
    for (const socket of this.process.stdio.slice(3)) socket.destroy();
    const status = await this.exited;
    fs.rmSync(this.dir, {recursive: true, force: true});
    return status;
  }
}

/** A worker that is ready; ended with the test. */
async function start(t, files, environ, modules) {
  const worker = new Worker(files, environ, modules);
  t.after(() => worker.end());
  [worker.ready] = await worker.control.next();
  if (worker.ready.kind !== 'ready') throw new Error(worker.ready.message);
  return worker;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until a condition holds. */
async function until(condition, what = String(condition)) {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await sleep(10);
  }
}

module.exports = {Worker, sleep, start, until};
