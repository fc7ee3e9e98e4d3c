"""A SCIM 2.0 directory that keeps its accounts in memory, for docs/windows.md: python3 scim_directory.py PORT TOKEN"""
import http.server, json, re, sys, urllib.parse, uuid

PORT, TOKEN = int(sys.argv[1]), sys.argv[2]
ACCOUNTS = {}


class Directory(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/scim+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def error(self, status, detail):
        schemas = ["urn:ietf:params:scim:api:messages:2.0:Error"]
        self.answer(status, {"schemas": schemas, "status": str(status), "detail": detail})

    def handle_request(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.error(401, "The token is wrong.")
        url = urllib.parse.urlsplit(self.path)
        account = ACCOUNTS.get(url.path.removeprefix("/Users/"))
        if url.path == "/Users" and self.command == "POST":
            account = json.loads(body) | {"id": str(uuid.uuid4())}
            ACCOUNTS[account["id"]] = account
            return self.answer(201, account)
        if url.path == "/Users":
            return self.list_accounts(urllib.parse.parse_qs(url.query))
        if not account:
            return self.error(404, "No account has this id.")
        if self.command == "PATCH":
            for operation in json.loads(body)["Operations"]:
                account[operation["path"]] = operation["value"]
        self.answer(200, account)

    def list_accounts(self, query):
        start, count = int(query.get("startIndex", ["1"])[0]), int(query.get("count", ["100"])[0])
        found = list(ACCOUNTS.values())
        if "filter" in query:
            match = re.fullmatch(r'userName (eq|sw) "(.*)"', query["filter"][0])
            if not match:
                return self.error(400, "Only userName eq and userName sw are supported.")
            operator, text = match.groups()
            matches = str.__eq__ if operator == "eq" else str.startswith
            found = [account for account in found if matches(account["userName"].lower(), text.lower())]
        page = found[start - 1 : start - 1 + count]
        self.answer(200, {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": len(found), "startIndex": start, "itemsPerPage": len(page), "Resources": page,
        })

    do_GET = do_POST = do_PATCH = handle_request

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Directory).serve_forever()
