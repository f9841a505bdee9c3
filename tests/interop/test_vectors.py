"""A second reader of the protocol, in JavaScript and written from SPEC.md: it comes to the same outcome everywhere."""

from base64 import b64encode

import pytest

from vectors import field, judge, made_files, shape

pytestmark = pytest.mark.interop


def spelled(value):
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return [spelled(part) for part in value] if isinstance(value, list) else value


def job(vector):
    return {"read": vector.read, "inputs": {name: spelled(value) for name, value in vector.inputs.items()}}


def differing(vectors, outcomes):
    """What came out otherwise than a vector says."""
    found = []
    for vector, (outcome, output) in zip(vectors, outcomes, strict=True):
        if outcome != vector.expect or (vector.output is not None and output != vector.output):
            found.append((vector.id, vector.expect, outcome, output))
    return found


def told(node, vectors):
    answers = node("vectors_peer.mjs", [job(vector) for vector in vectors])
    return [(answer["outcome"], answer.get("output")) for answer in answers]


def test_a_second_reader_comes_to_the_same_outcome_in_every_vector(node):
    vectors = list(shape.read_all())
    assert differing(vectors, told(node, vectors)) == []


def test_vectors_that_are_drawn_anew_mean_what_they_meant(node):
    made = made_files.make(field.Recorded(draw=True))
    vectors = [vector for data in made.values() for vector in shape.read(data)]
    assert differing(vectors, [judge.judge(vector) for vector in vectors]) == []
    assert differing(vectors, told(node, vectors)) == []
