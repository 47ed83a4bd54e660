"""The peer of the model benches: the model of a folder in a bare loop, with nothing around it.

    python bare_loop.py FOLDER MODULE

MODULE has an ``Embedder``. Reads a line ``{"texts": [...], "batch": n, "seconds": s}`` at a time and answers
``{"sentences": n, "seconds": s}``: how many texts the model took, n at a time.
"""

import itertools
import json
import sys
import time
from importlib import import_module

folder, module = sys.argv[1:3]
sys.path.insert(0, folder)
embedder = import_module(module).Embedder()
print(json.dumps({"device": str(getattr(embedder, "device", "cpu"))}), flush=True)
for line in sys.stdin:
    order = json.loads(line)
    texts = itertools.cycle(order["texts"])
    batch = order["batch"]
    embedder.embed(list(itertools.islice(texts, batch)))
    sentences = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < order["seconds"]:
        embedder.embed(list(itertools.islice(texts, batch)))
        sentences += batch
    print(json.dumps({"sentences": sentences, "seconds": time.perf_counter() - begin}), flush=True)
