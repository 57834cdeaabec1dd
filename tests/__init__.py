"""Tests of cvstate-operator, and the real control plane they run on (`tests.cluster`)."""
