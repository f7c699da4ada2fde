'use strict';
// The worker of both protocols: the runtime that speaks version 2 announces slots.

require(process.env.LAMBDA_WORKER_SLOTS ? './main.js' : './v1/worker.js');
