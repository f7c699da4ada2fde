'use strict';
// Decodes what comes in by its content type, and encodes what handlers return.

const {CloudEvent} = require('./lambda-runtime');

const JSON_TYPE = 'application/json';
const BYTES_TYPE = 'application/octet-stream';

/** The request's body is not what its content type says. */
class BadInput extends Error {}

/** The handler returned what cannot be sent. */
class InvalidReply extends Error {
  constructor(message) {
    super(message);
    this.name = 'InvalidReply';
  }
}

/** Decodes a body: JSON, text, or the bytes as they are. */
function decode(contentType, body) {
  if (body.length === 0) return null;
  if (contentType === JSON_TYPE) return parse(contentType, body); // the usual case
  const [first, ...parameters] = (contentType || '').split(';');
  const media = first.trim().toLowerCase();
  if (media === '') {
    try {
      return JSON.parse(text('utf-8', body));
    } catch {
      return body;
    }
  }
  if (media === JSON_TYPE || media.endsWith('+json')) return parse(media, body);
  if (media.startsWith('text/') || media === 'application/xml') {
    try {
      return text(charset(parameters), body);
    } catch (e) {
      throw new BadInput(`the body is not the text that its content type ${contentType} announces: ${e.message}`);
    }
  }
  return body;
}

function parse(media, body) {
  try {
    return JSON.parse(body.toString('utf8'));
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

function text(label, body) {
  return new TextDecoder(label, {fatal: true, ignoreBOM: true}).decode(body);
}

/** Encodes what a handler returned: [fields of the frame's header, body]. */
function encode(value) {
  if (value === null || value === undefined) return [{}, Buffer.alloc(0)];
  if (value instanceof CloudEvent) return encodeEvent({...value.attributes, specversion: '1.0', type: value.type}, value.data);
  if (typeof value === 'object' && 'specversion' in value && 'type' in value) {
    // The public CloudEvents SDK's events are written by their toJSON.
    const {data, data_base64: base64, ...attributes} = typeof value.toJSON === 'function' ? value.toJSON() : value;
    if (base64 === undefined || base64 === null) return encodeEvent(attributes, data);
    if (typeof base64 !== 'string' || !/^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64)) {
      throw new InvalidReply('the handler returned a CloudEvent whose data_base64 is not base64');
    }
    return encodeEvent(attributes, Buffer.from(base64, 'base64'));
  }
  return encodeData(value);
}

function encodeData(value) {
  if (value === null || value === undefined) return [{}, Buffer.alloc(0)];
  if (ArrayBuffer.isView(value)) return [{contentType: BYTES_TYPE}, Buffer.from(value.buffer, value.byteOffset, value.byteLength)];
  if (value instanceof ArrayBuffer) return [{contentType: BYTES_TYPE}, Buffer.from(value)];
  return [{contentType: JSON_TYPE}, Buffer.from(stringify(value))];
}

function stringify(value) {
  let json;
  try {
    json = JSON.stringify(value);
    // JSON.stringify makes null of numbers that JSON does not have.
    if (json !== undefined && json.includes('null')) JSON.stringify(value, refuseNaN);
  } catch (e) {
    throw new InvalidReply(`the handler returned a value of type ${typeName(value)} that cannot be written as JSON: ${e.message.split('\n')[0]}`);
  }
  if (json === undefined) throw new InvalidReply(`the handler returned a value of type ${typeName(value)} that cannot be written as JSON`);
  return json;
}

function refuseNaN(_, value) {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError(`${value} is not a number of JSON`);
  return value;
}

function typeName(value) {
  return typeof value === 'object' ? (value.constructor && value.constructor.name) || 'object' : typeof value;
}

function encodeEvent(all, data) {
  const attributes = {};
  for (const [name, value] of Object.entries(all)) {
    if (value === null || value === undefined) continue;
    attributes[name] = value instanceof Date ? value.toISOString() : value;
    if (typeof attributes[name] === 'object' || !['string', 'number', 'boolean'].includes(typeof attributes[name]) || Number.isNaN(value)) {
      throw new InvalidReply(`the handler returned a CloudEvent with an attribute that is no text, number or truth value: ${name}`);
    }
  }
  const given = attributes.datacontenttype;
  if (typeof data === 'string' && given && !given.endsWith('json')) return [{event: attributes, contentType: given}, Buffer.from(data)];
  const [fields, body] = encodeData(data);
  return [{event: attributes, contentType: given || fields.contentType || ''}, body];
}

module.exports = {BadInput, InvalidReply, decode, encode};
