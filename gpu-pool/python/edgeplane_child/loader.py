"""Finds a model's predictor: the reference in cog.yaml, the file, the class or the function in it, and its methods."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
from types import ModuleType
from typing import Any, Callable, NamedTuple, Optional

from .signature import Signature, read_signature

_DEFAULTS = ("run.py:Runner", "predict.py:Predictor")


class LoadError(Exception):
    """The predictor can't be found; the message says where it was looked for."""


class Model(NamedTuple):
    """A loaded predictor. ``batch`` is its ``predict_batch`` or ``run_batch``; ``setup`` and ``healthcheck`` may be
    missing.

    ``prepare`` is its ``prepare_batch``, whose result a synchronous ``batch`` takes in place of the inputs;
    ``postprocess`` its ``postprocess_batch``, which makes the list of outputs of what that ``batch`` returned.
    """

    run: Callable[..., Any]
    batch: Optional[Callable[..., Any]]
    prepare: Optional[Callable[..., Any]]
    postprocess: Optional[Callable[..., Any]]
    setup: Optional[Callable[..., Any]]
    healthcheck: Optional[Callable[..., Any]]
    signature: Signature
    is_async: bool
    concurrency: int
    streaming: bool

    @property
    def streams(self) -> str:
        """``no``, ``iterate`` or ``concatenate``, as PROTOCOL.md names them."""
        output = self.signature.output
        if output.kind == "iterator":
            return "concatenate" if output.concatenate else "iterate"
        run = inspect.unwrap(getattr(self.run, "__func__", self.run))
        return "iterate" if inspect.isgeneratorfunction(run) or inspect.isasyncgenfunction(run) else "no"


def read_reference(model_dir: str) -> str:
    """The predictor's reference: EDGEPLANE_MODEL_REF, or ``run``/``predict`` of cog.yaml, or the usual names."""
    given = os.environ.get("EDGEPLANE_MODEL_REF")
    if given:
        return given
    try:
        with open(os.path.join(model_dir, "cog.yaml"), encoding="utf-8") as file:
            text = file.read()
    except OSError:
        text = ""
    for key in ("run", "predict"):
        found = re.search(r"""(?m)^%s:[ \t]*(["']?)([^"'#\n]+?)\1[ \t]*(?:#.*)?$""" % key, text)
        if found:
            return found.group(2).strip()
    for reference in _DEFAULTS:
        if os.path.isfile(os.path.join(model_dir, reference.split(":")[0])):
            return reference
    raise LoadError("cog.yaml names no predictor: add `run: \"run.py:Runner\"`")


def _configured_concurrency(model_dir: str) -> Optional[int]:
    given = os.environ.get("COG_MAX_CONCURRENCY")
    if given and given.isdigit():
        return int(given)
    try:
        with open(os.path.join(model_dir, "cog.yaml"), encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return None
    found = re.search(r"(?m)^concurrency:(?:[ \t]*(?:#.*)?\n(?:[ \t]+.*\n)*?[ \t]+|[ \t]*\{[ \t]*)max:[ \t]*(\d+)", text)
    return int(found.group(1)) if found else None


def _import_file(model_dir: str, path: str) -> ModuleType:
    full = os.path.abspath(os.path.join(model_dir, path))
    if not full.startswith(os.path.abspath(model_dir) + os.sep):
        raise LoadError("the predictor's file {!r} lies outside the model's folder".format(path))
    if not os.path.isfile(full):
        raise LoadError("the predictor's file {!r} does not exist".format(path))
    for folder in (os.path.dirname(full), os.path.abspath(model_dir)):
        if folder in sys.path:
            sys.path.remove(folder)
    sys.path.insert(0, os.path.abspath(model_dir))
    if os.path.dirname(full) != os.path.abspath(model_dir):
        sys.path.insert(1, os.path.dirname(full))
    name = os.path.splitext(os.path.basename(full))[0]
    if name in sys.modules or not name.isidentifier():
        name = "model_" + re.sub(r"\W", "_", name)
    spec = importlib.util.spec_from_file_location(name, full)
    if spec is None or spec.loader is None:
        raise LoadError("the predictor's file {!r} is not a Python file".format(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _pick(module: ModuleType, name: Optional[str], path: str) -> Any:
    if name is not None:
        if not hasattr(module, name):
            raise LoadError("{} has no class or function {!r}".format(path, name))
        return getattr(module, name)
    for candidate in ("Runner", "Predictor", "run", "predict"):
        if hasattr(module, candidate):
            return getattr(module, candidate)
    raise LoadError("{} has no Runner or Predictor".format(path))


def _method(target: Any, *names: str) -> Optional[Callable[..., Any]]:
    for name in names:
        method = getattr(target, name, None)
        if callable(method):
            found: Callable[..., Any] = method
            return found
    return None


def is_async_function(function: Callable[..., Any]) -> bool:
    """True for ``async def``, with or without ``yield``."""
    plain = inspect.unwrap(getattr(function, "__func__", function))
    return inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)


def load_model(model_dir: str) -> Model:
    """Import the predictor, make an instance of its class, and read its signature. Raises what the model raises."""
    path, _, name = read_reference(model_dir).partition(":")
    module = _import_file(model_dir, path.strip())
    target = _pick(module, name.strip() or None, path)
    if not callable(target):
        raise LoadError("{}:{} is neither a class nor a function".format(path, name))
    if inspect.isclass(target):
        instance = target()
        run = _method(instance, "run", "predict")
        if run is None:
            raise LoadError("{} has no method run() or predict()".format(target.__name__))
        batch = _method(instance, "run_batch", "predict_batch")
        prepare, postprocess = _method(instance, "prepare_batch"), _method(instance, "postprocess_batch")
        setup, healthcheck = _method(instance, "setup"), _method(instance, "healthcheck")
    else:
        run = target
        batch = _method(module, "run_batch", "predict_batch")
        prepare, postprocess = _method(module, "prepare_batch"), _method(module, "postprocess_batch")
        setup, healthcheck = None, None
    signature = read_signature(run)
    plain = inspect.unwrap(getattr(run, "__func__", run))
    is_async = is_async_function(run)
    if batch is None or is_async:
        prepare = postprocess = None
    if postprocess is not None and inspect.isgeneratorfunction(inspect.unwrap(getattr(batch, "__func__", batch))):
        raise LoadError("postprocess_batch takes what run_batch returns, and this run_batch yields: leave one of the two out")
    concurrency = _configured_concurrency(model_dir) or getattr(plain, "__cog_concurrent_max__", None) or 1
    return Model(
        run=run,
        batch=batch,
        prepare=prepare,
        postprocess=postprocess,
        setup=setup,
        healthcheck=healthcheck,
        signature=signature,
        is_async=is_async,
        concurrency=concurrency if is_async else 1,
        streaming=bool(getattr(plain, "__cog_streaming__", False)),
    )
