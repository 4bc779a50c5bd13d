"""Read a spec in stages: text, tree, overlays, variables, shape, meaning.

A stage runs only if the one before found no errors.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from reconciler.model.spec import Place, Spec
from reconciler.spec.diagnostics import Findings
from reconciler.spec.document import parse_document
from reconciler.spec.overlays import lay_over
from reconciler.spec.parse import parse_spec
from reconciler.spec.refused_keys import refuse_unsupported
from reconciler.spec.schema import check_shape
from reconciler.spec.variables import interpolate
from reconciler.spec.yaml_nodes import Map, Node


def load_spec(
    text: str, *, file: str, environment: Mapping[str, str], overlays: Sequence[tuple[str, str]] = ()
) -> Spec:
    """Return the spec of the YAML in `text`. Raises SpecError with all errors.

    `file` is its name in errors, `environment` what variables are taken from. `overlays` are the names and texts of
    files that lie over it, the last one on top.
    """
    findings = Findings()
    root = _read_layers(((file, text), *overlays), findings)
    if root is not None:
        root, variables = interpolate(root, environment, findings)
        shaped = check_shape(root, findings)
        if isinstance(root, Map):
            refuse_unsupported(root, findings)
            if isinstance(shaped, Map):
                spec = parse_spec(shaped, findings)
                findings.raise_if_any()
                return replace(spec, overlays=tuple(name for name, _ in overlays), variables=variables)
    findings.raise_if_any()
    raise AssertionError("a spec without its shape has findings")


def _read_layers(layers: Sequence[tuple[str, str]], findings: Findings) -> Node | None:
    """Return the tree of the first file with the others laid over it.

    An overlay may be empty. The tree is None if a file cannot be read: all files are read first.
    """
    trees = [_read(file, text, findings) for file, text in layers]
    root, overlays = trees[0], trees[1:]
    if root is None and not findings.found:
        place = Place(file=layers[0][0], line=1, column=1)
        findings.add_at(place, "the spec is empty", hint="it needs version, name and apps")
    if findings.found and overlays:
        return None
    for overlay in overlays:
        root = lay_over(root, overlay, findings) if root and overlay else root
    return root


def _read(file: str, text: str, findings: Findings) -> Node | None:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if _is_of_another_format(file, text, None, findings):
        return None
    root = parse_document(file, text, findings)
    if root is None:
        return None
    findings.know(root)
    return None if _is_of_another_format(file, text, root, findings) else root


def _is_of_another_format(file: str, text: str, root: Node | None, findings: Findings) -> bool:
    """Return whether the file is another tool's; that is its only finding.

    Without a `root` the text tells.
    """
    is_likely = isinstance(root, Map) and "apps" not in root.entries if root else "apps:" not in text
    if not is_likely and not file.endswith(".toml"):
        return False
    from reconciler.spec.other_formats import other_format_of_text, other_format_of_tree

    said = other_format_of_tree(root) if root else other_format_of_text(file, text)
    if said is None:
        return False
    if root is None:
        findings.read(file, text.split("\n"))
    findings.add_at(Place(file=file, line=1, column=1), said[0], hint=said[1])
    return True
