"""The tests: unit (rules with fakes), contract (one suite per port), integration, e2e."""
