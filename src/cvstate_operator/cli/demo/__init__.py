"""The demo: the whole main job, live, on a cluster of its own. Its Git server and its application serve the tests too."""
