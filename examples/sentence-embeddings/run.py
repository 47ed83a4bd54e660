import base64
from typing import Any, List, Union

import numpy as np
from cog import BaseRunner, BatchInput, Input
from embedder import Embedder


def as_list(text: Union[str, List[str]]) -> List[str]:
    return [text] if isinstance(text, str) else text


def as_output(vectors: np.ndarray, encoding: str) -> List[Any]:
    if encoding == "base64":
        return [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in vectors]
    return np.round(vectors.astype(np.float64), 6).tolist()


class Runner(BaseRunner):
    def setup(self) -> None:
        self.embedder = Embedder()
        self.embedder.embed(["warm up"])

    def run(
        self,
        text: Union[str, List[str]] = Input(description="One text, or a list of texts"),
        encoding: str = Input(
            description="float: lists of numbers; base64: little-endian float32",
            choices=["float", "base64"],
            default="float",
        ),
    ) -> List[Any]:
        """One vector of 384 numbers and length 1 for each text, in order; dot products are cosine similarities."""
        texts = as_list(text)
        if not texts:
            return []
        self.record_metric("sentences", len(texts))
        return as_output(self.embedder.embed(texts), encoding)

    def run_batch(self, inputs: List[BatchInput]) -> List[List[Any]]:
        lists = [as_list(item.text) for item in inputs]
        together = [text for texts in lists for text in texts]
        self.record_metric("batch_sentences", len(together))
        vectors = self.embedder.embed(together) if together else np.empty((0, 384), dtype=np.float32)
        outputs = []
        start = 0
        for item, texts in zip(inputs, lists):
            outputs.append(as_output(vectors[start : start + len(texts)], item.encoding))
            start += len(texts)
        return outputs
