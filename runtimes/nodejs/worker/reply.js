'use strict';
// Makes a reply of what a handler returned: fields of the result frame, and a body or
// a source of its pieces.

const {NO_BODY} = require('./frames.js');
const fields = require('./fields.js');
const {bytesOf, isStream, open} = require('./source.js');
const {InvalidReply, brandOf, jsonText, typeName} = require('./value.js');

const JSON_TYPE = 'application/json';
const BYTES_TYPE = 'application/octet-stream';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const BASE64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

// Attributes that are text.
const TEXTS = new Set(['specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema']);

// The shape of responses of AWS Lambda. Data may have a field statusCode, so that all
// keys have to belong to the shape.
const AWS_KEYS = new Set(['statusCode', 'statusDescription', 'headers', 'multiValueHeaders', 'cookies', 'body', 'isBase64Encoded']);

/**
 * The reply for a value: {fields, body}, or {fields, source} with the items of a stream.
 * typed: the first item does not decide the content type. whole: the source is probably
 * short, so that its head need not be sent before its end is known. event: the request
 * was a CloudEvent.
 */
function replyOf(value, event = false) {
  if (value === null || value === undefined) return {fields: {}, body: NO_BODY};
  if (typeof value !== 'object') return {fields: {contentType: JSON_TYPE}, body: Buffer.from(jsonText(value))};
  const brand = brandOf(value);
  if (brand === 'Response') return response(value);
  if (brand === 'CloudEvent') return cloudEvent({...value.attributes, specversion: '1.0', type: value.type}, value.data);
  if ('specversion' in value && 'type' in value) return publicEvent(value);
  if (isWebResponse(value)) return webResponse(value);
  if (!event && isAWS(value)) return awsResponse(value);
  return content(value);
}

function content(value) {
  if (value === null || value === undefined) return {fields: {}, body: NO_BODY};
  const bytes = bytesOf(value);
  if (bytes !== undefined) return {fields: {contentType: BYTES_TYPE}, body: bytes};
  if (isBlob(value)) return {fields: {contentType: value.type || BYTES_TYPE}, source: open(value.stream()), whole: true};
  if (isStream(value)) return {fields: {}, source: open(value)};
  return {fields: {contentType: JSON_TYPE}, body: Buffer.from(jsonText(value))};
}

function isBlob(value) {
  return ['Blob', 'File'].includes(value[Symbol.toStringTag]) && typeof value.stream === 'function';
}

function isWebResponse(value) {
  return value[Symbol.toStringTag] === 'Response' && typeof value.arrayBuffer === 'function';
}

function isAWS(value) {
  return Number.isInteger(value.statusCode) && Object.keys(value).every((key) => AWS_KEYS.has(key));
}

function response({body, status, headers, cookies, contentType}) {
  const reply = typeof body === 'string' ? {fields: {contentType: TEXT_TYPE}, body: Buffer.from(body)} : content(body);
  return withHead(reply, status, fields.headers(headers), fields.cookies(cookies), contentType);
}

// withHead adds what the handler chose. Its content type is among the headers or given.
function withHead(reply, status, headers, cookies, contentType) {
  const chosen = {...reply.fields, status: fields.status(status)};
  if (contentType !== undefined) {
    [[, chosen.contentType]] = fields.headers([['content-type', contentType]]);
    headers = headers.filter(([name]) => name.toLowerCase() !== 'content-type');
  }
  const typed = fields.has(headers, 'content-type');
  if (typed) delete chosen.contentType;
  if (headers.length) chosen.headers = headers;
  if (cookies.length) chosen.cookies = cookies;
  fields.checkSize(headers, cookies);
  return {...reply, fields: chosen, typed};
}

function awsResponse({statusCode, headers = {}, multiValueHeaders = {}, cookies = [], body, isBase64Encoded}) {
  const given = body === undefined || body === null ? '' : body;
  if (typeof given !== 'string') throw new InvalidReply(`the handler returned a reply with statusCode whose body is of type ${typeName(body)}; expected a string`);
  if (isBase64Encoded && !BASE64.test(given)) throw new InvalidReply('the handler returned isBase64Encoded and a body that is not base64');
  const several = fields.headers(multiValueHeaders || {});
  const single = fields.headers(headers || {}).filter(([name]) => !fields.has(several, name.toLowerCase()));
  const bytes = Buffer.from(given, isBase64Encoded ? 'base64' : 'utf8');
  const reply = {fields: bytes.length ? {contentType: JSON_TYPE} : {}, body: bytes};
  return withHead(reply, statusCode, [...single, ...several], fields.cookies(cookies || []));
}

// webResponse is that of fetch, or of a package like it. Its body is a stream even where
// it is a string.
function webResponse(value) {
  if (value.bodyUsed) throw new InvalidReply('the handler returned a Response whose body has been read');
  const cookies = typeof value.headers.getSetCookie === 'function' ? value.headers.getSetCookie() : [];
  const headers = fields.headers([...value.headers].filter(([name]) => cookies.length === 0 || name !== 'set-cookie'));
  const reply = value.body ? {fields: {}, source: open(value.body), whole: true} : {fields: {}, body: NO_BODY};
  return {...reply, ...withHead(reply, value.status, headers, cookies), typed: true};
}

/** Events of the public CloudEvents SDK are written by their toJSON. */
function publicEvent(value) {
  const {data, data_base64: base64, ...attributes} = typeof value.toJSON === 'function' ? value.toJSON() : value;
  if (base64 === undefined || base64 === null) return cloudEvent(attributes, data);
  if (typeof base64 !== 'string' || !BASE64.test(base64)) throw new InvalidReply('the handler returned a CloudEvent whose data_base64 is not base64');
  return cloudEvent(attributes, Buffer.from(base64, 'base64'));
}

function cloudEvent(all, data) {
  const event = {};
  for (const [name, value] of Object.entries(all)) {
    if (value !== null && value !== undefined) event[name] = attribute(name, value);
  }
  const given = event.datacontenttype;
  if (typeof data === 'string' && given && !given.endsWith('json')) return {fields: {event, contentType: given}, body: Buffer.from(data)};
  if (data === null || data === undefined) return {fields: {event, contentType: given}, body: NO_BODY};
  const bytes = bytesOf(data);
  return {fields: {event, contentType: given || (bytes ? BYTES_TYPE : JSON_TYPE)}, body: bytes || Buffer.from(jsonText(data))};
}

// attribute is what CloudEvents has types for: text, a whole number of 32 bits, a truth
// value, a time.
function attribute(name, value) {
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
  if (typeof value === 'string') return value;
  if (!TEXTS.has(name) && (typeof value === 'boolean' || (typeof value === 'number' && (value | 0) === value))) return value;
  const what = typeof value === 'number' ? `the number ${value}` : `of type ${typeName(value)}`;
  const expected = TEXTS.has(name) ? 'text' : 'text, a whole number of 32 bits or a truth value';
  throw new InvalidReply(`the handler returned a CloudEvent that is not valid: attribute "${name}": is ${what}, expected ${expected}`);
}

module.exports = {replyOf};
