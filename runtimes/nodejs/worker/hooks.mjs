// The hooks for Node.js before 22.15, which loads them in a thread of their own.

import {resolve, load, initialize} from './hooks.js';

export {resolve, load, initialize};
