// 24 minutes of more than there should be, in three steps, and whether it recovers.
import { call, seconds, thresholds, users } from './lib.js';

export const options = {
  stages: [
    { duration: seconds(120), target: users(50) },
    { duration: seconds(300), target: users(50) },
    { duration: seconds(120), target: users(100) },
    { duration: seconds(300), target: users(100) },
    { duration: seconds(120), target: users(200) },
    { duration: seconds(300), target: users(200) },
    { duration: seconds(180), target: 0 },
  ],
  thresholds: thresholds(3000),
};

export default call;
