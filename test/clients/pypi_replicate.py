"""PyPI's `replicate`, unmodified, against the whole stack behind TLS: only its base URL and its token are ours.

Run by pypi-replicate.test.ts, which sets EDGEPLANE_URL, EDGEPLANE_API_KEY and SSL_CERT_FILE.
"""

import asyncio
import io
import os
import time
import unittest
import urllib.parse

import replicate
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError

# A list shows a new prediction within half a second; a busy machine takes longer.
LIST_LAG_SECONDS = 5

WORDS = " ".join("w{}".format(index) for index in range(12))


def new_client():
    return Client(api_token=os.environ["EDGEPLANE_API_KEY"], base_url=os.environ["EDGEPLANE_URL"])


class Run(unittest.TestCase):
    def setUp(self):
        self.client = new_client()
        self.client.poll_interval = 0.1

    def test_blocks(self):
        self.assertEqual(self.client.run("local/hello-world", input={"text": "you"}), "hello you")

    def test_blocks_for_a_second_then_polls(self):
        output = self.client.run("local/stream-words", input={"text": WORDS, "delay_ms": 150}, wait=1)
        self.assertEqual("".join(output), WORDS)

    def test_yields_all_of_an_iterator_that_runs_on_behind_the_wait(self):
        version = self.client.models.get("local/stream-words").latest_version
        # Some words are there when the wait is over, and some are not.
        input = {"text": WORDS, "delay_ms": 400}
        output = self.client.run("local/stream-words:" + version.id, input=input, wait=1)
        self.assertEqual("".join(output), WORDS)

    def test_polls(self):
        output = self.client.run("local/hello-world", input={"text": "poll"}, wait=False)
        self.assertEqual(output, "hello poll")

    def test_by_version_yields_what_an_iterator_makes(self):
        version = self.client.models.get("local/stream-words").latest_version
        output = self.client.run("local/stream-words:" + version.id, input={"text": WORDS, "delay_ms": 20}, wait=False)
        self.assertEqual("".join(output), WORDS)

    def test_async(self):
        async def both():
            client = new_client()
            return await asyncio.gather(
                *(client.async_run("local/hello-world", input={"text": name}) for name in ("a", "b"))
            )

        self.assertEqual(asyncio.run(both()), ["hello a", "hello b"])

    def test_bad_input_is_named(self):
        with self.assertRaises(ReplicateError) as caught:
            self.client.run("local/hello-world", input={"text": 7})
        self.assertEqual(caught.exception.status, 422)
        self.assertIn("input.text", caught.exception.detail)

    def test_cancel(self):
        prediction = self.client.predictions.create(
            model="local/stream-words", input={"text": WORDS * 50, "delay_ms": 100}
        )
        prediction.cancel()
        prediction.wait()
        self.assertEqual(prediction.status, "canceled")


class WithoutPool(unittest.TestCase):
    """Run apart, while no pool is there."""

    def test_one_that_was_aborted_has_failed(self):
        client = new_client()
        # The client has no word for a deadline to start.
        body = {"version": "local/stream-words", "input": {"text": "late"}, "start_timeout": 1}
        late = client.predictions.get(client._request("POST", "/v1/predictions", json=body).json()["id"])
        late.wait()
        self.assertEqual(late.status, "failed")
        self.assertIn("No pool started it", late.error)
        self.assertIn(late.id, [prediction.id for prediction in client.predictions.list().results])


class Files(unittest.TestCase):
    def setUp(self):
        self.client = new_client()

    def test_in_and_out(self):
        output = self.client.run("local/shout", input={"file": io.BytesIO(b"quiet")})
        self.assertIsInstance(output, replicate.helpers.FileOutput)
        self.assertEqual(output.read(), b"QUIET")
        self.assertEqual(b"".join(output), b"QUIET")

    def test_keeps_its_name(self):
        for name in ("shouted.txt", "naïve 🎉.txt"):
            output = self.client.run("local/shout", input={"file": io.BytesIO(b"quiet"), "name": name})
            path = urllib.parse.urlsplit(output.url).path
            self.assertEqual(urllib.parse.unquote(path.rsplit("/", 1)[-1]), name)

    def test_in_as_base64(self):
        output = self.client.run(
            "local/shout", input={"file": io.BytesIO(b"inline")}, file_encoding_strategy="base64"
        )
        self.assertEqual(output.read(), b"INLINE")

    def test_created_listed_deleted(self):
        file = self.client.files.create(io.BytesIO(b"kept"), filename="kept.txt", metadata={"of": "test"})
        self.assertEqual(file.metadata, {"of": "test"})
        self.assertEqual(self.client.files.get(file.id).name, "kept.txt")
        self.assertIn(file.id, [other.id for other in self.client.files.list()])
        self.assertTrue(self.client.files.delete(file.id))


class Stream(unittest.TestCase):
    def test_yields_the_words(self):
        events = list(new_client().stream("local/stream-words", input={"text": WORDS, "delay_ms": 10}))
        self.assertEqual("".join(str(event) for event in events), WORDS)
        self.assertEqual(events[-1].event.value, "done")

    def test_async(self):
        async def read():
            stream = await new_client().async_stream("local/stream-words", input={"text": WORDS, "delay_ms": 10})
            return "".join([str(event) async for event in stream])

        self.assertEqual(asyncio.run(read()), WORDS)


class Resources(unittest.TestCase):
    def setUp(self):
        self.client = new_client()

    def test_models(self):
        made = self.client.models.create("local", "pypi-made", visibility="private", hardware="cpu", description="d")
        self.assertEqual((made.owner, made.name, made.visibility, made.run_count), ("local", "pypi-made", "private", 0))
        self.assertIn("pypi-made", [model.name for model in self.client.models.list().results])
        self.assertEqual(self.client.models.search("pypi-made").results[0].name, "pypi-made")
        model = self.client.models.get("local/hello-world")
        self.assertEqual(model.versions.get(model.latest_version.id).id, model.latest_version.id)
        self.assertEqual([version.id for version in model.versions.list().results], [model.latest_version.id])
        self.assertEqual(self.client._request("DELETE", "/v1/models/local/pypi-made").status_code, 204)

    def test_deployments(self):
        version = self.client.models.get("local/hello-world").latest_version.id
        made = self.client.deployments.create(
            name="pypi", model="local/hello-world", version=version, hardware="cpu", min_instances=0, max_instances=1
        )
        self.assertEqual(made.current_release.number, 1)
        prediction = made.predictions.create(input={"text": "deployed"})
        prediction.wait()
        self.assertEqual(prediction.output, "hello deployed")
        changed = self.client.deployments.update("local", "pypi", max_instances=2)
        self.assertEqual(changed.current_release.configuration.max_instances, 2)
        self.assertEqual([deployment.name for deployment in self.client.deployments.list()], ["pypi"])
        self.assertTrue(self.client.deployments.delete("local", "pypi"))

    def test_pages(self):
        made = {self.client.predictions.create(model="local/hello-world", input={"text": "p"}).id for _ in range(3)}
        give_up_at = time.monotonic() + LIST_LAG_SECONDS
        while True:
            seen = [one.id for page in replicate.pagination.paginate(self.client.predictions.list) for one in page]
            if made <= set(seen) or time.monotonic() > give_up_at:
                break
            time.sleep(0.05)
        self.assertLessEqual(made, set(seen))
        self.assertIsNone(self.client.predictions.list().results[0].logs)
        self.assertEqual(len(seen), len(set(seen)))

    def test_account_and_hardware(self):
        self.assertEqual(self.client.accounts.current().username, "local")
        self.assertIn("cpu", [hardware.sku for hardware in self.client.hardware.list()])

    def test_trainings_say_that_they_are_not_there(self):
        with self.assertRaises(ReplicateError) as caught:
            self.client.trainings.list()
        self.assertEqual(caught.exception.status, 501)

    def test_webhooks_validate(self):
        import http.server
        import threading

        got = []

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                got.append((self.headers, self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        secret = self.client.webhooks.default.secret()
        self.client.predictions.create(
            model="local/hello-world",
            input={"text": "hook"},
            webhook="http://127.0.0.1:{}/".format(server.server_port),
            webhook_events_filter=["completed"],
        )
        thread.join(30)
        server.server_close()
        headers, body = got[0]
        replicate.webhook.Webhooks.validate(headers=headers, body=body.decode(), secret=secret)
        with self.assertRaises(replicate.webhook.InvalidSignatureError):
            replicate.webhook.Webhooks.validate(headers=headers, body=body.decode() + " ", secret=secret)


if __name__ == "__main__":
    unittest.main(verbosity=2)
