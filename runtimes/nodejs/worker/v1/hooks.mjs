// Resolves lambda-runtime for ES modules, which NODE_PATH is not for, and reads
// a function's .js files as ES modules where its entry is one and no package.json
// says what they are. Needed by Node.js before 22.15, which loads hooks in a
// thread of their own.

import {resolve, load, initialize} from './hooks.js';

export {resolve, load, initialize};
