"""Discord's own schema, with what it gets wrong about Discord put right."""

import json
import os
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

_ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("RAYSYNC_SHARED", _ROOT.parent / "shared"))
_URI = "urn:discord"


def shared_file(name):
    """Return a file kept beside the repository; skip the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not there: set RAYSYNC_SHARED to the folder that has it")
    return path


@cache
def _document():
    document = json.loads(shared_file("discord-openapi.json").read_text())
    patch_errata(document["components"]["schemas"])
    return document


def patch_errata(schemas):
    """Correct what Discord does and its schema denies."""
    schemas["ChannelTypes"]["oneOf"] += [{"const": 16}, {"const": 40}]
    schemas["GuildChannelResponse"]["properties"]["type"]["enum"] += [16, 40]
    schemas["MessageType"]["oneOf"] += [{"const": 44}, {"const": 200}]
    schemas["MessageReferenceType"]["oneOf"] += [{"const": 1}]
    unheard_of = {"properties": {"type": {"const": 99}}, "required": ["type"]}
    schemas["MessageResponse"]["properties"]["components"]["items"]["oneOf"] += [unheard_of]
    basic = schemas["BasicMessageResponse"]["properties"]["components"]["items"]
    basic["oneOf"] += [unheard_of]


@cache
def validator_for(template, status="200"):
    """Return the validator of a GET route's answers."""
    document = deepcopy(_document())
    registry = Registry().with_resource(_URI, Resource(document, DRAFT202012))
    answer = document["paths"][template]["get"]["responses"][status]
    schema = answer["content"]["application/json"]["schema"]
    return Draft202012Validator(_absolute(schema), registry=registry)


def _absolute(schema):
    text = json.dumps(schema).replace('"#/components', f'"{_URI}#/components')
    return json.loads(text)


def errors_of(template, answer, status="200"):
    """Return what the schema says against an answer, most telling first."""
    found = validator_for(template, status).iter_errors(answer)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in found]
