"""What Vault's API does that the general check of bodies does not know."""

import schemathesis
from schemathesis.specs.openapi.checks import response_schema_conformance


@schemathesis.check
def body_conformance(ctx, response, case):
    # As Vault: a path with a character that is not printable is refused without a word.
    if response.status_code == 400 and not response.content:
        return None
    return response_schema_conformance(ctx, response, case)
