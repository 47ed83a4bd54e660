"""The embedder of a folder behind LitServe: batches of at most 32, gathered for at most 5 ms.

    python litserve_server.py FOLDER PORT
"""

import base64
import sys
from typing import Any, Dict, List

import litserve

folder, port = sys.argv[1:3]
sys.path.insert(0, folder)


class Embeddings(litserve.LitAPI):
    def setup(self, device: str) -> None:
        from embedder import Embedder

        self.embedder = Embedder()
        self.embedder.embed(["warm up"])

    def decode_request(self, request: Dict[str, Any], **kwargs: Any) -> str:
        return request["input"]["text"]

    def batch(self, inputs: List[str]) -> List[str]:
        return list(inputs)

    def predict(self, texts: List[str], **kwargs: Any) -> Any:
        return self.embedder.embed(texts)

    def unbatch(self, output: Any) -> List[Any]:
        return list(output)

    def encode_response(self, vector: Any, **kwargs: Any) -> Dict[str, Any]:
        return {"output": [base64.b64encode(vector.astype("<f4").tobytes()).decode()]}


if __name__ == "__main__":
    api = Embeddings(max_batch_size=32, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning")
