"""The embedder of a folder behind Mosec: batches of at most 32, gathered for at most 5 ms.

    python mosec_server.py FOLDER PORT
"""

import base64
import sys
from typing import Any, Dict, List

from mosec import Server, Worker

folder, port = sys.argv[1:3]
sys.path.insert(0, folder)
# Mosec reads the rest of its settings from the command line.
sys.argv = [sys.argv[0], "--address", "127.0.0.1", "--port", port, "--log-level", "warning"]


class Embeddings(Worker):
    def __init__(self) -> None:
        from embedder import Embedder

        self.embedder = Embedder()
        self.embedder.embed(["warm up"])

    def forward(self, data: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
        vectors = self.embedder.embed([request["input"]["text"] for request in data])
        return [{"output": [base64.b64encode(vector.astype("<f4").tobytes()).decode()]} for vector in vectors]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Embeddings, num=1, max_batch_size=32, max_wait_time=5)
    server.run()
