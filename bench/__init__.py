"""The benchmark: how fast a GitOps tool makes a cluster what Git says, and what that costs.

What it promises:

- **No tool judges itself.** A process of its own (`observer`) watches the cluster and says when an object holds every declared field.
- **Requests are counted by the API server**, in its audit log (`count`), by user, verb and resource.
- **A run counts only if its end state is right**: every declared field has its value, and nothing undeclared was touched (`gate`).
- **Ratios come from runs that took turns** in one session (`session`), on a fresh cluster each, as the same user with the same priority.
- **Every run is kept** (`results`), also the bad ones; the report is made from what is kept (`report`), goals first (`goals`).
- **A session may be stopped and continued** (`plan`, `session`), and however it ends, nothing stays behind (`guard`).

Who takes part is in `bench.tools`, what is done to them in `bench.scenarios`. From a shell: ``python -m bench --help``.
"""
