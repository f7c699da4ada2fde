'use strict';
// Loads the handler and finds out what kind it is.

const {decode} = require('./decode.js');
const {Redirect, serve, serverOf} = require('./listener.js');
const {Failure, findFile, importFile} = require('./modules.js');
const {brandOf} = require('./value.js');

// Methods by which apps are recognized: of Express, Fastify, Koa and http.Server.
const LISTENERS = [['handle', 'listen'], ['routing', 'ready'], ['callback', 'listen'], ['listen', 'address', 'getConnections']];

const INTERFACES = ['auto', 'handler', 'listener', 'fetch'];

/**
 * Loads <module>.<export> from the folder root. The result has interface, and either
 * perform(call), which calls the handler, or address and close of a listener.
 */
async function load({handler, root, chosen = 'auto', logger, signal}) {
  if (!INTERFACES.includes(chosen)) throw new Failure(`spec.runtime.interface: ${chosen} is not for Node.js; expected ${INTERFACES.join(', ')}`);
  const dot = handler.lastIndexOf('.');
  const name = handler.slice(0, dot);
  const exported = handler.slice(dot + 1);
  if (dot < 1 || !exported) throw new Failure(`handler "${handler}" is not of the form <module>.<export>; set spec.runtime.handler`);
  const file = findFile(name, root, handler);
  const redirect = new Redirect();
  const exports = await importFile(file, name, root);
  let found = await lookUp(exports, exported);
  if (found === undefined && functions(exports).length === 0) found = await Promise.race([redirect.found, idle(signal)]);
  if (found === undefined) throw new Failure(notFound(handler, name, exports));
  const kind = chosen === 'auto' ? kindOf(found) : chosen;
  redirect.end(kind === 'listener');
  if (kind === 'listener') return listener(found, redirect.server, handler, logger);
  return kind === 'fetch' ? fetcher(found, handler) : plain(found, handler);
}

// lookUp finds an export, also one of the default export. The usual name "handler"
// stands for the module itself, too, where that is a function or an app.
async function lookUp(exports, exported) {
  const all = membersOf(exports);
  const whole = await all.default; // apps may be made asynchronously
  if (all[exported] !== undefined) return exported === 'default' ? whole : all[exported];
  const member = whole && whole[exported];
  if (typeof member === 'function' && kindOf(whole) === undefined) return brandOf(member) ? member : member.bind(whole);
  return exported === 'handler' && kindOf(whole) ? whole : undefined;
}

// membersOf has what a module exports by name, and as default the module itself where
// it is a function or an app.
function membersOf(exports) {
  if (typeof exports === 'function') return {...exports, default: exports};
  const all = exports || {};
  return 'default' in all || !kindOf(all) ? all : {...all, default: all};
}

/** The names of exported functions. */
function functions(exports) {
  const all = membersOf(exports);
  const names = new Set([...Object.keys(all), ...Object.keys(all.default || {})]);
  return [...names].filter((k) => typeof all[k] === 'function' || (all.default && typeof all.default[k] === 'function')).sort();
}

/** Resolves to nothing when the process has nothing to do any more: it will not listen. */
function idle(signal) {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined), {once: true}));
}

function notFound(handler, name, exports) {
  return `handler "${handler}" not found: module "${name}" exports ${functions(exports).join(', ') || 'no function'}; set spec.runtime.handler`;
}

/** What a value is: fetch, listener, handler, or none of them. */
function kindOf(value) {
  if (value === null || !['object', 'function'].includes(typeof value)) return undefined;
  const has = (...names) => names.every((name) => typeof value[name] === 'function');
  if (has('fetch')) return 'fetch';
  if (brandOf(value) === 'listener' || LISTENERS.some((names) => has(...names))) return 'listener';
  return typeof value === 'function' ? 'handler' : undefined;
}

async function listener(app, redirected, handler, logger) {
  if (typeof app !== 'function' && kindOf(app) !== 'listener') {
    throw new Failure(`handler "${handler}" is a ${typeof app}, not a listener; set spec.runtime.interface or spec.runtime.handler`);
  }
  const {server, close} = await serverOf(app, redirected);
  logger.info('%s serves HTTP itself', handler);
  return {interface: 'listener', address: await serve(server, server === redirected, logger), close};
}

function fetcher(found, handler) {
  const app = typeof found === 'function' && typeof found.fetch !== 'function' ? {fetch: found} : found;
  if (typeof app.fetch !== 'function') throw new Failure(`handler "${handler}" has no function fetch; set spec.runtime.interface or spec.runtime.handler`);
  const {callFetch} = require('./fetch.js');
  return {interface: 'fetch', requestStream: true, perform: (call) => callFetch(app, call)};
}

function plain(found, handler) {
  if (typeof found !== 'function') throw new Failure(`handler "${handler}" is a ${typeof found}, not a function or an app; set spec.runtime.handler`);
  if (found.length > 2) {
    throw new Failure(`handler "${handler}" takes ${found.length} parameters; expected (event, context), and a promise instead of a callback`);
  }
  const streams = brandOf(found) === 'requestStream';
  const whole = ({event, form, parts}) => !streams || event || form || parts;
  const perform = (call) => found(whole(call.header) ? decode(call.header, call.body) : null, call.context);
  return {interface: 'handler', requestStream: streams || undefined, perform};
}

module.exports = {load};
