#!/usr/bin/env bash
# Installs `focus-validator` into the folder $1, away from the other tools: it wants older libraries than they do. It
# says that it needs Python 3.12; but for one line it runs on 3.11, the Python of Debian 12. It reads a file of its own
# from the working directory.
set -eu
folder=$1 bin=$2
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check --ignore-requires-python focus-validator==2.2.1 pyarrow==19.0.1
packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$folder/bin/python" - "$packages/focus_validator/config_objects/focus_to_duckdb_converter.py" <<'PYTHON'
import sys

path = sys.argv[1]
with open(path) as source:
    text = source.read()
old = """f"'{k.replace('\\"', '\\"\\"')}'" for k"""
with open(path, "w") as target:
    target.write(text.replace(old, """"'" + k.replace('"', '""') + "'" for k"""))
PYTHON
printf '#!/bin/sh\ncd "%s" && exec "%s/bin/focus-validator" "$@"\n' "$packages" "$folder" >"$bin/focus-validator"
chmod +x "$bin/focus-validator"
