"""Uploads in the words of servers that exist, for clients that know only these.

`cdi`: CDI's upload proxy. `longhorn`: longhorn-manager. `harvester`: Harvester's API. Each takes
the bytes on the way of every other upload (looked at, planned, counted, shown), into the object
that its client has made there, and answers in its server's own form. docs/compat.md says for each
who authorises, which requests are taken, and what differs.
"""
