// The same handler as the framework wants it.
const functions = require('@google-cloud/functions-framework');

const {handler} = require('./index.js');

functions.http('handler', (req, res) => res.json(handler(req.body)));
