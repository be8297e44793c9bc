# ruff: noqa: E501
"""The sentences of tus 1.0.0 that say MUST or MUST NOT, and the tests that hold us to them.

From protocol.md of github.com/tus/tus-resumable-upload-protocol (2016-03-25, MIT licence): the core
and the five extensions that are offered, in the text's order, links and line breaks taken out.
"""

from collections.abc import Callable
from typing import Any

from tests.api import test_tus as tests

CLIENT = "the client's duty, which no server can see kept"

Kept = tuple[Callable[..., Any], ...] | str

MUSTS: dict[str, Kept] = {
    # Core protocol
    "All Clients and Servers MUST implement the core protocol.": (
        tests.test_head_tells_the_offset,
        tests.test_a_wrong_offset_changes_nothing,
        tests.test_options_tell_what_is_spoken,
    ),
    "Upload-Offset: The value MUST be a non-negative integer.": (
        tests.test_a_wrong_offset_changes_nothing,
    ),
    "Upload-Length: The value MUST be a non-negative integer.": (
        tests.test_a_length_that_cannot_be,
    ),
    "The `Tus-Version` response header MUST be a comma-separated list of protocol versions supported by the Server.": (
        tests.test_options_tell_what_is_spoken,
    ),
    "The list MUST be sorted by Server's preference where the first one is the most preferred one.": (
        tests.test_options_tell_what_is_spoken,
    ),
    "The `Tus-Resumable` header MUST be included in every request and response except for `OPTIONS` requests.": (
        tests.test_every_answer_says_tus_resumable,
        tests.test_another_version_is_refused,
    ),
    "The value MUST be the version of the protocol used by the Client or the Server.": (
        tests.test_every_answer_says_tus_resumable,
    ),
    "If the version specified by the Client is not supported by the Server, it MUST respond with the `412 Precondition Failed` status and MUST include the `Tus-Version` header into the response.": (
        tests.test_another_version_is_refused,
    ),
    "In addition, the Server MUST NOT process the request.": (
        tests.test_another_version_is_refused,
    ),
    "The `Tus-Extension` response header MUST be a comma-separated list of the extensions supported by the Server.": (
        tests.test_options_tell_what_is_spoken,
        tests.test_what_is_not_offered_is_not_passed_over,
    ),
    "If no extensions are supported, the `Tus-Extension` header MUST be omitted.": (
        tests.test_options_tell_what_is_spoken,
    ),
    "The `Tus-Max-Size` response header MUST be a non-negative integer indicating the maximum allowed size of an entire upload in bytes.": (
        tests.test_options_tell_what_is_spoken,
    ),
    "The `X-HTTP-Method-Override` request header MUST be a string which MUST be interpreted as the request's method by the Server, if the header is presented.": (
        tests.test_the_method_that_is_meant_counts,
    ),
    "The actual method of the request MUST be ignored.": (
        tests.test_the_method_that_was_used_does_not_count,
    ),
    "The Server MUST always include the `Upload-Offset` header in the response for a `HEAD` request, even if the offset is `0`, or the upload is already considered completed.": (
        tests.test_head_tells_the_offset,
    ),
    "If the size of the upload is known, the Server MUST include the `Upload-Length` header in the response.": (
        tests.test_head_tells_the_offset,
        tests.test_creation_defer_length,
    ),
    "The Server MUST prevent the client and/or proxies from caching the response by adding the `Cache-Control: no-store` header to the response.": (
        tests.test_head_tells_the_offset,
    ),
    "All `PATCH` requests MUST use `Content-Type: application/offset+octet-stream`, otherwise the server SHOULD return a `415 Unsupported Media Type` status.": (
        tests.test_another_content_type_is_refused,
    ),
    "The `Upload-Offset` header's value MUST be equal to the current offset of the resource.": (
        tests.test_a_wrong_offset_changes_nothing,
    ),
    "If the offsets do not match, the Server MUST respond with the `409 Conflict` status without modifying the upload resource.": (
        tests.test_a_wrong_offset_changes_nothing,
    ),
    "The Server MUST acknowledge successful `PATCH` requests with the `204 No Content` status.": (
        tests.test_head_tells_the_offset,
    ),
    "It MUST include the `Upload-Offset` header containing the new offset.": (
        tests.test_a_wrong_offset_changes_nothing,
        tests.test_creation_defer_length,
    ),
    "The new offset MUST be the sum of the offset before the `PATCH` request and the number of bytes received and processed or stored during the current `PATCH` request.": (
        tests.test_creation_defer_length,
        tests.test_bytes_past_the_end_are_refused,
    ),
    "A successful response indicated by the `204 No Content` or `200 OK` status MUST contain the `Tus-Version` header.": (
        tests.test_options_tell_what_is_spoken,
    ),
    "The Client SHOULD NOT include the `Tus-Resumable` header in the request and the Server MUST ignore the header.": (
        tests.test_options_tell_what_is_spoken,
    ),
    # Creation
    "If the Server supports this extension, it MUST add `creation` to the `Tus-Extension` header.": (
        tests.test_options_tell_what_is_spoken,
    ),
    "Its value MUST be `1`.": (
        tests.test_a_length_that_cannot_be,
        tests.test_creation_defer_length,
    ),
    "If the length of an upload is not deferred, this header MUST be omitted.": (
        tests.test_head_tells_the_offset,
        tests.test_a_length_that_cannot_be,
    ),
    "The `Upload-Metadata` request and response header MUST consist of one or more comma-separated key-value pairs.": (
        tests.test_metadata_that_is_hostile,
        tests.test_creation,
    ),
    "The key and value MUST be separated by a space.": (
        tests.test_metadata_that_is_hostile,
        tests.test_creation,
    ),
    "The key MUST NOT contain spaces and commas and MUST NOT be empty.": (
        tests.test_metadata_that_is_hostile,
    ),
    "The key SHOULD be ASCII encoded and the value MUST be Base64 encoded.": (
        tests.test_metadata_that_is_hostile,
    ),
    "All keys MUST be unique.": (tests.test_metadata_that_is_hostile,),
    "The Client MUST send a `POST` request against a known upload creation URL to request a new upload resource.": CLIENT,
    "The request MUST include one of the following headers:": (tests.test_a_length_that_cannot_be,),
    "If the length was deferred using `Upload-Defer-Length: 1`, the Client MUST set the `Upload-Length` header in the next `PATCH` request, once the length is known.": CLIENT,
    "Once set the length MUST NOT be changed.": (tests.test_creation_defer_length,),
    "As long as the length of the upload is not known, the Server MUST set `Upload-Defer-Length: 1` in all responses to `HEAD` requests.": (
        tests.test_creation_defer_length,
    ),
    "If the Server supports deferring length, it MUST add `creation-defer-length` to the `Tus-Extension` header.": (
        tests.test_options_tell_what_is_spoken,
    ),
    "If an upload contains additional metadata, responses to `HEAD` requests MUST include the `Upload-Metadata` header and its value as specified by the Client during the creation.": (
        tests.test_creation,
    ),
    "If the length of the upload exceeds the maximum, which MAY be specified using the `Tus-Max-Size` header, the Server MUST respond with the `413 Request Entity Too Large` status.": (
        tests.test_a_length_that_cannot_be,
        tests.test_creation_defer_length,
    ),
    "The Server MUST acknowledge a successful upload creation with the `201 Created` status.": (
        tests.test_creation,
    ),
    "The Server MUST set the `Location` header to the URL of the created resource.": (
        tests.test_creation,
    ),
    "The Client MUST perform the actual upload using the core protocol.": CLIENT,
    # Creation With Upload
    "If the Server supports this extension, it MUST advertise this by including `creation-with-upload` in the `Tus-Extension` header.": (
        tests.test_options_tell_what_is_spoken,
    ),
    "Therefore, if the Server does not offer the Creation extension, it MUST NOT offer the Creation With Upload extension either.": (
        tests.test_options_tell_what_is_spoken,
    ),
    "The Client MUST include the `Content-Type: application/offset+octet-stream` header.": (
        tests.test_another_content_type_is_refused,
    ),
    "The Server SHOULD accept as many bytes as possible and MUST include the `Upload-Offset` header in the response and MUST set its value to the offset of the upload after applying the accepted bytes.": (
        tests.test_creation_with_upload,
    ),
    # Expiration
    "In order to indicate this behavior to the Client, the Server MUST add `expiration` to the `Tus-Extension` header.": (
        tests.test_options_tell_what_is_spoken,
    ),
    "This header MUST be included in every `PATCH` response if the upload is going to expire.": (
        tests.test_expiration,
    ),
    "If the expiration is known at the creation, the `Upload-Expires` header MUST be included in the response to the initial `POST` request.": (
        tests.test_creation,
    ),
    "The value of the `Upload-Expires` header MUST be in RFC 9110 datetime format.": (
        tests.test_expiration,
    ),
    # Termination
    "If this extension is supported by the Server, it MUST be announced by adding `termination` to the `Tus-Extension` header.": (
        tests.test_options_tell_what_is_spoken,
    ),
    "When receiving a `DELETE` request for an existing upload the Server SHOULD free associated resources and MUST respond with the `204 No Content` status confirming that the upload was terminated.": (
        tests.test_termination,
    ),
}


def test_every_sentence_has_its_tests() -> None:
    """Core and five extensions have 54 of them; three are a client's alone."""
    assert len(MUSTS) == 54
    assert all("MUST" in sentence for sentence in MUSTS)
    assert sum(kept == CLIENT for kept in MUSTS.values()) == 3
    named = {test for kept in MUSTS.values() if kept != CLIENT for test in kept}
    assert named <= {test for name, test in vars(tests).items() if name.startswith("test_")}
