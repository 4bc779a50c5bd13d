"""Read a spec in stages: text, tree, variables, shape, meaning.

A stage runs only if the one before found no errors.
"""

from collections.abc import Mapping

from reconciler.model.spec import Spec
from reconciler.spec.diagnostics import Findings
from reconciler.spec.document import parse_document
from reconciler.spec.parse import parse_spec
from reconciler.spec.refused_keys import refuse_unsupported
from reconciler.spec.schema import check_shape
from reconciler.spec.variables import interpolate
from reconciler.spec.yaml_nodes import Map


def load_spec(text: str, *, file: str, environment: Mapping[str, str]) -> Spec:
    """Return the spec of the YAML in `text`. Raises SpecError with all errors.

    `file` is its name in errors, `environment` what variables are taken from.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    findings = Findings(file, text.split("\n"))
    root = parse_document(text, findings)
    findings_of_text = len(findings.found)
    if root is None and not findings_of_text:
        findings.add_at(1, 1, "the spec is empty", hint="it needs version, name and apps")
    if root is not None:
        findings.know(root)
        root = interpolate(root, environment, findings)
        has_shape = check_shape(root, findings)
        if isinstance(root, Map):
            refuse_unsupported(root, findings)
            if has_shape:
                spec = parse_spec(root, findings)
                findings.raise_if_any()
                return spec
    findings.raise_if_any()
    raise AssertionError("a spec without its shape has findings")
