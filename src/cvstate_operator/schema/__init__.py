"""Schema: whether an object has the form that its API asks for, without asking an API server.

Pure but for one file that comes with the package: the form of every kind Kubernetes itself serves. It never shows a value of a Secret.
"""
