"""Checks the files beside an export's manifest against it: python3 verify_export.py audit-trail-manifest.json"""
import hashlib, json, pathlib, sys

path = pathlib.Path(sys.argv[1])
is_wrong = False
for file in json.loads(path.read_text())["files"]:
    with open(path.with_name(file["name"]), "rb") as content:
        is_same = hashlib.file_digest(content, "sha256").hexdigest() == file["sha256"]
    print(file["name"] + ":", "OK" if is_same else "DIFFERENT")
    is_wrong = is_wrong or not is_same
sys.exit(is_wrong)
