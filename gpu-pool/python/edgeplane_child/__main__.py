"""``python3 -u -m edgeplane_child``. The working folder leaves the path first: it is the model's, and may hold a
``json.py``."""

import sys

if __name__ == "__main__":
    if sys.path and sys.path[0] != __file__.rsplit("/", 2)[0]:
        sys.path.pop(0)
    from edgeplane_child.main import main

    main()
