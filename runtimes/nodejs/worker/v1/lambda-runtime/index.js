'use strict';
// What a function may require or import from its runtime.

const ATTRIBUTES = new Set(['specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema']);

/**
 * An error that comes again with each retry, so that the event is not sent
 * again. Any error with a property permanent of true is one too.
 */
class PermanentError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = 'PermanentError';
    this.permanent = true;
  }
}

/**
 * A CloudEvent for a handler to return, with further attributes and extensions
 * as the properties of an object. What is left out (id, source, time) is filled
 * in. The data is encoded as what a handler returns otherwise.
 */
class CloudEvent {
  constructor(type, data, attributes) {
    this.type = type;
    this.data = data;
    this.attributes = attributes || {};
  }
}

/**
 * What a handler is told besides the event's data. Attributes of the CloudEvent
 * are undefined when the request was none.
 */
class Context {
  constructor(header, logger, functionName, functionNamespace) {
    const event = header.event || {};
    this.id = event.id;
    this.type = event.type;
    this.source = event.source;
    this.subject = event.subject;
    this.time = event.time;
    this.attributes = event; // all of them, extensions too
    this.headers = header.headers || {}; // names in lower case
    this.method = header.method;
    this.path = header.path; // with the query
    this.traceparent = header.traceparent;
    this.logger = logger;
    this.functionName = functionName;
    this.functionNamespace = functionNamespace;
    this.deadline = performance.now() + (header.timeout || 0);
  }

  /** The CloudEvent's extension attributes. */
  get extensions() {
    return Object.fromEntries(Object.entries(this.attributes).filter(([name]) => !ATTRIBUTES.has(name)));
  }

  /** The trace's id, as W3C Trace Context has it, or undefined. */
  get traceId() {
    const parts = (this.traceparent || '').split('-');
    return parts.length >= 4 ? parts[1] : undefined;
  }

  /** The id of the invocation's span, as W3C Trace Context has it, or undefined. */
  get spanId() {
    const parts = (this.traceparent || '').split('-');
    return parts.length >= 4 ? parts[2] : undefined;
  }

  /** Milliseconds until the invocation is cut off. */
  remainingTime() {
    return Math.max(0, this.deadline - performance.now());
  }
}

module.exports = {CloudEvent, Context, PermanentError};
