"""The embedder of a folder behind Ray Serve: batches of at most 32, gathered for at most 5 ms.

    python ray_server.py FOLDER PORT
"""

import base64
import sys
import time
from typing import Any, Dict, List

import ray
from ray import serve
from starlette.requests import Request

folder, port = sys.argv[1:3]


@serve.deployment(num_replicas=1, max_ongoing_requests=128)
class Embeddings:
    def __init__(self, folder: str) -> None:
        sys.path.insert(0, folder)
        from embedder import Embedder

        self.embedder = Embedder()
        self.embedder.embed(["warm up"])

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.005)
    async def embed(self, texts: List[str]) -> List[str]:
        return [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in self.embedder.embed(texts)]

    async def __call__(self, request: Request) -> Dict[str, Any]:
        body = await request.json()
        return {"output": [await self.embed(body["input"]["text"])]}


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
    serve.run(Embeddings.bind(folder), route_prefix="/inference")
    while True:
        time.sleep(3600)
