"""ClusterState, `spec.apply`: how objects are written, and what is done where others have a say."""

from enum import StrEnum

from pydantic import Field

from cvstate_operator.api.model import ApiModel


class Adoption(StrEnum):
    """What is done about an object that was there before us."""

    NEVER = "Never"
    UNOWNED = "Unowned"
    FORCE = "Force"


class Conflicts(StrEnum):
    """What is done about a field of ours that another manager holds with another value."""

    FORCE = "Force"
    ABORT = "Abort"
    YIELD = "Yield"


class Recreate(StrEnum):
    """What is done about a field that cannot be changed."""

    NEVER = "Never"
    IF_IMMUTABLE = "IfImmutable"
    APPROVE = "Approve"


class Apply(ApiModel):
    """How objects are written."""

    adoption: Adoption = Field(
        Adoption.UNOWNED,
        description="Objects that were there before. Never: left alone. Unowned: taken over if nobody owns them, unless a field has another value that "
        "somebody else wrote. Force: taken over with all fields, from Flux, Argo CD and Helm too; never from another ClusterState or a controller.",
    )
    conflicts: Conflicts = Field(
        Conflicts.FORCE,
        description="Fields of our objects that another manager wrote. Force: Git wins. Abort: the object is not written, and the manager is named. "
        "Yield: the field is left to the other manager and shown as drift.",
    )
    recreate: Recreate = Field(
        Recreate.NEVER,
        description="Fields that cannot be changed. Never: a problem. IfImmutable: the object is deleted and created anew; kinds that hold data wait for a "
        "StateApproval. Approve: every recreate waits for one.",
    )
    wait: bool = Field(
        True,
        description="Before a later wave (annotation cvstate.io/wave) is applied, wait until every object of the earlier ones is ready.",
    )
