'use strict';
// Talks with a worker over its socket, from the runtime's end.

const {spawn} = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/** A worker process over files (name to text) in a folder of its own. */
class Process {
  constructor(files, environ = {}) {
    this.dir = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'worker-'));
    for (const [name, text] of Object.entries(typeof files === 'string' ? {'index.js': files} : files)) {
      fs.mkdirSync(path.dirname(path.join(this.dir, name)), {recursive: true});
      fs.writeFileSync(path.join(this.dir, name), text);
    }
    this.process = spawn(process.execPath, [path.join(__dirname, '..', '..', 'worker', 'worker.js')], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'], cwd: this.dir,
      env: {...process.env, NODE_TEST_CONTEXT: undefined, LAMBDA_WORKER_FD: '3', LAMBDA_HANDLER: 'index.handler', LAMBDA_TASK_ROOT: this.dir, ...environ},
    });
    this.log = '';
    this.process.stderr.on('data', (data) => { this.log += data; });
    this.exited = new Promise((resolve) => { this.process.on('close', (code) => resolve(code)); });
    this.socket = this.process.stdio[3];
    this.data = Buffer.alloc(0);
    this.waiting = [];
    this.socket.on('data', (chunk) => {
      this.data = Buffer.concat([this.data, chunk]);
      this.deliver();
    });
  }

  deliver() {
    while (this.waiting.length && this.data.length >= 8) {
      const head = this.data.readUInt32BE(0);
      const end = 8 + head + this.data.readUInt32BE(4);
      if (this.data.length < end) return;
      this.waiting.shift()([JSON.parse(this.data.toString('utf8', 8, 8 + head)), this.data.subarray(8 + head, end)]);
      this.data = this.data.subarray(end);
    }
  }

  send(header, body = '') {
    const head = Buffer.from(JSON.stringify(header));
    const lengths = Buffer.alloc(8);
    lengths.writeUInt32BE(head.length, 0);
    lengths.writeUInt32BE(Buffer.byteLength(body), 4);
    this.socket.write(Buffer.concat([lengths, head, Buffer.from(body)]));
  }

  /** The next frame: [header, body]. */
  receive() {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.deliver();
    });
  }

  async invoke(header, body) {
    this.send({kind: 'invoke', id: 1, timeout: 1000, ...header}, body);
    return this.receive();
  }

  lines() {
    return this.log.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }

  /** Closes the connection: the exit status. */
  async end() {
    this.socket.end();
    const status = await this.exited;
    fs.rmSync(this.dir, {recursive: true});
    return status;
  }
}

module.exports = {Process};
