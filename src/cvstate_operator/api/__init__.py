"""The contract with users: models of ClusterState, conditions, reasons, and the CRD made from them. Pure: no I/O, no clock."""
