"""Version ranges, as npm, Flux and Argo CD write them. Apart from the models, since child processes need nothing else of the API."""

import semantic_version


def version_range(text: str) -> semantic_version.NpmSpec:
    """A range over semantic versions, as npm, Flux and Argo CD write them: `^1.2`, `~1.2.3`, `1.x`, `>=1.0 <2`, `1.2 - 1.4`, joined by `||`; a comma is an and.

    Raises:
        ValueError: it is none.
    """
    try:
        return semantic_version.NpmSpec(" ".join(text.replace(",", " ").split()))
    except ValueError:
        raise ValueError("is no version range; write it like ^1.2, ~1.4.0, 1.x or >=1.0.0 <2.0.0") from None
