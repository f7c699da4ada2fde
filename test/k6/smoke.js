// 30 seconds of one user: does it answer at all?
import { call, seconds, thresholds } from './lib.js';

export const options = {
  vus: 1,
  duration: seconds(30),
  thresholds: thresholds(1000),
};

export default call;
