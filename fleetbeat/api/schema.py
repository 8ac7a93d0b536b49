"""OpenAPI schemas of Structs, as CRDs want them: structural, without references, a description on every field.

Descriptions are the docstrings behind the fields, read from the source of the Struct's module. Knows nothing of kinds.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect as types

from fleetbeat.api.meta import Part

Schema = dict[str, Any]


def schema_of(struct: type[Part], *, defaults: bool = True) -> Schema:
    """The schema of one Struct. Without `defaults` its own fields have none (those of nested objects keep theirs)."""
    info = types.type_info(struct)
    assert isinstance(info, types.StructType)  # noqa: S101 - a Part is a Struct
    return _struct(info, defaults=defaults)


def defaults_of(struct: type[Part]) -> dict[str, Any]:
    """The non-empty defaults of a Struct without required fields, under their names in JSON."""
    defaults: dict[str, Any] = _plain(struct())
    return defaults


def _struct(info: types.StructType, *, defaults: bool = True) -> Schema:
    docs = _field_docs(info.cls)
    properties = {}
    for field in sorted(info.fields, key=lambda field: field.encode_name):
        schema = _type(field.type) | {"description": docs[field.name]}
        if defaults and _has_default(field):
            schema["default"] = _plain(field.default)
        properties[field.encode_name] = schema
    result: Schema = {"description": _sentence(info.cls.__doc__), "type": "object", "properties": properties}
    required = sorted(field.encode_name for field in info.fields if field.required)
    if required:
        result["required"] = required
    return result | _extras(info.cls)


def _extras(cls: type[Any]) -> Schema:
    rules = [{"rule": rule.expression, "message": rule.message} for rule in cls.rules]
    return dict(cls.schema) | ({"x-kubernetes-validations": rules} if rules else {})


def _type(info: types.Type) -> Schema:
    match info:
        case types.Metadata(type=inner, extra_json_schema=extra):
            return _type(inner) | (extra or {})
        case types.UnionType(types=members):
            (inner,) = (member for member in members if not isinstance(member, types.NoneType))
            return _type(inner)
        case types.StructType():
            return _struct(info)
        case types.VarTupleType(item_type=item):
            return {"type": "array", "items": _type(item)} | _limits(info, minItems="min_length", maxItems="max_length")
        case types.DictType(value_type=value):
            return {"type": "object", "additionalProperties": _type(value)}
        case types.LiteralType(values=values):
            return {"type": "string", "enum": list(values)}
        case _:
            return _scalar(info)


def _scalar(info: types.Type) -> Schema:
    match info:
        case types.StrType():
            return {"type": "string"} | _limits(info, minLength="min_length", maxLength="max_length", pattern="pattern")
        case types.IntType():
            return {"type": "integer"} | _limits(info, minimum="ge", maximum="le")
        case types.BoolType():
            return {"type": "boolean"}
        case types.AnyType():
            return {"x-kubernetes-preserve-unknown-fields": True}
        case _:
            raise TypeError(f"no schema for {info!r}")


def _limits(info: types.Type, **keywords: str) -> Schema:
    found = {keyword: getattr(info, attribute) for keyword, attribute in keywords.items()}
    return {keyword: value for keyword, value in found.items() if value is not None}


def _has_default(field: types.Field) -> bool:
    return field.default is not msgspec.NODEFAULT and bool(_plain(field.default))


def _plain(value: Any) -> Any:
    """A default as JSON, without what is empty."""
    if isinstance(value, Part):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        fields = {wire: _plain(getattr(value, name)) for wire, name in names}
        return {wire: default for wire, default in fields.items() if default}
    return list(value) if isinstance(value, tuple) else value


@cache
def _field_docs(cls: type[Any]) -> dict[str, str]:
    """Field → the docstring behind it, its base classes' included."""
    docs: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if issubclass(owner, Part) and owner is not Part:
            docs |= _module_docs(owner.__module__)[owner.__name__]
    return docs


@cache
def _module_docs(module: str) -> dict[str, dict[str, str]]:
    """Class → field → the docstring behind it."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: _class_docs(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _class_docs(tree: ast.ClassDef) -> dict[str, str]:
    docs = {}
    for field, doc in zip(tree.body, tree.body[1:], strict=False):
        match field, doc:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docs[name] = _sentence(text)
    return docs


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())
