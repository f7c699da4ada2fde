'use strict';
// What values are, and their JSON.

const BRAND = Symbol.for('knative-lambda.brand');

/** The handler returned what cannot be sent. */
class InvalidReply extends Error {
  constructor(message) {
    super(message);
    this.name = 'InvalidReply';
  }
}

/** The class of the SDK that a value is of; undefined for others. */
function brandOf(value) {
  return value !== null && (typeof value === 'object' || typeof value === 'function') ? value[BRAND] : undefined;
}

function typeName(value) {
  if (value === null || typeof value !== 'object') return value === null ? 'null' : typeof value;
  return (value.constructor && value.constructor.name) || 'object';
}

/** The JSON of a value. */
function jsonText(value) {
  let json;
  try {
    json = JSON.stringify(value);
    // JSON.stringify writes numbers that JSON does not have as null.
    if (json !== undefined && json.includes('null')) JSON.stringify(value, refuseNaN);
  } catch (e) {
    throw new InvalidReply(`the handler returned a value of type ${typeName(value)} that cannot be written as JSON: ${String(e && e.message).split('\n')[0]}`);
  }
  if (json === undefined) throw new InvalidReply(`the handler returned a value of type ${typeName(value)} that cannot be written as JSON`);
  return json;
}

function refuseNaN(_, value) {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError(`${value} is not a number of JSON`);
  return value;
}

module.exports = {InvalidReply, brandOf, jsonText, typeName};
