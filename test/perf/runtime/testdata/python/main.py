def handler(event, context):
    return {"message": "Hello, %s!" % event["name"]}
