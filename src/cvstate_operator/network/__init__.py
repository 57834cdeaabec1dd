"""Network: where connections may lead that tenants asked for. Sends nothing itself."""
