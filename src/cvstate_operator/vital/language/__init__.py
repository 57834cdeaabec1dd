"""The two languages that a spec speaks: CEL about one object, PromQL about series. What they cost is known before they run."""
