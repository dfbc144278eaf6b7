"""Writes vectors.jsonl: every message as Google's implementation of protobuf encodes it, in binary and in JSON.

    pip install protobuf==7.36.2
    python3 vectors.py

A line is one case: `message`, `case`, `bytes` in hex, and `json`. Where an encoder has something else to say than
`bytes`, because those are not in the canonical form, that is `encoded`.
"""

import json
import math
import pathlib

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.internal import api_implementation
from google.protobuf.descriptor import FieldDescriptor as Field

HERE = pathlib.Path(__file__).parent
TEXTS = ["BTC-PERP", "naïve 價格 🚀", "a\0b\t\"\\\n</script>", "\u202eright to left\u2028", " ", "x" * 130]
DOUBLES = [0.1, -1.5e-300, 5e-324, 1.7976931348623157e308, -0.0, math.nan, math.inf, -math.inf, 123456789.123456789, 1e21]
INT32 = [-(2**31), 2**31 - 1, -1, 18]
INT64 = [2**63 - 1, -(2**63), -1, 2**53 + 1]
TIMES = [(-62135596800, 0), (253402300799, 999999999), (1763877600, 250000000), (-1, 1), (0, 1000)]
STRUCT = {
    "empty list": [], "empty object": {}, "false": False, "null": None, "number": -2.5, "text": "naïve 🚀", "zero": 0,
    "nested": {"list": [1, "two", None, [True, {"three": 3e30}]]},
}


def own(field):
    return field.message_type.full_name.startswith("cqc.")


def targets(message, field):
    """The function that sets a field: the value of a scalar, or what fills in a message."""
    if field.type != Field.TYPE_MESSAGE:
        return lambda value: setattr(message, field.name, value)
    if field.is_repeated:
        return lambda fill: [fill(getattr(message, field.name).add()) for _ in range(2)]
    getattr(message, field.name).SetInParent()
    return lambda fill: fill(getattr(message, field.name))


def fill(message, pick):
    """Sets every field to what `pick` says of its place and kind."""
    for place, field in enumerate(message.DESCRIPTOR.fields):
        if field.type == Field.TYPE_MESSAGE and own(field):
            targets(message, field)(lambda part: fill(part, pick))
        else:
            targets(message, field)(pick(place, field))


def zero(_, field):
    if field.type == Field.TYPE_MESSAGE:
        return lambda message: message.SetInParent()
    return {Field.TYPE_STRING: "", Field.TYPE_BOOL: False, Field.TYPE_DOUBLE: 0.0}.get(field.type, 0)


def usual(place, field):
    if field.type == Field.TYPE_MESSAGE:
        if field.message_type.name == "Struct":
            return lambda struct: struct.update({"place": place, "name": field.name})
        return lambda time: time.MergeFrom(type(time)(seconds=1763877600 + place, nanos=place * 1000000))
    return {
        Field.TYPE_STRING: f"{field.name} {place}",
        Field.TYPE_BOOL: True,
        Field.TYPE_DOUBLE: place + 0.25,
        Field.TYPE_ENUM: len(field.enum_type.values) - 1 if field.enum_type else 0,
    }.get(field.type, place + 1)


def extreme(turn):
    def pick(place, field):
        at = lambda values: values[(place + turn) % len(values)]
        if field.type == Field.TYPE_MESSAGE:
            if field.message_type.name == "Struct":
                return lambda struct: struct.update(STRUCT)
            seconds, nanos = at(TIMES)
            return lambda time: time.MergeFrom(type(time)(seconds=seconds, nanos=nanos))
        return {
            Field.TYPE_STRING: at(TEXTS),
            Field.TYPE_BOOL: bool((place + turn) % 2),
            Field.TYPE_DOUBLE: at(DOUBLES),
            Field.TYPE_INT32: at(INT32),
            Field.TYPE_INT64: at(INT64),
            Field.TYPE_ENUM: at([0, 1, 2]),
        }[field.type]

    return pick


def newer(place, field):
    """Values of enums that no version has yet."""
    if field.type == Field.TYPE_ENUM:
        return [1000, -1, 2**31 - 1][place % 3]
    return usual(place, field)


# Of each wire type one field, under numbers that no message uses.
UNKNOWN = bytes.fromhex("c03e ac02" "c93e 0102030405060708" "d23e 03 616263" "db3e 08 01 dc3e" "e53e 01020304".replace(" ", ""))


def cases(kind):
    def made(pick):
        message = kind()
        fill(message, pick)
        return message.SerializeToString(deterministic=True)

    yield "empty", b""
    yield "zero", made(zero)
    yield "usual", made(usual)
    for turn in (0, 3, 7):
        yield f"extreme {turn}", made(extreme(turn))
    yield "newer enums", made(newer)
    yield "unknown fields", UNKNOWN + made(usual) + UNKNOWN
    yield "merged", made(extreme(0)) + made(usual)
    for field in kind.DESCRIPTOR.fields:
        single, full = kind(), kind()
        fill(full, usual)
        for name, value in full.ListFields():
            if name.name == field.name:
                getattr(single, field.name).MergeFrom(value) if field.type == Field.TYPE_MESSAGE else setattr(single, field.name, value)
        yield f"only {field.name}", single.SerializeToString(deterministic=True)


def main():
    files = descriptor_pb2.FileDescriptorSet.FromString((HERE / "../../src/descriptors.binpb").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    print("protobuf runtime:", api_implementation.Type())
    with open(HERE / "vectors.jsonl", "w", encoding="ascii", newline="\n") as out:
        for file in sorted(files.file, key=lambda file: file.name):
            if not file.package.startswith("cqc."):
                continue
            for message in file.message_type:
                name = f"{file.package}.{message.name}"
                kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
                for case, encoded in cases(kind):
                    read = kind.FromString(encoded)
                    line = {"message": name, "case": case, "bytes": encoded.hex()}
                    read.DiscardUnknownFields()
                    again = read.SerializeToString(deterministic=True)
                    if again != encoded:
                        line["encoded"] = again.hex()
                    line["json"] = json_format.MessageToDict(read)
                    if case == "usual":
                        line["proto_names"] = json_format.MessageToDict(read, preserving_proto_field_name=True)
                    out.write(json.dumps(line, allow_nan=False, sort_keys=True) + "\n")


main()
