"""Servers for tests: real sockets, real bytes, and faults that are fields.

================  ==============================================================================
`web`             a web server that is wrong as servers are wrong
`api`             the service itself, for what cannot be provoked from the real one
`running`         the service in the test's loop; `process` as a process; `gated` held at steps
`kubernetes`      a Kubernetes API: objects, watches, access, conflicts
`longhorn`        longhorn-manager and data-source servers; `Longhorn` hooks them to that API
`cdi`             CDI's upload proxy and upload servers; `Cdi` hooks them to that API
`site`            all of a cluster together, with a storage class of every kind
================  ==============================================================================

Longhorn and CDI were written from transcripts of the real servers and from their sources
(longhorn-manager 5ddaa369f, backing-image-manager 639c6447, CDI c07cdb6fb; August 2026).
``transcripts/`` holds what was recorded, and ``test_*_transcripts.py`` sends it again: every
recorded status, every header that matters, body, state and file comes out the same. What could
not be had stands there under ``left_out``. "facts, A2" in a comment is a section of the notes
that were made of those sources; "(util.go:406)" is a line of them.

**Simulated by real means**: TLS with an authority of the tests' own; tokens (PS256, five minutes
and ten seconds of leeway); qemu-img for sizes and converts; gzip, xz and zstd; SHA-512; volumes
and backing images as sparse files, to be compared with ``qemu-img compare``; data sources on
loopback addresses of their own, at the port that Longhorn gives them.

**Simulated by rules**: BackingImage → BackingImageDataSource → pod → states, copies, clean-up and
deletion, the webhooks' refusals and changes; DataVolume → claim, prime claim, scratch claim, pod,
annotations, events, conditions, phases, restarts; StorageProfiles; tokens; binding at once and
for the first consumer; file system overhead.

**Not simulated**: HTTP/2 (aiohttp speaks 1.1) and the proxy's second TLS hop; CDI's importer,
how clones are made, archives and ``VolumeImportSource``; claims that are uploaded to without a
DataVolume; the upload server's deadline; Longhorn's engine, replicas, backups, exports and engine
v2's images; its API but for upload and download; node and disk selectors; Harvester's own
controllers; kubelet's back-off in seconds (`restarting` is a gate); speed.

Time: limits are fields (`start_limit`, `ready_limit`), clocks are fields (`clock.HandClock` is
moved by hand), and gates (`scheduling`, `hashing`, `converting`, `binding` ...) are events that are
set unless a test clears them. Nothing waits for its own sake.

Faults, most of them fields of the next servers, given as ``Longhorn.tries`` and ``Cdi.tries``:

=============================================  =================================================
a data source or copy fails                    ``fail_after``, ``fail_with``, `Longhorn.fail`
nobody uploads in time; a client stalls        ``start_limit``, ``idle_limit``
pods die                                       `kill_pod`, ``kill_after``, `Cdi.fail_pod`
an image is deleted amid its upload            delete it through the API
a convert fails, before or after the 200       ``convert_error``, ``convert_failures``
a file system or claim is full                 ``no_space_after``, or a small claim
no storage, no quota, no node, no image        `Cdi.unprovisionable`, `exceeded_quota`,
                                               `unschedulable`, `no_scratch`, `pod_waits`
tokens expire; clocks differ                   `UploadProxy.unauthorized`, `UploadProxy.skew`
an ingress answers with a page                 `UploadProxy.pages`, `LonghornManager.pages`
a claim is lost; a ready copy goes bad         `Cdi.lose_claim`, `Longhorn.lose`
=============================================  =================================================
"""
