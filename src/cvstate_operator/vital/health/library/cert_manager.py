"""cert-manager: certificates and what they are made with."""

from typing import Final

from cvstate_operator.vital.health.library.entry import Entry, both, condition, either, entry, is_, not_true, true

_GROUP: Final = "cert-manager.io"
_ACME: Final = "acme.cert-manager.io"
_STATES: Final = "acme/v1 State, RFC 8555 section 7.1.6: valid, invalid, expired and errored are final"

ENTRIES: Final[tuple[Entry, ...]] = (
    entry(
        _GROUP,
        "Certificate",
        current=true("Ready"),
        failed=both(not_true("Ready"), condition("Issuing", "False"), "self.status.failedIssuanceAttempts > 0"),
        ready="Ready is True for the newest generation; a renewal that fails meanwhile does not matter until it expires",
        broken="not Ready, and the last issuance failed: it backs off for an hour or more",
        source="cert-manager, certmanager/v1 CertificateStatus: conditions Ready and Issuing, failedIssuanceAttempts",
    ),
    entry(
        _GROUP,
        "CertificateRequest",
        current=true("Ready"),
        failed=either(condition("Ready", "False", "Failed", "Denied"), condition("InvalidRequest", "True"), condition("Denied", "True")),
        ready="Ready is True",
        broken="Ready is False with Failed or Denied, or InvalidRequest or Denied is True: it is never tried again",
        source="cert-manager, certmanager/v1 CertificateRequestStatus: conditions and their reasons",
    ),
    *(
        entry(
            _GROUP,
            kind,
            current=true("Ready"),
            ready="Ready is True for the newest generation",
            source=f"cert-manager, certmanager/v1 IssuerStatus: condition Ready; a new {kind} has no status",
        )
        for kind in ("Issuer", "ClusterIssuer")
    ),
    *(
        entry(
            _ACME,
            kind,
            current=is_("status.state", "valid"),
            failed=is_("status.state", "invalid", "expired", "errored"),
            ready="state is valid",
            broken="state is invalid, expired or errored",
            source=f"cert-manager, {_STATES}",
        )
        for kind in ("Order", "Challenge")
    ),
)
