"""Parses every Python file that the pool ships with the grammar of Python 3.8, the oldest that a GPU host may have."""

import ast
import pathlib
import sys

failures = 0
files = [path for root in ("gpu-pool/python", "examples") for path in pathlib.Path(root).rglob("*.py")]
for path in files:
    try:
        ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 8))
    except SyntaxError as error:
        failures += 1
        print(f"{path}:{error.lineno}: {error.msg} (Python 3.8)")
print(f"{len(files)} files")
sys.exit(1 if failures else 0)
