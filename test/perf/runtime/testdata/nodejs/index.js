exports.handler = (event) => ({message: `Hello, ${event.name}!`});
