"""`moorage crds`: the custom resource definitions of this release."""

import enum
import json
from typing import Annotated, Final

import typer

EXAMPLES: Final = """
[bold]Examples[/]

moorage crds | kubectl apply --server-side -f -

moorage crds -o json | jq -r '.items[].metadata.name'
"""


class Format(enum.StrEnum):
    """How the definitions are written."""

    YAML = "yaml"
    JSON = "json"


def crds(output: Annotated[Format, typer.Option("--output", "-o", help="yaml or json.")] = Format.YAML) -> None:
    """Print the CustomResourceDefinitions that this release needs in the cluster.

    Apply them before manager and agent start, and again with each upgrade.
    """
    from controller.api import schema  # building the models takes longer than the other commands run

    definitions = schema.crds()
    if output is Format.JSON:
        typer.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": definitions}, indent=2))
    else:
        typer.echo("---\n".join(schema.to_yaml(definition) for definition in definitions), nl=False)
