// What the load tests have in common. Their environment:
//
//   TARGET     URL of the function
//   HOST       its host name, where TARGET is the address of an ingress
//   BODY       what is posted to it: JSON, {} by default
//   SCALE      how much of its length a test has: 1 by default
//   USERS      how much of its users: 1 by default
//   MAX_P95    milliseconds in which 95 % of the requests have to be answered
//   MAX_FAILED part of the requests that may fail: 0.01 by default
import http from 'k6/http';
import { sleep } from 'k6';

const length = number('SCALE', 1);
const crowd = number('USERS', 1);

function number(name, otherwise) {
  const value = Number(__ENV[name] || otherwise);
  if (!(value > 0)) {
    throw new Error(`${name}: ${__ENV[name]} is not a number above 0`);
  }
  return value;
}

function target() {
  if (!/^https?:\/\//.test(__ENV.TARGET || '')) {
    throw new Error('TARGET: give the URL of a function, such as http://hello-python.default.example.com');
  }
  return __ENV.TARGET;
}

// seconds is a duration as k6 takes it.
export function seconds(n) {
  return `${Math.max(1, Math.round(n * length))}s`;
}

// users is a number of users that call at the same time.
export function users(n) {
  return Math.max(1, Math.round(n * crowd));
}

// thresholds make k6 exit with 99 where they are not met.
export function thresholds(p95) {
  return {
    http_req_failed: [`rate<${number('MAX_FAILED', 0.01)}`],
    http_req_duration: [`p(95)<${number('MAX_P95', p95)}`],
    http_reqs: ['count>0'],
  };
}

const url = target();
const headers = { 'Content-Type': 'application/json' };
if (__ENV.HOST) {
  headers.Host = __ENV.HOST;
}

// call is one request of a user, who then waits for half a second.
export function call() {
  http.post(url, __ENV.BODY || '{}', { headers, timeout: '30s' });
  sleep(0.5);
}
