"""Supervisors that claim, settle and beat; executor processes that run user code; the duties that keep the queue in order."""
