'use strict';
// Status, headers and cookies of replies. What no HTTP reply can have is refused here,
// by name: proxies would answer 502.

const {InvalidReply, typeName} = require('./value.js');

const MAX_LINES = 90;
const MAX_LENGTH = 56 << 10;

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const BREAK = /[\0\r\n]/;

/** A status that a handler chose. */
function status(value, least = 200) {
  if (!Number.isInteger(value) || value < least || value > 599) {
    throw new InvalidReply(`the handler returned the status ${String(value)}; expected ${least} to 599`);
  }
  return value;
}

/** Pairs of an object of values or lists, of pairs, or of Headers of the web. */
function headers(given) {
  if (given === null || typeof given !== 'object') {
    throw new InvalidReply(`the handler returned headers of type ${typeName(given)}; expected an object or pairs`);
  }
  const pairs = typeof given[Symbol.iterator] === 'function' ? [...given] : Object.entries(given);
  const all = [];
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2) throw new InvalidReply('the handler returned headers that are not pairs of name and value');
    const [name, value] = pair;
    if (value === undefined || value === null) continue;
    for (const one of Array.isArray(value) ? value : [value]) all.push([checkName(name), checkValue(`header ${name}`, one)]);
  }
  return all;
}

function checkName(name) {
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new InvalidReply(`the handler returned a header with the invalid name ${JSON.stringify(String(name).slice(0, 100))}`);
  }
  return name;
}

function checkValue(what, value) {
  if (!['string', 'number', 'boolean'].includes(typeof value)) {
    throw new InvalidReply(`the handler returned the ${what} as a value of type ${typeName(value)}; expected a string`);
  }
  const text = String(value);
  if (BREAK.test(text)) throw new InvalidReply(`the handler returned the ${what} with a line break or NUL`);
  return text;
}

/** Values of Set-Cookie. */
function cookies(given) {
  if (!Array.isArray(given)) throw new InvalidReply(`the handler returned cookies of type ${typeName(given)}; expected a list of strings`);
  return given.map((value) => checkValue('cookie', value));
}

/** Whether pairs have a name, which is in lower case. */
function has(pairs, name) {
  return pairs.some(([other]) => other.toLowerCase() === name);
}

/** Refuses more than proxies let pass. */
function checkSize(pairs = [], set = []) {
  const lines = pairs.length + set.length;
  if (lines > MAX_LINES) throw new InvalidReply(`the handler returned ${lines} header lines; expected at most ${MAX_LINES}`);
  let length = 0;
  for (const [name, value] of pairs) length += Buffer.byteLength(name) + Buffer.byteLength(value);
  for (const value of set) length += 'set-cookie'.length + Buffer.byteLength(value);
  if (length > MAX_LENGTH) throw new InvalidReply(`the handler returned headers of ${length} bytes; expected at most ${MAX_LENGTH}`);
}

module.exports = {checkSize, cookies, has, headers, status};
