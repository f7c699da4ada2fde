'use strict';
// Decoding of requests and encoding of what handlers return.

const assert = require('node:assert/strict');
const {test} = require('node:test');

const {BadInput, InvalidReply, decode, encode} = require('../../worker/v1/codec.js');
const {CloudEvent} = require('../../worker/v1/lambda-runtime');

test('decodes by content type', () => {
  for (const [contentType, body, want] of [
    ['application/json', '{"a": [1, null]}', {a: [1, null]}],
    ['Application/JSON ; charset=utf-8', '1', 1],
    ['application/cloudevents+json', '{}', {}],
    ['', '[1]', [1]],
    [undefined, '[1]', [1]],
    ['', Buffer.from([0xff]), Buffer.from([0xff])],
    ['text/plain', 'é', 'é'],
    ['text/csv; header=present; charset="utf-16le"', Buffer.from('é', 'utf16le'), 'é'],
    ['application/xml', '<a/>', '<a/>'],
    ['image/png', Buffer.from([0x89]), Buffer.from([0x89])],
    ['application/json', '', null],
    ['text/plain', '', null],
  ]) {
    assert.deepEqual(decode(contentType, Buffer.from(body)), want, contentType);
  }
});

test('refuses what is not what it says', () => {
  for (const [contentType, body] of [['application/json', '{'], ['text/plain', Buffer.from([0xff])], ['text/plain; charset=none', 'x']]) {
    assert.throws(() => decode(contentType, Buffer.from(body)), (e) => e instanceof BadInput && /announces/.test(e.message), contentType);
  }
});

test('encodes values', () => {
  for (const [value, fields, body] of [
    [undefined, {}, ''],
    [null, {}, ''],
    [{}, {contentType: 'application/json'}, '{}'],
    ['a', {contentType: 'application/json'}, '"a"'],
    [{a: null}, {contentType: 'application/json'}, '{"a":null}'],
    [new Uint8Array([0]), {contentType: 'application/octet-stream'}, '\0'],
    [new Uint16Array([1, 2]).subarray(1), {contentType: 'application/octet-stream'}, '\x02\0'],
    [new ArrayBuffer(1), {contentType: 'application/octet-stream'}, '\0'],
    [Buffer.alloc(0), {contentType: 'application/octet-stream'}, ''],
    [{type: 'no event'}, {contentType: 'application/json'}, '{"type":"no event"}'],
  ]) {
    const [got, data] = encode(value);
    assert.deepEqual([got, data.toString()], [fields, body]);
  }
});

test('encodes events', () => {
  const sdk = {toJSON: () => ({specversion: '1.0', id: '1', type: 't', data: [1]}), specversion: '1.0', type: 't'};
  for (const [value, event, contentType, body] of [
    [new CloudEvent('t'), {specversion: '1.0', type: 't'}, '', ''],
    [new CloudEvent('t', [1], {subject: 's', ext: 2, none: null, time: new Date(0)}),
      {specversion: '1.0', type: 't', subject: 's', ext: 2, time: '1970-01-01T00:00:00.000Z'}, 'application/json', '[1]'],
    [new CloudEvent('t', 'é', {datacontenttype: 'text/plain'}), {specversion: '1.0', type: 't', datacontenttype: 'text/plain'}, 'text/plain', 'é'],
    [new CloudEvent('t', 'é', {datacontenttype: 'application/json'}), {specversion: '1.0', type: 't', datacontenttype: 'application/json'}, 'application/json', '"é"'],
    [{specversion: '1.0', type: 't', data_base64: 'AAE='}, {specversion: '1.0', type: 't'}, 'application/octet-stream', '\0\x01'],
    [sdk, {specversion: '1.0', id: '1', type: 't'}, 'application/json', '[1]'],
  ]) {
    const [fields, data] = encode(value);
    assert.deepEqual([fields, data.toString()], [{event, contentType}, body]);
  }
});

test('does not change what the handler keeps', () => {
  const kept = {specversion: '1.0', type: 't', data: {a: 1}};
  encode(kept);
  assert.deepEqual(kept, {specversion: '1.0', type: 't', data: {a: 1}});
});

test('refuses what cannot be sent', () => {
  const circle = {};
  circle.circle = circle;
  for (const [value, message] of [
    [() => 1, /type function that cannot be written as JSON/],
    [Symbol('s'), /type symbol/],
    [10n, /type bigint/],
    [circle, /type Object .*circular/],
    [NaN, /type number .*NaN is not a number of JSON/],
    [{deep: [Infinity]}, /Infinity is not/],
    [new CloudEvent('t', 1n), /type bigint/],
    [new CloudEvent('t', null, {ext: [1]}), /attribute that is no text.*: ext/],
    [{specversion: '1.0', type: 't', data_base64: 'A'}, /data_base64 is not base64/],
  ]) {
    assert.throws(() => encode(value), (e) => e instanceof InvalidReply && message.test(e.message), String(message));
  }
});
