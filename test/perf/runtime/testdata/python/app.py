from flask import Flask, jsonify, request

from main import handler

app = Flask(__name__)


@app.post("/")
def invoke():
    return jsonify(handler(request.get_json(), None))
