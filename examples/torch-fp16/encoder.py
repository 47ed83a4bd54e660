"""A transformer encoder over the bytes of a text: 12 layers, 768 wide, 12 heads, as large as BERT base."""

from typing import List, Optional, Sequence

import torch
from torch import nn

LAYERS = 12
WIDTH = 768
HEADS = 12
LONGEST = 512
PADDING = 256
BUCKET = 32


class Encoder(nn.Module):
    """Bytes in, one unit vector a text out: the mean of the last layer over the text's bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = nn.Embedding(257, WIDTH, padding_idx=PADDING)
        self.places = nn.Embedding(LONGEST, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, dim_feedforward=4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=False
        )
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        padding = ids == PADDING
        places = torch.arange(ids.shape[1], device=ids.device)
        hidden = self.layers(self.bytes(ids) + self.places(places), src_key_padding_mask=padding)
        kept = (~padding).unsqueeze(-1).float()
        mean = (hidden.float() * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)
        return nn.functional.normalize(mean, dim=-1)


class Embedder:
    """The encoder on the device that the process was given: fp16 on CUDA, float32 on the CPU."""

    def __init__(self, weights: Optional[str] = None) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        torch.manual_seed(0)
        model = Encoder()
        if weights is not None:
            model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.model = model.to(device=self.device, dtype=self.dtype).eval()

    def ids(self, texts: Sequence[str]) -> torch.Tensor:
        """The bytes of each text in a row, on the CPU. Lengths are rounded up to a bucket, so that few shapes occur."""
        rows: List[bytes] = [text.encode()[:LONGEST] or b" " for text in texts]
        lengths = torch.tensor([len(row) for row in rows])
        width = min(LONGEST, -(-int(lengths.max()) // BUCKET) * BUCKET)
        together = bytearray(b"".join(row.ljust(width) for row in rows))
        ids = torch.frombuffer(together, dtype=torch.uint8).view(len(rows), width).long()
        ids[torch.arange(width) >= lengths.unsqueeze(1)] = PADDING
        return ids.pin_memory() if self.device.type == "cuda" else ids

    @torch.inference_mode()
    def vectors(self, ids: torch.Tensor) -> torch.Tensor:
        """One row of float32 for each text, on the CPU."""
        return self.model(ids.to(self.device, non_blocking=True)).cpu()

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        return self.vectors(self.ids(texts))
