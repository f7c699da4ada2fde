'use strict';
// Makes a handler's event from a request: by content type, or from a parsed form.

const {isUtf8} = require('node:buffer');

const {lists} = require('./knative-lambda/context.js');

const JSON_TYPE = 'application/json';
const FORM_TYPES = new Set(['application/x-www-form-urlencoded', 'multipart/form-data']);

/** The request's body is not what its content type says. */
class BadInput extends Error {}

/** The event of a call: null for no body. */
function decode(header, body) {
  if (header.form || header.parts) return form(header, body);
  if (body.length === 0) return null;
  const contentType = header.contentType || '';
  if (contentType === JSON_TYPE) return parse(contentType, body); // the usual case
  const [first, ...parameters] = contentType.split(';');
  const media = first.trim().toLowerCase();
  if (media === '') return guess(body, body);
  if (media === JSON_TYPE || media.endsWith('+json')) return parse(media, body);
  if (FORM_TYPES.has(media)) return guess(body, {});
  if (media.startsWith('text/') || media === 'application/xml') return text(contentType, charset(parameters), body);
  return body;
}

// form makes an object of the fields: a value, or a list where a name comes several
// times. Files have name, type and bytes.
function form({form: fields = [], parts = []}, body) {
  const files = parts.map(({name, filename, contentType, offset, length}) =>
    [name, {name: filename, type: contentType, bytes: body.subarray(offset, offset + length)}]);
  const all = Object.entries(lists([...fields, ...files]));
  return Object.fromEntries(all.map(([name, values]) => [name, values.length === 1 ? values[0] : values]));
}

function guess(body, otherwise) {
  try {
    return parse('', body);
  } catch {
    return otherwise;
  }
}

function parse(media, body) {
  if (!isUtf8(body)) throw new BadInput(`the body is not the JSON that its content type ${media} announces: it is not UTF-8`);
  const mark = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0;
  try {
    return JSON.parse(body.toString('utf8', mark));
  } catch (e) {
    throw new BadInput(`the body is not the JSON that its content type ${media} announces: ${e.message}`);
  }
}

function charset(parameters) {
  for (const parameter of parameters) {
    const [name, value = ''] = parameter.split('=');
    if (name.trim().toLowerCase() === 'charset') return value.trim().replace(/^"|"$/g, '');
  }
  return 'utf-8';
}

function text(contentType, label, body) {
  try {
    return new TextDecoder(label, {fatal: true, ignoreBOM: true}).decode(body);
  } catch (e) {
    throw new BadInput(`the body is not the text that its content type ${contentType} announces: ${e.message}`);
  }
}

module.exports = {BadInput, decode};
