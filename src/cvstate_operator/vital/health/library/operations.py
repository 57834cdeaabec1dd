"""Platform: monitoring, policy, operators, identity: Prometheus Operator, Grafana, Gatekeeper, OLM, OpenShift, Keycloak."""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, both, condition, either, entry, is_, true

_OLM: Final = "operators.coreos.com"

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        entry(
            "monitoring.coreos.com",
            kind,
            current=both(true("Reconciled"), true("Available")),
            suspended="self.spec.paused",
            ready="Reconciled and Available are True for the newest generation; Available may also be Degraded",
            source=f"Prometheus Operator, v1 {kind}Status: conditions Available, Reconciled",
        )
        for kind in ("Prometheus", "PrometheusAgent", "Alertmanager", "ThanosRuler")
    ),
    entry(
        "grafana.integreatly.org",
        "Grafana",
        current=both(is_("status.stage", "complete"), is_("status.stageStatus", "success")),
        suspended="self.spec.suspend",
        ready="stage is complete and stageStatus is success",
        source="Grafana Operator, v1beta1 GrafanaStatus: stage, stageStatus, lastMessage",
    ),
    *(
        entry(
            "grafana.integreatly.org",
            f"Grafana{what}",
            current=true(f"{what}Synchronized"),
            failed=condition("InvalidSpec", "True"),
            suspended="self.spec.suspend",
            ready=f"{what}Synchronized is True",
            broken="InvalidSpec is True",
            source=f"Grafana Operator, v1beta1 conditions of a Grafana{what}: {what}Synchronized, InvalidSpec",
        )
        for what in ("Dashboard", "Datasource", "Folder")
    ),
    entry(
        "templates.gatekeeper.sh",
        "ConstraintTemplate",
        current="self.status.created && self.status.byPod.all(p, p.observedGeneration >= self.metadata.generation)",
        failed="self.status.byPod.exists(p, p.observedGeneration >= self.metadata.generation && size(p.errors) > 0)",
        ready="created is true, and every Pod of Gatekeeper took the newest generation without errors",
        broken="a Pod of Gatekeeper cannot compile it",
        source="Open Policy Agent Frameworks, templates/v1 ConstraintTemplateStatus: created, byPod[].observedGeneration, errors",
    ),
    entry(
        _OLM,
        "Subscription",
        current=either(
            is_("status.state", "AtLatestKnown"),
            both(is_("status.state", "UpgradePending"), is_("spec.installPlanApproval", "Manual"), "has(self.status.installedCSV)"),
        ),
        failed=either(condition("InstallPlanFailed", "True"), condition("BundleUnpackFailed", "True")),
        ready="state is AtLatestKnown, or an update waits for an approval that is manual by its spec",
        broken="InstallPlanFailed or BundleUnpackFailed is True",
        source="Operator Lifecycle Manager, v1alpha1 SubscriptionStatus: state, installedCSV, conditions",
    ),
    entry(
        _OLM,
        "ClusterServiceVersion",
        current=is_("status.phase", "Succeeded"),
        failed=is_("status.phase", "Failed"),
        ready="phase is Succeeded",
        broken="phase is Failed",
        source="Operator Lifecycle Manager, v1alpha1 ClusterServiceVersionPhase; its conditions are a history",
    ),
    entry(
        _OLM,
        "InstallPlan",
        current=is_("status.phase", "Complete"),
        failed=is_("status.phase", "Failed"),
        waits=is_("status.phase", "RequiresApproval"),
        ready="phase is Complete",
        broken="phase is Failed",
        source="Operator Lifecycle Manager, v1alpha1 InstallPlanPhase",
    ),
    entry(
        _OLM,
        "CatalogSource",
        current=is_("status.connectionState.lastObservedState", "READY"),
        ready="connectionState is READY",
        source="Operator Lifecycle Manager, v1alpha1 CatalogSourceStatus: connectionState.lastObservedState",
    ),
    entry(
        "machineconfiguration.openshift.io",
        "MachineConfigPool",
        current=condition("Updated", "True"),
        failed=condition("Degraded", "True"),
        suspended="self.spec.paused",
        ready="Updated is True and Degraded is not",
        broken="Degraded is True",
        source="OpenShift, machineconfiguration/v1 MachineConfigPoolConditionType",
    ),
    entry(
        "k8s.keycloak.org",
        "Keycloak",
        current=true("Ready"),
        failed=condition("HasErrors", "True"),
        ready="Ready is True and HasErrors is not",
        broken="HasErrors is True",
        source="Keycloak Operator, v2alpha1 KeycloakStatusCondition: Ready, HasErrors",
    ),
    entry(
        "k8s.keycloak.org",
        "KeycloakRealmImport",
        current=true("Done"),
        failed=condition("HasErrors", "True"),
        ready="Done is True",
        broken="HasErrors is True",
        source="Keycloak Operator, v2alpha1 KeycloakRealmImportStatusCondition: Done, HasErrors",
    ),
)
