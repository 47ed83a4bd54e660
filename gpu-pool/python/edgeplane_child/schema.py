"""The model's OpenAPI document in the shape that Cog gives it: ``components.schemas.Input`` and ``Output``.

Source of the shape: replicate/cog, architecture/02-schema.md.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

import cog

from .signature import Field, Signature
from .text_forms import BY_KIND, as_json
from .typespec import TypeSpec

Json = Dict[str, Any]

_SIMPLE: Dict[str, Json] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "path": {"type": "string", "format": "uri"},
    "file": {"type": "string", "format": "uri"},
    "secret": {"type": "string", "format": "password", "writeOnly": True, "x-cog-secret": True},
    "coder": {"type": "object"},
}
_SIMPLE.update((kind, {"type": "string", "format": form.format}) for kind, form in BY_KIND.items())


def _title(name: str) -> str:
    return " ".join(part[:1].upper() + part[1:] for part in name.split("_"))


def type_schema(spec: TypeSpec, output: bool = False) -> Json:
    """The JSON schema of a type. An ``Any`` input has no ``type``: every JSON value fits. A ``Decimal`` input may be a
    number, too."""
    if spec.kind == "decimal" and not output:
        schema: Json = {"anyOf": [{"type": "number"}, dict(_SIMPLE["decimal"])]}
    elif spec.kind in _SIMPLE:
        schema = dict(_SIMPLE[spec.kind])
        if spec.choices is not None:
            schema["enum"] = list(spec.choices)
    elif spec.kind == "list":
        schema = {"type": "array", "items": type_schema(spec.item, output) if spec.item is not None else {}}
    elif spec.kind == "dict":
        schema = {"type": "object"}
        if spec.item is not None and spec.item.kind != "any":
            schema["additionalProperties"] = type_schema(spec.item, output)
    elif spec.kind == "union":
        schema = {"anyOf": [type_schema(variant, output) for variant in spec.variants]}
    elif spec.kind == "object":
        schema = _object_schema(spec, output)
    elif spec.kind == "iterator":
        schema = {"type": "array", "items": type_schema(spec.item or TypeSpec("any"), output), "x-cog-array-type": "iterator"}
        if spec.concatenate:
            schema["x-cog-array-display"] = "concatenate"
    else:
        schema = {}
    if spec.nullable and spec.kind not in ("any", "none"):
        schema["nullable"] = True
    return schema


def _object_schema(spec: TypeSpec, output: bool) -> Json:
    schema: Json = {"type": "object", "properties": {}}
    if not output and hasattr(spec.cls, "__total__"):
        return {"type": "object"}
    for name, inner, _required in spec.fields:
        schema["properties"][name] = dict(type_schema(inner, output), title=_title(name))
    required = [name for name, _inner, needed in spec.fields if needed]
    if required:
        schema["required"] = required
    return schema


def _json_default(value: Any) -> Any:
    known = as_json(value)
    return str(value) if known is value else known


def _default(field: Field) -> Any:
    value = field.default
    if isinstance(value, cog.Secret):
        value = value.get_secret_value()
    try:
        return json.loads(json.dumps(value, default=_json_default, allow_nan=False))
    except (TypeError, ValueError):
        return None


def _bound(value: Any) -> Any:
    """A bound that JSON Schema has: it knows none of dates, and the model process checks those alone."""
    return value if isinstance(value, (int, float)) else None


def _field_schema(field: Field, order: int, schemas: Json) -> Json:
    info = field.info
    schema: Json = {"x-order": order}
    if field.choices is not None:
        kind = field.spec.kind if field.spec.kind in _SIMPLE else "str"
        values = [as_json(choice) for choice in field.choices]
        schemas[field.name] = dict(_SIMPLE[kind], title=field.name, description="An enumeration.", enum=values)
        schema["allOf"] = [{"$ref": "#/components/schemas/" + field.name}]
        if field.spec.nullable:
            schema["nullable"] = True
    else:
        schema["title"] = _title(field.name)
        schema.update(type_schema(field.spec))
    if not field.required and field.default is not None:
        schema["default"] = _default(field)
    target = schema
    if field.spec.kind == "list" and field.spec.item is not None:
        target = schema["items"]
    for key, value, place in (
        ("description", info.description, schema),
        ("minimum", _bound(info.ge), target),
        ("maximum", _bound(info.le), target),
        ("minLength", info.min_length, target),
        ("maxLength", info.max_length, target),
        ("pattern", info.regex, target),
        ("deprecated", info.deprecated or None, schema),
        ("x-cog-accept", info.accept, schema),
    ):
        if value is not None:
            place[key] = value
    return schema


def build_schema(signature: Signature, streaming: bool, description: Optional[str] = None) -> Json:
    """The OpenAPI 3.0.2 document of a model."""
    schemas: Json = {}
    properties = {field.name: _field_schema(field, order, schemas) for order, field in enumerate(signature.fields)}
    inputs: Json = {"title": "Input", "type": "object", "properties": properties}
    required: List[str] = [field.name for field in signature.fields if field.required]
    if required:
        inputs["required"] = required
    schemas["Input"] = inputs
    schemas["Output"] = dict(type_schema(signature.output, output=True), title="Output")
    schemas["Status"] = {
        "title": "Status",
        "description": "An enumeration.",
        "type": "string",
        "enum": ["starting", "processing", "succeeded", "canceled", "failed"],
    }
    schemas["PredictionRequest"] = _request_schema()
    schemas["PredictionResponse"] = _response_schema()
    post: Json = {
        "summary": "Predict",
        "description": description or "Run a single prediction on the model",
        "operationId": "predict_predictions_post",
        "requestBody": {"content": _content("PredictionRequest")},
        "responses": {"200": {"description": "Successful Response", "content": _content("PredictionResponse")}},
    }
    if streaming:
        post["x-cog-streaming"] = True
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "0.1.0"},
        "paths": {"/predictions": {"post": post}},
        "components": {"schemas": schemas},
    }


def _content(name: str) -> Json:
    return {"application/json": {"schema": {"$ref": "#/components/schemas/" + name}}}


def _request_schema() -> Json:
    return {
        "title": "PredictionRequest",
        "type": "object",
        "properties": {
            "id": {"title": "Id", "type": "string"},
            "input": {"$ref": "#/components/schemas/Input"},
            "webhook": {"title": "Webhook", "type": "string", "format": "uri"},
        },
    }


def _response_schema() -> Json:
    return {
        "title": "PredictionResponse",
        "type": "object",
        "properties": {
            "id": {"title": "Id", "type": "string"},
            "input": {"$ref": "#/components/schemas/Input"},
            "output": {"$ref": "#/components/schemas/Output"},
            "status": {"$ref": "#/components/schemas/Status"},
            "error": {"title": "Error", "type": "string"},
            "logs": {"title": "Logs", "type": "string", "default": ""},
            "metrics": {"title": "Metrics", "type": "object"},
        },
    }
