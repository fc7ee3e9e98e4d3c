"""Collects events from the feed: asks for what was recorded since its last position and writes it down.

AUDIT=http://127.0.0.1:8787 TOKEN=… EVENTS=events.jsonl python3 collector.py
"""
import json, os, time, urllib.parse, urllib.request

position, events = os.environ["EVENTS"] + ".position", os.environ["EVENTS"]
after = open(position).read() if os.path.exists(position) else None
while True:
    query = {"limit": 1000} | ({"after": after} if after else {})
    url = os.environ["AUDIT"] + "/v1/feed?" + urllib.parse.urlencode(query)
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
    page = json.load(urllib.request.urlopen(request))
    with open(events, "a") as file:
        for event in page["events"]:
            print(json.dumps(event), file=file)
    # Saved only after the events are written: a collector that is killed in between reads them again.
    after = page["next"]
    with open(position + ".new", "w") as file:
        file.write(after)
    os.replace(position + ".new", position)
    time.sleep(0 if page["events"] else 1)
