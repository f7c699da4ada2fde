'use strict';
// The worker of docs/runtime-protocol.md: all slots on one loop. It uses nothing but
// what Node.js brings.

const net = require('node:net');

const awslambda = require('./awslambda.js');
const {calls, drain} = require('./call.js');
const {MAX_MESSAGE, ProcessExit, cut, describe, logError, textOf} = require('./errors.js');
const {Reader, write} = require('./frames.js');
const {load} = require('./loader.js');
const logging = require('./logging.js');
const {Failure} = require('./modules.js');
const {Slot} = require('./slot.js');

const PROTOCOL = 2;
const EXIT_TIME = 4000; // milliseconds of the five that the runtime waits

const exit = process.exit.bind(process);

class Worker {
  constructor(fd) {
    this.first = fd;
    this.logger = logging.logger('function');
    this.loaded = undefined;
    this.slots = [];
    this.idle = new AbortController(); // nothing is left to do, and nothing is loaded
    this.retired = false;
    this.ending = false;
    this.control = this.connect(fd);
    this.control.unref(); // so that loading that never ends is noticed
    const reader = new Reader((header) => this.take(header));
    this.control.on('data', (data) => reader.push(data));
    this.control.on('error', () => process.reallyExit(0)); // the runtime has ended
    this.control.on('end', () => this.stop());
  }

  connect(fd) {
    return new net.Socket({fd, readable: true, writable: true});
  }

  async start() {
    try {
      this.loaded = await load({handler: process.env.LAMBDA_HANDLER || '', root: process.env.LAMBDA_TASK_ROOT || process.cwd(),
        chosen: process.env.LAMBDA_INTERFACE || undefined, logger: this.logger, signal: this.idle.signal});
    } catch (e) {
      this.failed(e instanceof Failure ? e.message : describe(e));
      return;
    }
    logging.flush();
    this.control.ref();
    const {interface: kind, requestStream, address} = this.loaded;
    write(this.control, {kind: 'ready', protocol: PROTOCOL, interface: kind, requestStream, address});
  }

  take(header) {
    switch (header.kind) {
      case 'open':
        if (this.loaded.perform) this.slots[header.slot] ??= new Slot(this.connect(this.first + header.slot), this.loaded.perform, this.logger);
        break;
      case 'cancel':
        if (this.slots[header.slot]) this.slots[header.slot].cancel(header);
        break;
      case 'ping':
        write(this.control, {kind: 'pong', id: header.id});
        break;
      case 'drain':
        drain();
        break;
      default: // of a newer runtime
    }
  }

  failed(message) {
    if (this.ending) return;
    this.ending = true;
    logging.flush();
    this.control.ref();
    write(this.control, {kind: 'failed', message: cut(message, MAX_MESSAGE)});
    this.control.end(() => process.reallyExit(1));
  }

  /** No more calls: the state of the process is unknown. */
  retire(message) {
    if (this.retired) return;
    this.retired = true;
    write(this.control, {kind: 'retire', message: cut(message, MAX_MESSAGE)});
  }

  /**
   * An error that no handler can catch. The call that it belongs to fails. After an
   * exception, or one that belongs to no call, the worker is replaced.
   */
  uncaught(e, rejection) {
    if (!this.loaded) {
      this.failed(`an error was thrown while the handler was loaded: ${describe(e)}`);
      return;
    }
    const call = calls.getStore();
    if (call && !call.ended) call.fail(e);
    else logError(e);
    if (!rejection) this.retire(`an exception outside of the handler: ${describe(e)}`);
    else if (!call) this.retire(`an unhandled rejection outside of calls: ${describe(e)}`);
  }

  /** process.exit() by the function: ends the call, not the neighbours. */
  exit(code) {
    const e = new ProcessExit(code);
    const call = calls.getStore();
    if (call && !call.ended) call.fail(e);
    throw e;
  }

  /** The runtime wants the process to end: first the app, by its own means. */
  async stop() {
    if (this.ending) return;
    this.ending = true;
    process.exit = exit;
    setTimeout(exit, EXIT_TIME, 0).unref();
    logging.flush();
    for (const slot of this.slots) if (slot) slot.socket.unref();
    await this.close();
    if (process.listenerCount('SIGTERM') === 0) exit(0);
    process.emit('SIGTERM', 'SIGTERM'); // its listeners exit, or leave the loop without work
  }

  async close() {
    if (!this.loaded || !this.loaded.close) return;
    try {
      await this.loaded.close();
    } catch (e) {
      logging.write('ERROR', 'function', `cannot close the app: ${describe(e)}`, textOf(e));
    }
  }
}

function main() {
  logging.configure();
  awslambda.install();
  const worker = new Worker(Number(process.env.LAMBDA_WORKER_FD));
  delete process.env.LAMBDA_WORKER_FD; // children have no connections
  delete process.env.LAMBDA_WORKER_SLOTS;
  process.exit = (code) => worker.exit(code);
  process.on('uncaughtException', (e) => worker.uncaught(e, false));
  process.on('unhandledRejection', (e) => worker.uncaught(e, true));
  process.on('beforeExit', () => {
    if (worker.loaded || worker.ending) return;
    worker.idle.abort();
    setImmediate(() => worker.loaded || worker.failed('loading never ends: a top-level await is never settled'));
  });
  worker.start();
}

main();
