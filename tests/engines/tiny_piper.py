"""Piper voices for tests, written with numpy alone: 130 kB, made in a few milliseconds.

A voice made here is a graph that looks up a short wave for each phoneme and stretches it by the
length scale. How it sounds is nobody's business; how long it is, is exact: SAMPLES_PER_ID samples
for each phoneme id at length scale 1. With several speakers, each is quieter than the one before.

An ONNX file is a protobuf message. The little of protobuf that is needed is `_field`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 22_050  # Hz
SAMPLES_PER_ID = 882  # 40 ms
WAVE = 128  # samples of each phoneme's wave in the table
SYMBOLS = 256  # phoneme ids that the table has
SILENT_IDS = 14  # padding, borders, space, punctuation
IR_VERSION, OPSET = 9, 17  # of ONNX
FLOAT, INT64 = 1, 7  # ONNX's numbers for element types
INT_ATTRIBUTE, STRING_ATTRIBUTE = 2, 3  # ONNX's numbers for attribute types


def make(file: Path, speakers: int = 1, voice: str = "en-us") -> Path:
    """A voice in `file` and `file`.json."""
    from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP

    names = {f"p{number}": number for number in range(speakers)} if speakers > 1 else {}
    config = {
        "audio": {"sample_rate": RATE},
        "espeak": {"voice": voice},
        "phoneme_type": "espeak",
        "num_symbols": SYMBOLS,
        "num_speakers": speakers,
        "inference": {"noise_scale": 0.0, "length_scale": 1.0, "noise_w": 0.0},
        "speaker_id_map": names,
        "phoneme_id_map": {k: list(v) for k, v in DEFAULT_PHONEME_ID_MAP.items()},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_model(speakers))
    file.with_name(f"{file.name}.json").write_text(json.dumps(config), "utf-8")
    return file


def _model(speakers: int) -> bytes:
    tensors: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {
        "waves": _waves(),
        "flat": np.array([1, 1, -1], np.int64),
        "length_scale_at": np.array([1], np.int64),
        "stretch": np.array([SAMPLES_PER_ID / WAVE], np.float32),
        "unstretched": np.ones(2, np.float32),
        "region": np.array([], np.float32),
    }
    nodes = [
        _node("Gather", ["waves", "input"], "looked_up", axis=0),
        _node("Reshape", ["looked_up", "flat"], "joined"),
        _node("Gather", ["scales", "length_scale_at"], "length_scale", axis=0),
        _node("Mul", ["length_scale", "stretch"], "factor"),
        _node("Concat", ["unstretched", "factor"], "factors", axis=0),
        _node(
            *("Resize", ["joined", "region", "factors"], "sound"),
            mode="linear",
            coordinate_transformation_mode="asymmetric",
        ),
    ]
    inputs = [
        _value("input", INT64, [1, "phonemes"]),
        _value("input_lengths", INT64, [1]),
        _value("scales", FLOAT, [3]),
    ]
    if speakers > 1:
        tensors["gains"] = np.linspace(1, 0.3, speakers).astype(np.float32)
        inputs.append(_value("sid", INT64, [1]))
        nodes.append(_node("Gather", ["gains", "sid"], "gain", axis=0))
        nodes.append(_node("Mul", ["sound", "gain"], "output"))
    else:
        nodes.append(_node("Identity", ["sound"], "output"))
    graph = b"".join(
        [
            *(_field(1, node) for node in nodes),
            _field(2, "tiny"),
            *(_field(5, _tensor(name, array)) for name, array in tensors.items()),
            *(_field(11, value) for value in inputs),
            _field(12, _value("output", FLOAT, [1, 1, "samples"])),
        ]
    )
    opset = _field(1, "") + _field(2, OPSET)
    return _field(1, IR_VERSION) + _field(7, graph) + _field(8, opset)


def _waves() -> NDArray[np.float32]:
    turns = np.random.default_rng(0).integers(1, 12, SYMBOLS)[:, None]
    waves = 0.5 * np.sin(2 * np.pi * turns * np.arange(WAVE) / WAVE)
    waves[:SILENT_IDS] = 0
    return waves.astype(np.float32)


def _varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def _field(number: int, value: int | str | bytes) -> bytes:
    """One field of a protobuf message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    packed = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(packed)) + packed


def _tensor(name: str, array: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    kind = FLOAT if array.dtype == np.float32 else INT64
    shape = b"".join(_field(1, size) for size in array.shape)
    return shape + _field(2, kind) + _field(8, name) + _field(9, array.tobytes())


def _value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(_field(1, _field(1 if isinstance(s, int) else 2, s)) for s in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, sizes)))


def _node(operation: str, inputs: list[str], output: str, **attributes: int | str) -> bytes:
    body = b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, operation)
    for name, value in attributes.items():
        if isinstance(value, int):
            packed = _field(3, value) + _field(20, INT_ATTRIBUTE)
        else:
            packed = _field(4, value) + _field(20, STRING_ATTRIBUTE)
        body += _field(5, _field(1, name) + packed)
    return body
