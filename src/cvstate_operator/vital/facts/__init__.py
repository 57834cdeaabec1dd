"""What parts of a live object say, whatever its kind: fields, conditions, moments, quantities, replicas."""
