'use strict';
// Hooks for ES modules: see loader.js.

const {pathToFileURL} = require('node:url');

const settings = {runtime: undefined, root: undefined, modules: false};

/** data: runtime is the path of lambda-runtime, root the folder whose .js files are ES modules, if modules. */
function initialize(data) {
  settings.runtime = pathToFileURL(data.runtime).href;
  settings.root = `${pathToFileURL(data.root).href}/`;
  settings.modules = data.modules;
}

function resolve(specifier, context, next) {
  if (specifier === 'lambda-runtime') return {url: settings.runtime, format: 'commonjs', shortCircuit: true};
  return next(specifier, context);
}

function load(url, context, next) {
  const own = url.startsWith(settings.root) && url.endsWith('.js') && !url.includes('/node_modules/');
  if (settings.modules && own) return next(url, {...context, format: 'module'});
  return next(url, context);
}

module.exports = {initialize, load, resolve};
