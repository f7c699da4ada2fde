'use strict';
// The frames of docs/runtime-protocol.md: two lengths, a JSON header, a body.

const PREFIX = 8;
const MAX_HEADER = 1 << 20;
const MAX_CHUNK = 64 << 10;
const NO_BODY = Buffer.alloc(0);

/** The bytes before the body. A frame without a header is a chunk. */
function head(header, length) {
  const text = header === undefined ? '' : JSON.stringify(header);
  const size = Buffer.byteLength(text);
  const bytes = Buffer.allocUnsafe(PREFIX + size);
  bytes.writeUInt32BE(size, 0);
  bytes.writeUInt32BE(length, 4);
  bytes.write(text, PREFIX);
  return bytes;
}

/** Writes a frame by one system call. False: wait for "drain" before the next one. */
function write(socket, header, body = NO_BODY) {
  const first = head(header, body.length);
  if (body.length === 0) return socket.write(first);
  if (body.length < MAX_CHUNK) return socket.write(Buffer.concat([first, body]));
  socket.cork(); // a long body is not copied
  socket.write(first);
  const room = socket.write(body);
  socket.uncork();
  return room;
}

/** Length of the frame's header, which must not exceed MAX_HEADER. */
function headerLength(header) {
  return Buffer.byteLength(JSON.stringify(header));
}

/** Calls take(header, body) for each frame of the bytes that are pushed; a chunk has no header. */
class Reader {
  constructor(take) {
    this.take = take;
    this.parts = [];
    this.length = 0;
    this.needed = PREFIX;
  }

  push(data) {
    this.parts.push(data);
    this.length += data.length;
    while (this.length >= this.needed) {
      const all = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts);
      const size = all.readUInt32BE(0);
      const end = PREFIX + size + all.readUInt32BE(4);
      this.parts = [all];
      this.needed = end;
      if (all.length < end) return;
      this.parts = all.length > end ? [all.subarray(end)] : [];
      this.length -= end;
      this.needed = PREFIX;
      this.take(size ? JSON.parse(all.toString('utf8', PREFIX, PREFIX + size)) : undefined, all.subarray(PREFIX + size, end));
    }
  }
}

module.exports = {MAX_CHUNK, MAX_HEADER, NO_BODY, Reader, headerLength, write};
