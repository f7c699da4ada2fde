import type {Context, HeadersInit} from './index.js';

export interface FakeContext extends Context {
  /** What the handler logged by context.logger. */
  readonly logs: {severity: string; message: string}[];
  cancel(reason?: 'timeout' | 'disconnect'): void;
  stop(): void;
  /** Calls a function that finds this context by currentContext(). */
  run<A extends unknown[], R>(call: (...args: A) => R, ...args: A): R;
}

export interface FakeOptions {
  /** Attributes of the CloudEvent; absent for a plain request. */
  event?: Record<string, string | number | boolean>;
  method?: string;
  /** With the query. */
  path?: string;
  headers?: HeadersInit;
  body?: string | Uint8Array;
  /** Milliseconds. */
  timeout?: number;
  traceparent?: string;
  functionName?: string;
  functionNamespace?: string;
}

export function fakeContext(options?: FakeOptions): FakeContext;
