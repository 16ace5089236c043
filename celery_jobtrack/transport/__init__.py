"""Broker transports for kombu: how messages travel when there is no server.

`filesystem` is kombu's file-system transport made safe for many processes at once. It is chosen with
`broker_transport="celery_jobtrack.transport.filesystem:Transport"` and knows nothing of jobs.
`order` says in which order queues are looked into, and `ordered` has every transport do so.

May import: kombu and the standard library only. Never belongs here: Celery, tracking, stores, anything
that asks what a message means.
"""
