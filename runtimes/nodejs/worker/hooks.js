'use strict';
// Hooks for ES modules: see modules.js.

const fs = require('node:fs');
const {fileURLToPath, pathToFileURL} = require('node:url');

const {hasModuleSyntax, packageType, sdkFile} = require('./format.js');

// Newer versions of Node.js find ES modules by their syntax themselves.
const DETECTS = process.features.require_module === true;

const settings = {root: undefined};

/** data: root is the folder of the function. */
function initialize(data) {
  settings.root = data.root;
}

function resolve(specifier, context, next) {
  const file = sdkFile(specifier);
  if (file) return {url: pathToFileURL(file).href, format: 'commonjs', shortCircuit: true};
  return next(specifier, context);
}

function load(url, context, next) {
  if (DETECTS || !url.endsWith('.js') || context.format === 'module' || url.includes('/node_modules/')) return next(url, context);
  const file = fileURLToPath(url);
  if (!file.startsWith(settings.root) || packageType(file, settings.root)) return next(url, context);
  return next(url, {...context, format: hasModuleSyntax(fs.readFileSync(file, 'utf8')) ? 'module' : 'commonjs'});
}

module.exports = {initialize, load, resolve};
