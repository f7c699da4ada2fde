// 13 minutes of the traffic of a busy day: up to 20 users, nine minutes of them, down.
import { call, seconds, thresholds, users } from './lib.js';

export const options = {
  stages: [
    { duration: seconds(120), target: users(20) },
    { duration: seconds(540), target: users(20) },
    { duration: seconds(120), target: 0 },
  ],
  thresholds: thresholds(1000),
};

export default call;
