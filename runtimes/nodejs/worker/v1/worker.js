'use strict';
// Calls handler(event, context), one invocation at a time.
//
// Speaks the framed protocol of docs/worker-protocol.md on the Unix socket whose
// descriptor LAMBDA_WORKER_FD names. Uses nothing but what Node.js brings.

const net = require('node:net');

const {BadInput, decode, encode} = require('./codec.js');
const {Context} = require('./lambda-runtime');
const {Failure, ProcessExit, describe, load, textOf} = require('./loader.js');
const logging = require('./logging.js');

const NO_BODY = Buffer.alloc(0);

/** A handler on a connection. */
class Worker {
  constructor(socket) {
    this.socket = socket;
    this.logger = logging.logger('function');
    this.names = [process.env.LAMBDA_FUNCTION_NAME, process.env.LAMBDA_FUNCTION_NAMESPACE];
    this.chunks = [];
    this.length = 0;
    this.handler = undefined; // until it is loaded
    this.pending = undefined; // the number of the invocation that has no answer yet
  }

  send(header, body = NO_BODY, sent = undefined) {
    const head = Buffer.from(JSON.stringify(header));
    const frame = Buffer.allocUnsafe(8 + head.length + body.length);
    frame.writeUInt32BE(head.length, 0);
    frame.writeUInt32BE(body.length, 4);
    head.copy(frame, 8);
    body.copy(frame, 8 + head.length);
    this.socket.write(frame, sent);
  }

  serve(handler) {
    this.handler = handler;
    this.socket.on('data', (chunk) => {
      this.chunks.push(chunk);
      this.length += chunk.length;
      this.read();
    });
    this.send({kind: 'ready'});
  }

  /** Takes a frame from what has come in, when it is whole. */
  read() {
    if (this.length < 8) return;
    let data = this.chunks.length === 1 ? this.chunks[0] : undefined;
    if (!data && this.chunks[0].length < 8) this.chunks = [data = Buffer.concat(this.chunks)];
    const first = data || this.chunks[0];
    const head = first.readUInt32BE(0);
    const end = 8 + head + first.readUInt32BE(4);
    if (this.length < end) return;
    data = data || Buffer.concat(this.chunks);
    this.length -= end;
    this.chunks = this.length ? [data.subarray(end)] : [];
    this.invoke(JSON.parse(data.toString('utf8', 8, 8 + head)), data.subarray(8 + head, end));
  }

  async invoke(header, body) {
    const context = new Context(header, this.logger, ...this.names);
    logging.state.current = context;
    this.pending = header.id;
    let reply;
    let data;
    try {
      let result = this.handler(decode(header.contentType, body), context);
      if (result !== null && typeof result === 'object' && typeof result.then === 'function') result = await result;
      [reply, data] = encode(result);
      reply.kind = 'result';
    } catch (e) {
      reply = this.error(e);
    }
    if (this.pending === header.id) this.answer(reply, data);
  }

  answer(reply, data, sent) {
    reply.id = this.pending;
    this.pending = undefined;
    logging.flush();
    logging.state.current = undefined;
    this.send(reply, data, sent);
  }

  error(e) {
    const reply = {kind: 'error', type: e instanceof Error ? e.name : 'Error', message: textOf(e)};
    if (e instanceof BadInput) {
      reply.type = 'InvalidRequest';
      reply.badInput = true;
      return reply;
    }
    reply.permanent = Boolean(e && e.permanent === true);
    reply.stack = e instanceof Error ? ownFrames(e) : undefined;
    logging.write('ERROR', 'function', describe(e), reply.stack || textOf(e));
    return reply;
  }

  failed(failure) {
    logging.flush();
    this.send({kind: 'failed', message: failure.message}, NO_BODY, () => process.reallyExit(1));
  }

  /**
   * An error that no handler can catch. The invocation is answered with it; the
   * state of the process is unknown, so it ends.
   */
  uncaught(e) {
    if (!this.handler) {
      this.failed(new Failure(`an error was thrown while the handler was loaded: ${describe(e)}`));
      return;
    }
    const reply = this.error(e);
    if (this.pending === undefined) process.reallyExit(1);
    reply.last = true;
    this.answer(reply, undefined, () => process.reallyExit(1));
  }
}

/** The stack without the frames of this program: the author's are enough. */
function ownFrames(e) {
  return String(e.stack).split('\n').filter((line) => !/^ {4}at /.test(line) || !(line.includes(__dirname) || line.includes('node:'))).join('\n');
}

async function main() {
  logging.configure();
  const socket = new net.Socket({fd: Number(process.env.LAMBDA_WORKER_FD), readable: true, writable: true});
  const worker = new Worker(socket);
  socket.on('error', () => process.reallyExit(0)); // the runtime has gone
  socket.on('end', () => leave());
  const exit = process.exit;
  process.exit = (code) => { // ends an invocation, not the worker
    throw new ProcessExit(code);
  };
  const leave = () => exit.call(process, 0);
  process.on('uncaughtException', (e) => worker.uncaught(e));

  try {
    const handler = await load(process.env.LAMBDA_HANDLER, process.env.LAMBDA_TASK_ROOT || process.cwd());
    logging.flush();
    worker.serve(handler);
  } catch (e) {
    worker.failed(e instanceof Failure ? e : new Failure(describe(e)));
  }
}

main();
