'use strict';
// Returns what the vectors of runtime/contract say, by the request's path.

const {CloudEvent, HTTPError, Response} = require('knative-lambda');

class ExampleError extends Error {}

async function* items(...all) {
  for (const item of all) {
    if (item instanceof Error) throw item;
    yield item;
  }
}

function raise(e) {
  throw e;
}

const vectors = {
  none: () => undefined,
  value: () => ({a: 1}),
  text: () => 'a text',
  number: () => 1.5,
  false: () => false,
  bytes: () => Buffer.from([0, 1]),
  event: () => new CloudEvent('io.example.reply', {a: 1}, {count: 3}),
  response: () => new Response({ok: true}, {status: 201, headers: {'X-A': ['1', '2']}, cookies: ['a=1', 'b=2; HttpOnly']}),
  redirect: () => new Response(undefined, {status: 302, headers: {Location: '/there'}}),
  conflict: () => new Response({why: 'there is one'}, {status: 409}),
  busy: () => new Response([], {status: 503, headers: {'Retry-After': 7}}),
  aws: () => ({statusCode: 418, headers: {'x-a': '1', 'content-type': 'text/plain'}, cookies: ['a=1'], body: 'dGVh', isBase64Encoded: true}),
  'not-aws': () => ({statusCode: 418, other: 1}),
  'stream-bytes': () => items(Buffer.from('a'), Buffer.from('b')),
  'stream-text': () => items('a', 'b'),
  'stream-values': () => items({a: 1}, {a: 2}),
  'stream-fails': () => items('a', new ExampleError('it failed')),
  error: () => raise(new ExampleError('it failed')),
  permanent: () => raise(Object.assign(new ExampleError('it failed'), {permanent: true})),
  'http-error': () => raise(new HTTPError(405, 'GET only', {headers: {Allow: 'GET'}})),
  'bad-status': () => new Response('', {status: 99}),
  'bad-header': () => new Response('', {headers: {'X-A': 'a\nb'}}),
  unserialisable: () => ({n: 1n}),
  head: () => 'a text',
  'no-content': () => new Response('x', {status: 204}),
  'not-modified': () => new Response('x', {status: 304, headers: {ETag: '"1"'}}),
  echo: (event) => event,
  context: (event, context) => ({method: context.method, path: context.path}),
};

exports.handler = (event, context) => vectors[context.path.slice(1)](event, context);
