#!/usr/bin/env python3
"""An example of the four programs that a `command` provider needs (docs/providers.md), for a cloud with a REST API.

    my-cloud.py offers | list | create | destroy        with JSON on standard input, and on standard output

The cloud's address is in MY_CLOUD_URL, its key in MY_CLOUD_KEY. Replace the paths and the names of fields with your
cloud's own. The standard library of Python 3.8 is enough.
"""

import json
import os
import sys
import urllib.error
import urllib.request

START = "curl -fsSL --retry 5 $EDGEPLANE_URL/pool/install.sh | EDGEPLANE_START=foreground sh"
STATES = {"pending": "creating", "starting": "booting", "active": "running", "deleting": "stopping", "failed": "ended"}


class Refusal(Exception):
    """The cloud said no, and nothing was done."""

    def __init__(self, error, message, retry_after_ms=None):
        super().__init__(message)
        self.answer = {"error": error, "message": message}
        if retry_after_ms is not None:
            self.answer["retryAfterMs"] = retry_after_ms


def call(method, path, body=None):
    request = urllib.request.Request(
        os.environ["MY_CLOUD_URL"] + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + os.environ["MY_CLOUD_KEY"], "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read() or b"{}")
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")[:300]
        if error.code == 404 and method == "DELETE":
            return {}
        if error.code == 429:
            raise Refusal("rate_limited", said, 1000 * int(error.headers.get("Retry-After", "10")))
        if error.code == 409:
            raise Refusal("sold_out", said, 60_000)
        if error.code < 500:
            raise Refusal("invalid" if error.code in (400, 422) else "refused", said)
        # Of a 5xx nobody knows what was done: ending with an error says so, and the list will tell.
        raise


def offers(_):
    return {
        "offers": [
            {
                "id": plan["id"],
                "hardware": plan["gpu"],
                "devices": plan["gpus"],
                "pricePerHourNano": round(plan["usd_per_hour"] * 1_000_000_000),
                "currency": "USD",
                "billingIncrementS": 60,
                "spot": False,
                "region": plan["region"],
                "available": plan["free"],
            }
            for plan in call("GET", "/plans")["plans"]
        ]
    }


def list_machines(_):
    machines = call("GET", "/servers")["servers"]
    return {
        "machines": [
            {
                "providerId": machine["id"],
                "name": machine["name"],
                "offer": machine["plan"],
                "state": STATES[machine["status"]],
                "createdAtMs": machine["created_at"] * 1000,
            }
            for machine in machines
        ]
    }


def create(order):
    environment = {
        "EDGEPLANE_URL": order["edgeUrl"],
        "EDGEPLANE_POOL_TOKEN": order["poolToken"],
        "EDGEPLANE_POOL_NAME": order["name"],
    }
    body = {"name": order["name"], "plan": order["offer"], "environment": environment, "start": START}
    return {"providerId": call("POST", "/servers", body)["id"]}


def destroy(which):
    call("DELETE", "/servers/" + which["providerId"])
    return {}


CALLS = {"offers": offers, "list": list_machines, "create": create, "destroy": destroy}

if __name__ == "__main__":
    try:
        answer = CALLS[sys.argv[1]](json.load(sys.stdin))
    except Refusal as refusal:
        answer = refusal.answer
    json.dump(answer, sys.stdout)
