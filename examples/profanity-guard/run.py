"""A linear classifier of profane English texts, in the form that the plugin model-guard asks for."""

from typing import Any, Dict, List

from cog import BaseRunner, BatchInput, Input
from profanity_check import predict_prob


class Runner(BaseRunner):
    def run(
        self,
        text: str = Input(description="The text to judge"),
        threshold: float = Input(description="How sure it must be", default=0.8, ge=0, le=1),
    ) -> Dict[str, Any]:
        return verdict(float(predict_prob([text])[0]), threshold)

    def run_batch(self, inputs: List[BatchInput]) -> List[Dict[str, Any]]:
        scores = predict_prob([item.text for item in inputs])
        return [verdict(float(score), item.threshold) for score, item in zip(scores, inputs)]


def verdict(score: float, threshold: float) -> Dict[str, Any]:
    flagged = score >= threshold
    return {"flagged": flagged, "categories": ["profanity"] if flagged else [], "score": round(score, 4)}
