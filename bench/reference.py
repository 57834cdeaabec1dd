"""Figures of a peer that does not take part, as they were measured on another day: for a sense of size, never for a ratio. Read by `report`."""

from typing import Final

REFERENCE: Final = """\
## Argo CD, measured another day

**Not part of these runs, and not to be divided by them**: single runs on another day, on 2 cores that server and client shared (kube-apiserver 1.36.3, etcd
without fsync), 1,000 mixed objects. They are here for a sense of size. Argo CD 3.5.1, application-controller, repo-server and redis. *Tuned*: client
QPS 300 and burst 600, 50 status and 25 operation processors, kubectl parallelism 50, ServerSideApply, ApplyOutOfSyncOnly; a push told by the refresh
annotation. *Live*: with kube-controller-manager, its default settings and ServerSideApply, automated with prune and selfHeal.

| | tuned, quiet | defaults, live |
|---|---|---|
| S1 cold | 49.0 s | 70.9 s |
| requests per object | 3.1 | 3 |
| own CPU, server CPU | 67.6 s, 15.9 s | 65.6 s, 19 s |
| memory: controller, repo-server (redis comes on top) | 579 MB, 125 MB | 395 MB, 130 MB |
| S2 one object changed | 2.8 s, 8 requests on objects, own CPU 2.3 s | – |
| S3 idle | – | 3.7 CPU seconds in 4 minutes, 66 watches, every kind listed again every 10 minutes |
| S4 one drifted field | – | 0.92 s the first; then an edit of the same application every 3 s: p50 28 s, 2 of 8 over 60 s (it backs off per application) |
| S5 kill -9 → first comparison | 1.6 s, 66 lists | – |

To measure it in turns with the others, write an adapter: [benchmarking](benchmarking.md#another-tool).
"""
