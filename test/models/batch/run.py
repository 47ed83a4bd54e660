from typing import List

from cog import BaseRunner, Input, current_scope


class Runner(BaseRunner):
    def setup(self) -> None:
        self.calls = 0

    def run(self, text: str = Input(min_length=1), times: int = 1) -> str:
        raise AssertionError("never called")

    def run_batch(self, inputs):
        self.calls += 1
        print("batch of", len(inputs))
        self.record_metric("batch_size", len(inputs))
        scopes = getattr(current_scope(), "scopes", [current_scope()])
        outputs = []
        for item, scope in zip(inputs, scopes):
            scope.record_metric("length", len(item.text))
            if item.text == "die":
                raise RuntimeError("the whole batch died")
            outputs.append(ValueError("bad: " + item["text"]) if item.text == "bad" else item.text.upper() * item.times)
        return outputs[:-1] if inputs[0].text == "short" else outputs
