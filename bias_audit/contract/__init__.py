"""What an audit says, typed: the form of audit.json and of the details of an audit's manifest.

Readers of audits import this package only; it needs neither numpy nor torch.
"""
