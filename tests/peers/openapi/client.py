"""Makes a Python client from the description and uses it: client.py URL [URL-OR-FILE OF THE DESCRIPTION]

It posts an event, lists it and reads it again, and reads how two refusals look to it.
"""

import datetime
import importlib
import pathlib
import subprocess
import sys
import tempfile
import uuid

import description as source

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAME = "jit_audit"


def generate(location, folder):
    where = "--url" if location.startswith("http") else "--path"
    command = [pathlib.Path(sys.executable).with_name("openapi-python-client"), "generate", where, location]
    # The settings that docs/clients.md uses too.
    command += ["--config", ROOT / "docs/examples/python_client.yaml", "--meta", "none", "--output-path", folder / NAME]
    # A warning says that a part of the API is missing in the client.
    subprocess.run([*command, "--fail-on-warning"], check=True)


def use(service):
    client = importlib.import_module(NAME)
    models = importlib.import_module(f"{NAME}.models")
    events = f"{NAME}.api.events"
    post, listed, one = (importlib.import_module(f"{events}.{name}") for name in ("post_events", "list_events", "get_event"))

    def caller(**claims):
        return client.AuthenticatedClient(service, source.token(service, "client", **claims), raise_on_unexpected_status=True)

    portal = caller(scope="audit:write", client_id="portal")
    auditor = caller(scope="audit:read", email="auditor@client.example")
    now = datetime.datetime.now(datetime.timezone.utc)
    sent = {
        "id": f"client-{uuid.uuid4()}", "action": "computer.accessed", "occurred_at": now.isoformat(),
        "actor": {"type": "user", "email": "alex@nikpot.com"}, "target": {"type": "desktop", "name": "W11"}, "account": {"name": "MSP-ALEX"},
    }
    event = models.NewEvent.from_dict(sent)

    created = post.sync_detailed(client=portal, body=event)
    assert created.status_code == 201 and created.parsed.id == sent["id"], created
    assert post.sync_detailed(client=portal, body=event).status_code == 200, "the same event is a duplicate"

    page = listed.sync(client=auditor, since=(now - datetime.timedelta(minutes=1)).isoformat(), filter_='target.name eq "W11"', limit=10)
    assert [event.id for event in page.events] == [sent["id"]] and page.next_ is None, page
    assert page.events[0].to_dict() == created.parsed.to_dict()
    read = one.sync(sent["id"], client=auditor)
    assert read.message == "alex@nikpot.com logged into the Desktop W11 with account MSP-ALEX.", read

    # The service refuses with a problem document, the gateway with a message.
    problem = one.sync_detailed("client-nothing", client=auditor)
    assert problem.status_code == 404 and isinstance(problem.parsed, models.Problem) and problem.parsed.detail, problem
    nobody = client.AuthenticatedClient(service, "no-token", raise_on_unexpected_status=True)
    refused = listed.sync_detailed(client=nobody)
    assert refused.status_code == 401 and refused.parsed.message == "Unauthorized", refused
    print(f"{sent['id']} was posted, listed and read")


if __name__ == "__main__":
    url = sys.argv[1]
    with tempfile.TemporaryDirectory() as temporary:
        generate(sys.argv[2] if len(sys.argv) > 2 else f"{url}/openapi.json", pathlib.Path(temporary))
        sys.path.insert(0, temporary)
        use(url)
