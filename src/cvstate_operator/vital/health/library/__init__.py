"""The library: how custom resources of widely used projects tell that they are ready. One module per family, `catalog` has them all.

Only kinds stand here that the rules for every kind (`vital/health/generic`) judge wrong or too weakly; docs/health.md tells which need none. A rule uses only
what its kind reports, and each names the type and the fields that it was read from. Pure: texts, and nothing that is loaded or run.
"""
