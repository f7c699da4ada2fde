'use strict';
// What a file is: CommonJS, or an ES module by its package.json or its syntax.

const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');

const MODULE_SYNTAX = /import statement outside a module|Unexpected token 'export'|import\.meta' outside a module|await is only valid/;

const SDK = path.join(__dirname, 'knative-lambda');
const SDK_FILES = {
  'knative-lambda': path.join(SDK, 'index.js'),
  'knative-lambda/testing': path.join(SDK, 'testing.js'),
  'lambda-runtime': path.join(SDK, 'index.js'), // its name in images of version 1
};

/** The file of the SDK that a specifier names: the worker's own, whatever the function installs. */
function sdkFile(specifier) {
  return Object.hasOwn(SDK_FILES, specifier) ? SDK_FILES[specifier] : undefined;
}

/** The type in the nearest package.json, if it has one. */
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

/** Whether a source compiles as an ES module only. */
function hasModuleSyntax(source) {
  try {
    vm.compileFunction(source.replace(/^#!.*/, ''), ['exports', 'require', 'module', '__filename', '__dirname']);
    return false;
  } catch (e) {
    return isModuleError(e);
  }
}

/** Whether an error says that a file read as CommonJS is an ES module. */
function isModuleError(e) {
  return e instanceof SyntaxError && MODULE_SYNTAX.test(e.message);
}

module.exports = {hasModuleSyntax, isModuleError, packageType, sdkFile};
