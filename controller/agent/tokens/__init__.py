"""The one place through which an agent has tokens of ServiceAccounts: those that instances of its node mount, and no others."""
