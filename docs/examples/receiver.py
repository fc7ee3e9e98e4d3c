"""Receives a stream: verifies each request's signature and writes each event once.

SECRET=whsec_… PORT=8191 EVENTS=events.jsonl python3 receiver.py
"""
import base64, hashlib, hmac, http.server, json, os, time

key, events = base64.b64decode(os.environ["SECRET"].removeprefix("whsec_")), os.environ["EVENTS"]
seen = {json.loads(line)["id"] for line in open(events)} if os.path.exists(events) else set()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        signed = ".".join([self.headers["webhook-id"], self.headers["webhook-timestamp"], body.decode()])
        right = "v1," + base64.b64encode(hmac.digest(key, signed.encode(), hashlib.sha256)).decode()
        is_signed = any(hmac.compare_digest(right, one) for one in self.headers["webhook-signature"].split())
        is_new = abs(time.time() - int(self.headers["webhook-timestamp"])) < 300
        if is_signed and is_new:
            with open(events, "a") as file:
                # A test message holds no events.
                for event in json.loads(body).get("events", []):
                    if event["id"] not in seen:
                        print(json.dumps(event), file=file)
                    seen.add(event["id"])
        self.send_response(200 if is_signed and is_new else 401)
        self.end_headers()

    def log_message(self, *arguments):
        pass


http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
