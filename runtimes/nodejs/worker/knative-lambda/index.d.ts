/// <reference types="node" />
import type {IncomingMessage, ServerResponse} from 'node:http';
import type {Readable} from 'node:stream';

/** Bytes, text, a stream of either, or a value that is sent as JSON. */
export type Body = unknown;

export type HeadersInit = Record<string, string | number | readonly (string | number)[]> | Iterable<readonly [string, string]>;

export interface ResponseInit {
  /** 200 to 599; default 200. */
  status?: number;
  headers?: HeadersInit;
  /** Values of Set-Cookie headers. */
  cookies?: readonly string[];
  contentType?: string;
}

/** An HTTP response. */
export class Response {
  constructor(body?: Body, init?: ResponseInit);
  body: Body;
  status: number;
  headers: HeadersInit;
  cookies: readonly string[];
  contentType?: string;
}

/** An error that is answered with its status, 400 to 599, and its headers. */
export class HTTPError extends Error {
  constructor(status: number, message?: string, options?: {headers?: HeadersInit; cause?: unknown});
  readonly status: number;
  readonly headers: HeadersInit;
}

/** An error that no retry resolves: the event is not sent again. */
export class PermanentError extends Error {
  constructor(message?: string, options?: {cause?: unknown});
  readonly permanent: true;
}

export type Attribute = string | number | boolean | Date | null | undefined;

/** A CloudEvent to return. id, source and time have defaults. */
export class CloudEvent<T = unknown> {
  constructor(type: string, data?: T, attributes?: Record<string, Attribute>);
  type: string;
  data?: T;
  attributes: Record<string, Attribute>;
}

export interface ServerSentEvent {
  readonly data: unknown;
  toString(): string;
}

/** A server-sent event to yield: the stream's content type is text/event-stream. */
export function sse(data: unknown, fields?: {event?: string; id?: string; retry?: number}): ServerSentEvent;

export interface Logger {
  debug(...args: unknown[]): void;
  info(...args: unknown[]): void;
  warn(...args: unknown[]): void;
  warning(...args: unknown[]): void;
  error(...args: unknown[]): void;
}

/** The HTTP request of a call. */
export interface HTTPRequest {
  readonly method: string;
  /** As sent, percent-encoded, without the query. */
  readonly path: string;
  /** Path and query. */
  readonly url: string;
  /** The query as sent, without the "?". */
  readonly rawQuery: string;
  readonly query: URLSearchParams;
  /** By name in lower case; several of one name are joined. */
  readonly headers: Record<string, string | undefined>;
  /** By name in lower case, each a list of values. */
  readonly headersDistinct: Record<string, string[] | undefined>;
  readonly cookies: Record<string, string | undefined>;
  /** The body's bytes; undefined for handlers of requestStream. */
  readonly body: Buffer | undefined;
  stream(): Readable;
}

/** What a handler gets besides the event's data. */
export interface Context {
  /** Attributes of the CloudEvent; undefined for plain requests. */
  readonly id?: string;
  readonly type?: string;
  readonly source?: string;
  readonly subject?: string;
  readonly time?: string;
  readonly attributes: Record<string, string | number | boolean>;
  readonly extensions: Record<string, string | number | boolean>;
  readonly request: HTTPRequest;
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string | undefined>;
  readonly traceparent?: string;
  readonly tracestate?: string;
  readonly traceId?: string;
  readonly spanId?: string;
  readonly logger: Logger;
  readonly functionName?: string;
  readonly functionNamespace?: string;
  /** The call's timeout has passed, or its client has disconnected. */
  readonly signal: AbortSignal;
  readonly cancelled: boolean;
  /** Whether the pod stops. Long streams should end then. */
  readonly stopping: boolean;
  readonly stopSignal: AbortSignal;
  /** Milliseconds until the call's timeout. */
  remainingTime(): number;
}

export type Handler<In = any, Out = unknown> = (event: In, context: Context) => Out | Promise<Out> | AsyncIterable<Out> | Iterable<Out>;

/** Marks a function (request, response) of node:http as the handler. */
export function http<T extends (request: IncomingMessage, response: ServerResponse) => unknown>(listener: T): T;

/** Marks a handler that reads request bodies as they arrive, from context.request.stream(). */
export function requestStream<T extends Handler>(handler: T): T;

/** The context of the call that runs this code; undefined outside of calls. */
export function currentContext(): Context | undefined;
