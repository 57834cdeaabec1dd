"""Fields that OpenAPI calls required and the API server does without: it fills them in, or takes an empty value for granted. Data only.

Source: kube-apiserver 1.36, asked with and without each field by tests/integration/test_check.py, which also says so when one is missing here.
"""

from collections.abc import Mapping
from typing import Final

FIELDS: Final[Mapping[str, frozenset[str]]] = {
    f"io.k8s.{definition}": frozenset(fields.split())
    for definition, fields in {
        "api.apps.v1.ControllerRevision": "revision",
        "api.batch.v1.PodFailurePolicy": "rules",
        "api.core.v1.Event": "involvedObject",
        "api.core.v1.HTTPHeader": "value",
        "api.core.v1.ISCSIPersistentVolumeSource": "lun",
        "api.core.v1.ISCSIVolumeSource": "lun",
        "api.core.v1.LimitRangeSpec": "limits",
        "api.core.v1.PreferredSchedulingTerm": "preference",
        "api.core.v1.ScaleIOVolumeSource": "secretRef",
        "api.core.v1.SleepAction": "seconds",
        "api.core.v1.Sysctl": "value",
        "api.core.v1.TypedLocalObjectReference": "kind name",
        "api.discovery.v1.EndpointSlice": "endpoints",
        "api.rbac.v1.RoleRef": "apiGroup",
        "api.resource.v1.CapacityRequestPolicyRange": "min",
        "api.resource.v1.Counter": "value",
        "api.resource.v1.DeviceCapacity": "value",
        "api.resource.v1.DeviceClass": "spec",
        "api.resource.v1.ResourceClaim": "spec",
        "api.resource.v1.ResourceClaimTemplate": "spec",
        "api.resource.v1.ResourceClaimTemplateSpec": "spec",
        "api.resource.v1.ResourcePool": "generation",
        "api.storage.v1.CSIDriver": "spec",
        "api.storage.v1.CSINode": "spec",
        "api.storage.v1.CSINodeSpec": "drivers",
        "api.storage.v1.TokenRequest": "audience",
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion": "served",
    }.items()
}
"""Names of fields by the definition that requires them."""
