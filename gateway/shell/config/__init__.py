"""The configuration of a site: read from YAML, checked as a whole, every problem with its file, line and column."""

from gateway.shell.config.loader import Loaded, load
from gateway.shell.config.problem import Problem
from gateway.shell.config.render import as_json, as_text
from gateway.shell.config.report import run_check
from gateway.shell.config.schema import json_schema, schema_text

__all__ = ["Loaded", "Problem", "as_json", "as_text", "json_schema", "load", "run_check", "schema_text"]
