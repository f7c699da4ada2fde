'use strict';
// Finds and imports the function's module; what is wrong is for the function's author.

const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const {pathToFileURL} = require('node:url');

const {describe} = require('./errors.js');
const {isModuleError, packageType, sdkFile} = require('./format.js');

/** The handler cannot be loaded; the text is for the function's author. */
class Failure extends Error {}

const JAVASCRIPT = ['.js', '.mjs', '.cjs'];
const TYPESCRIPT = ['.ts', '.mts', '.cts'];

/** The file of a module below root. */
function findFile(name, root, handler) {
  const found = (endings) => endings.flatMap((e) => [path.join(root, name + e), path.join(root, name, 'index' + e)]).find(fs.existsSync);
  const file = found(JAVASCRIPT);
  if (file) return file;
  const typescript = found(TYPESCRIPT);
  if (!typescript) throw new Failure(`handler "${handler}" not found: the source has no module "${name}"; set spec.runtime.handler`);
  if (!process.features.typescript) {
    throw new Failure(`handler "${handler}" is in ${path.relative(root, typescript)}, and Node.js ${process.versions.node} does not run TypeScript; ` +
      'set spec.runtime.version to "22" or newer, or compile it to JavaScript');
  }
  return typescript;
}

/** Imports a file: its exports. */
async function importFile(file, name, root) {
  try {
    return await importAs(file, root);
  } catch (e) {
    throw new Failure(explain(e, name, root) + (e instanceof SyntaxError && !origin(e, root) ? whereSyntaxFails(file, root) : ''));
  }
}

async function importAs(file, root) {
  process.argv[1] = file; // what cluster starts again is the function, not the worker
  const resolveFilename = Module._resolveFilename;
  Module._resolveFilename = function (request, ...rest) { // NODE_PATH would have to be set before the start
    return sdkFile(request) || resolveFilename.call(this, request, ...rest);
  };
  if (file.endsWith('.cjs') || (file.endsWith('.js') && packageType(file, root) !== 'module')) {
    try {
      return Module.createRequire(file)(file);
    } catch (e) {
      if (!isModule(e) || file.endsWith('.cjs') || packageType(file, root)) throw e;
    }
  }
  hook({root: root + path.sep});
  return import(pathToFileURL(file).href);
}

// isModule reports whether require failed because the file is an ES module. Newer
// versions find that out themselves, but do not resolve the SDK.
function isModule(e) {
  return e.code === 'ERR_REQUIRE_ASYNC_MODULE' || isModuleError(e) ||
    (e.code === 'ERR_MODULE_NOT_FOUND' && /'(lambda-runtime|knative-lambda)[^']*'/.test(e.message));
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

function explain(e, name, root) {
  if (!(e instanceof Error)) return `cannot load "${name}": it threw ${describe(e).replace('Error: ', '')}`;
  const where = origin(e, root);
  if (e.code === 'MODULE_NOT_FOUND' || e.code === 'ERR_MODULE_NOT_FOUND') {
    const missing = (/^Cannot find (?:module|package) '([^']*)'/.exec(e.message) || [])[1];
    const from = where || requirer(e, missing, root);
    return `cannot load "${name}": cannot find module '${short(missing, root)}'${from ? ` (${from})` : ''}; is it among the dependencies?`;
  }
  return `cannot load "${name}": ${describe(e)}${where ? ` (${where})` : ''}`;
}

/** The place of a syntax error, which an ES module's error does not name. */
function whereSyntaxFails(file, root) {
  const {stderr} = require('node:child_process').spawnSync(process.execPath, ['--check', file], {encoding: 'utf8'});
  const where = origin({stack: stderr}, root);
  return where ? ` (${where})` : '';
}

function short(file, root) {
  return file && path.isAbsolute(file) ? `./${path.relative(root, file)}` : file;
}

/** Where in the function's code an error comes from: file and line. */
function origin(e, root) {
  const stack = String(e.stack).replaceAll('file://', '');
  for (const line of stack.split('\n')) {
    const at = line.indexOf(root + path.sep);
    const found = at >= 0 && /^([^:()]+):(\d+)/.exec(line.slice(at + root.length + 1));
    if (found && !line.startsWith('- ')) return `${found[1]}, line ${found[2]}`;
  }
  return undefined;
}

/** Which file wants a missing module: Node.js does not name the line. */
function requirer(e, missing, root) {
  const file = (e.requireStack || [])[0] || (/imported from (.+)$/m.exec(e.message) || [])[1];
  if (!file || !file.startsWith(root)) return undefined;
  const line = fs.readFileSync(file, 'utf8').split('\n').findIndex((l) => l.includes(missing)) + 1;
  return path.relative(root, file) + (line ? `, line ${line}` : '');
}

module.exports = {Failure, findFile, importFile};
