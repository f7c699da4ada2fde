'use strict';
// A slot carries one call at a time, on a connection of its own.

const {Readable} = require('node:stream');

const {Call, calls} = require('./call.js');
const {errorFields, isAbort, logError} = require('./errors.js');
const {has} = require('./fields.js');
const {MAX_CHUNK, MAX_HEADER, NO_BODY, Reader, headerLength, write} = require('./frames.js');
const logging = require('./logging.js');
const {replyOf} = require('./reply.js');
const {EVENT_STREAM, collect, encodingOf} = require('./source.js');
const {InvalidReply} = require('./value.js');

const LONG_HEADER = 16 << 10; // from here on it is measured
const TURN = 16; // pieces of a stream between two turns of the loop

const MAX_BODY = Number(process.env.LAMBDA_MAX_BODY) || 16 << 20;

const turn = () => new Promise((resolve) => { setImmediate(resolve); });

class Slot {
  /** perform(call) returns the handler's value, or a promise of it. */
  constructor(socket, perform, logger) {
    this.socket = socket;
    this.perform = perform;
    this.logger = logger;
    this.call = undefined;
    this.upload = undefined; // the request body that still arrives
    this.last = 0; // id of the newest call
    this.early = undefined; // a cancel that was read before its invoke
    const reader = new Reader((header, body) => this.take(header, body));
    socket.on('data', (data) => reader.push(data));
    socket.on('error', () => socket.destroy()); // the end of the control connection says why
    socket.on('close', () => this.call && this.call.cancel('disconnect'));
  }

  take(header, body) {
    if (header === undefined) {
      this.piece(body.length ? body : null);
    } else if (header.kind === 'error') {
      this.piece(undefined, new Error(`the request body broke off: ${header.message || header.type}`));
    } else {
      this.begin(header, body);
    }
  }

  begin(header, body) {
    if (header.more) this.upload = this.receive(body);
    this.last = header.id;
    this.call = new SlotCall(this, header, body);
    if (this.early && this.early.id === header.id) {
      this.call.cancel(this.early.reason);
      this.call.finishStream();
    } else {
      this.call.run();
    }
  }

  /** Cancels the open call, or the next one: this arrives on another connection. */
  cancel(header) {
    if (this.call && this.call.header.id === header.id) this.call.cancel(header.reason);
    else if (header.id > this.last) this.early = header;
  }

  // receive makes the stream of a request body. The connection is read no faster than it.
  receive(first) {
    const upload = new Readable({highWaterMark: MAX_CHUNK, read: () => this.socket.resume(), destroy: (e, done) => {
      this.socket.resume(); // the rest is dropped
      done(e);
    }});
    upload.on('error', () => {}); // only readers need to know
    if (first.length) upload.push(first);
    return upload;
  }

  /** A piece of the request body; null ends it, and an error breaks it off. */
  piece(data, error) {
    const upload = this.upload;
    if (upload === undefined) return;
    if (!data) this.upload = undefined;
    if (upload.destroyed) return;
    if (error) upload.destroy(error);
    else if (!upload.push(data) && data) this.socket.pause();
  }

  /** Writes a frame; resolves when there is room for the next one. */
  async write(header, body) {
    if (write(this.socket, header, body) || this.socket.destroyed) return;
    await new Promise((resolve) => {
      const done = () => {
        this.socket.off('drain', done).off('close', done);
        resolve();
      };
      this.socket.on('drain', done).on('close', done);
    });
  }
}

class SlotCall extends Call {
  constructor(slot, header, body) {
    super(header, body, slot.logger, slot.upload);
    this.slot = slot;
    this.source = undefined; // what is streamed
    this.closed = false; // before its end
    this.streaming = false; // the head has been sent
  }

  run() {
    calls.run(this, async () => {
      try {
        await this.reply(replyOf(await this.slot.perform(this), this.header.event !== undefined));
      } catch (e) {
        this.fail(e);
      }
    });
  }

  async reply({source, ...reply}) {
    this.source = source;
    if (this.ended || this.cancelled) {
      this.close();
      this.finishStream();
    } else if (source === undefined) {
      this.finish({kind: 'result', ...reply.fields}, reply.body);
    } else if (this.header.event !== undefined) {
      const {contentType, body} = await collect(source, reply.fields.status !== undefined, MAX_BODY);
      this.finish({kind: 'result', status: contentType ? undefined : 200, ...typed(reply, contentType)}, body);
    } else {
      await this.stream(reply);
    }
  }

  // stream sends items as they come, each before the next one is taken.
  async stream(reply) {
    const source = this.source;
    let item = source.next();
    if (reply.whole) item = this.probe(source, item, reply);
    item = await item;
    if (item === undefined) return;
    const {contentType, encode} = item.done ? {} : encodingOf(item.value);
    const head = {status: 200, ...typed(reply, contentType)};
    if (item.done && !this.streaming) {
      this.finish({kind: 'result', ...head}, NO_BODY);
      return;
    }
    for (let n = 1; !item.done; n++) {
      await this.send(head, encode(item.value));
      if (n % TURN === 0) await turn();
      if (this.ended || this.cancelled) break;
      item = await source.next();
    }
    this.finishStream();
  }

  // probe answers by one frame where the source ends at once, so that the client gets
  // the length. If the first item takes longer, the head goes ahead. It returns the next
  // item, or undefined after the answer.
  async probe(source, pending, reply) {
    const head = {status: 200, ...reply.fields};
    const first = await Promise.race([pending, turn()]);
    if (first === undefined) {
      await this.send(head, NO_BODY);
      return pending;
    }
    if (first.done) return first;
    const {contentType, encode} = encodingOf(first.value);
    const body = encode(first.value);
    const next = source.next();
    const second = await Promise.race([next, turn()]);
    if (second && second.done && body.length <= MAX_BODY) {
      this.finish({kind: 'result', ...head, ...typed(reply, contentType)}, body);
      return undefined;
    }
    await this.send({...head, ...typed(reply, contentType)}, body);
    return next;
  }

  // send writes a piece of the body, and before the first one the head.
  async send(head, piece) {
    let from = 0;
    if (!this.streaming && !this.ended && !this.cancelled) {
      this.streaming = true;
      await this.slot.write(checked({kind: 'result', id: this.header.id, ...head, more: true}), piece.subarray(0, MAX_CHUNK));
      from = MAX_CHUNK;
    }
    for (; from < piece.length && !this.ended && !this.cancelled; from += MAX_CHUNK) {
      await this.slot.write(undefined, piece.subarray(from, from + MAX_CHUNK));
      if (from > 0 && (from / MAX_CHUNK) % TURN === 0) await turn();
    }
  }

  // finishStream ends the body, or a cancelled call that has none: the runtime drops
  // that answer.
  finishStream() {
    if (this.ended) return;
    if (!this.streaming) {
      this.finish({kind: 'error', type: 'Cancelled', message: `the call was cancelled: ${this.cancelled}`});
      return;
    }
    this.slot.write(undefined, NO_BODY);
    this.end();
  }

  finish(header, body) {
    if (this.ended) return;
    header.id = this.header.id;
    try {
      checked(header);
    } catch (e) {
      this.fail(e);
      return;
    }
    this.slot.write(header, body);
    this.end();
  }

  /** Answers with an error; of a stream that has begun, the client sees an incomplete body. */
  fail(e) {
    if (this.ended) return;
    if (this.cancelled && (isAbort(e) || this.closed)) {
      this.finishStream(); // the error is only an echo of that
      return;
    }
    this.close();
    logError(e);
    this.slot.write({kind: 'error', id: this.header.id, ...errorFields(e)});
    this.end();
  }

  cancel(reason) {
    super.cancel(reason);
    this.close();
  }

  // close ends what is streamed in either direction.
  close() {
    const source = this.source;
    if (source === undefined || this.closed) return;
    this.closed = true;
    calls.run(this, async () => source.close()).catch(() => {});
  }

  // end makes the slot ready for the next call, once the request body has ended, too.
  end() {
    this.ended = true;
    logging.flush(this.printed);
    if (this.upload) this.upload.destroy();
    if (this.slot.call === this) this.slot.call = undefined;
  }
}

// typed adds the content type that the items of a stream have, unless the handler chose one.
function typed({fields, typed: chosen}, contentType) {
  if (chosen || fields.contentType !== undefined || contentType === undefined) return fields;
  if (contentType !== EVENT_STREAM || has(fields.headers || [], 'cache-control')) return {...fields, contentType};
  return {...fields, contentType, headers: [...(fields.headers || []), ['cache-control', 'no-cache']]};
}

// checked refuses a header that no frame can have.
function checked(header) {
  if (header.event === undefined && header.headers === undefined && header.cookies === undefined) return header;
  const length = headerLength(header);
  if (length > MAX_HEADER) throw new InvalidReply(`the handler returned attributes and headers of ${length} bytes; expected at most ${MAX_HEADER}`);
  return header;
}

module.exports = {Slot};
