'use strict';
// Loads the handler; what is wrong is told to the function's author.

const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const {pathToFileURL} = require('node:url');

/** The handler cannot be loaded; the text is for the function's author. */
class Failure extends Error {}

/** A call of process.exit by the function's code. */
class ProcessExit extends Error {
  constructor(code) {
    super(String(code === undefined ? process.exitCode || 0 : code));
    this.name = 'ProcessExit';
  }
}

const ENDINGS = ['.js', '.mjs', '.cjs'];

/** Loads <module>.<function> from the folder root. */
async function load(handler, root) {
  const dot = handler.lastIndexOf('.');
  const name = handler.slice(0, dot);
  const exported = handler.slice(dot + 1);
  if (dot < 1 || !exported) throw new Failure(`handler "${handler}" is not of the form <module>.<function>; set spec.runtime.handler`);
  const file = ENDINGS.flatMap((e) => [path.join(root, name + e), path.join(root, name, 'index' + e)]).find((f) => fs.existsSync(f));
  if (!file) throw new Failure(`handler "${handler}" not found: the source has no module "${name}"; set spec.runtime.handler`);
  let exports;
  try {
    exports = await importFile(file, root);
  } catch (e) {
    throw new Failure(explain(e, name, root) + (e instanceof SyntaxError && !origin(e, root) ? whereSyntaxFails(file, root) : ''));
  }
  return check(exports, handler, name, exported);
}

function check(exports, handler, name, exported) {
  const all = typeof exports === 'function' ? {...exports, default: exports} : exports || {};
  const found = all[exported] !== undefined ? all[exported] : all.default && all.default[exported];
  if (found === undefined) {
    const there = Object.keys({...all, ...all.default}).filter((k) => typeof (all[k] || all.default[k]) === 'function').sort();
    throw new Failure(`handler "${handler}" not found: module "${name}" exports ${there.join(', ') || 'no function'}; set spec.runtime.handler`);
  }
  if (typeof found !== 'function') throw new Failure(`handler "${handler}" is a ${typeof found}, not a function; set spec.runtime.handler`);
  if (found.length > 2) throw new Failure(`handler "${handler}" takes ${found.length} parameters; expected (event, context), and a promise instead of a callback`);
  return all[exported] !== undefined ? found : found.bind(all.default);
}

async function importFile(file, root) {
  const runtime = path.join(__dirname, 'lambda-runtime', 'index.js');
  const resolveFilename = Module._resolveFilename;
  Module._resolveFilename = function (request, ...rest) { // NODE_PATH would have to be there before the start
    return request === 'lambda-runtime' ? runtime : resolveFilename.call(this, request, ...rest);
  };
  let asModules = false;
  if (!file.endsWith('.mjs') && (file.endsWith('.cjs') || packageType(file, root) !== 'module')) {
    try {
      return Module.createRequire(file)(file);
    } catch (e) {
      if (!isModule(e) || file.endsWith('.cjs') || packageType(file, root)) throw e;
      asModules = true;
    }
  }
  hook({runtime, root, modules: asModules});
  return import(pathToFileURL(file).href);
}

// isModule tells whether require failed because the file is an ES module. Newer
// versions find that out themselves, but not what lambda-runtime is.
function isModule(e) {
  return e.code === 'ERR_REQUIRE_ASYNC_MODULE' || (e.code === 'ERR_MODULE_NOT_FOUND' && e.message.includes("'lambda-runtime'")) ||
    (e instanceof SyntaxError && /import statement outside a module|Unexpected token 'export'|import\.meta' outside a module|await is only valid/.test(e.message));
}

function hook(data) {
  if (Module.registerHooks) {
    const hooks = require('./hooks.js');
    hooks.initialize(data);
    Module.registerHooks(hooks);
  } else {
    Module.register('./hooks.mjs', {parentURL: pathToFileURL(__filename), data});
  }
}

/** The type that the nearest package.json says, if it says one. */
function packageType(file, root) {
  for (let dir = path.dirname(file); dir.startsWith(root); dir = path.dirname(dir)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(dir, 'package.json'), 'utf8')).type;
    } catch (e) {
      if (e.code !== 'ENOENT') return undefined;
    }
  }
  return undefined;
}

function explain(e, name, root) {
  if (!(e instanceof Error)) return `cannot load "${name}": it threw ${String(e)}`;
  const where = origin(e, root);
  if (e.code === 'MODULE_NOT_FOUND' || e.code === 'ERR_MODULE_NOT_FOUND') {
    const missing = (/^Cannot find (?:module|package) '([^']*)'/.exec(e.message) || [])[1];
    const from = where || requirer(e, missing, root);
    return `cannot load "${name}": cannot find module '${short(missing, root)}'${from ? ` (${from})` : ''}; is it among the dependencies?`;
  }
  return `cannot load "${name}": ${describe(e)}${where ? ` (${where})` : ''}`;
}

/** The place of a syntax error, which an ES module's error does not tell. */
function whereSyntaxFails(file, root) {
  const {stderr} = require('node:child_process').spawnSync(process.execPath, ['--check', file], {encoding: 'utf8'});
  const where = origin({stack: stderr}, root);
  return where ? ` (${where})` : '';
}

function short(file, root) {
  return file && path.isAbsolute(file) ? `./${path.relative(root, file)}` : file;
}

/** Where in the function's code the error comes from: file and line. */
function origin(e, root) {
  const stack = String(e.stack).replaceAll('file://', '');
  for (const line of stack.split('\n')) {
    const at = line.indexOf(root + path.sep);
    const found = at >= 0 && /^([^:()]+):(\d+)/.exec(line.slice(at + root.length + 1));
    if (found && !line.startsWith('- ')) return `${found[1]}, line ${found[2]}`;
  }
  return undefined;
}

/** Who wants the missing module: Node.js names the file and not the line. */
function requirer(e, missing, root) {
  const file = (e.requireStack || [])[0] || (/imported from (.+)$/m.exec(e.message) || [])[1];
  if (!file || !file.startsWith(root)) return undefined;
  const line = fs.readFileSync(file, 'utf8').split('\n').findIndex((l) => l.includes(missing)) + 1;
  return path.relative(root, file) + (line ? `, line ${line}` : '');
}

/** Name and text of what was thrown. */
function describe(e) {
  if (!(e instanceof Error)) return `Error: ${textOf(e)}`;
  const text = textOf(e);
  return text ? `${e.name}: ${text}` : e.name;
}

function textOf(e) {
  try {
    return String(e instanceof Error ? e.message : e);
  } catch {
    return '(its text cannot be told)';
  }
}

module.exports = {Failure, ProcessExit, describe, load, textOf};
