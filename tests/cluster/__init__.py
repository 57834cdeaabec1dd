"""A real Kubernetes control plane for tests, the demo and benchmarks, without containers.

The programs are the upstream ones (etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok), built once by the ordinary Go client and kept in
the user's cache. Any number of clusters run side by side, each on free loopback ports and in a state directory of its own.

    >>> from tests.cluster.control_plane import Cluster
    >>> with Cluster.start(quiet=True) as cluster:
    ...     cluster.kubectl("get", "namespaces")

From a shell: ``python -m tests.cluster up`` and ``python -m tests.cluster --help``.

How the modules stand on each other, from the ground up:

    errors, locations                        what goes wrong; where files live
    programs -> toolchain, progress -> builds        what is built; how it is built, once
    processes, ports, certificates, kubeconfig, api_client       the pieces a cluster is made of
    state                                    the directory of one cluster, and which clusters there are
    command_lines -> stack -> supervisor     flags; start order; the process that holds the programs
    control_plane, audit                     what a test uses
    __main__                                 what a shell uses

It must never leave a process or a directory behind, listen on anything but loopback, or signal a process it did not start.
"""
