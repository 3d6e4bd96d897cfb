"""Encoders of other kinds take Moonshine's place: their frames fall where Moonshine's do."""

import numpy as np
import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.speech import features, moonshine
from furrow.backend.speech.encoder import SpeechEncoder

onnx = pytest.importorskip("onnx")


def _convolution(path, stride, field):
    """An encoder as ONNX: each of 4 numbers of a frame is the mean square of the sound around it."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.full((4, 1, field), 1 / field, np.float32)
    nodes = [
        helper.make_node("Mul", ["input_values", "input_values"], ["square"]),
        helper.make_node("Unsqueeze", ["square", "axis"], ["line"]),
        helper.make_node("Conv", ["line", "weights"], ["found"], strides=[stride]),
        helper.make_node("Transpose", ["found"], ["last_hidden_state"], perm=[0, 2, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("input_values", TensorProto.FLOAT, ["batch", "samples"])],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    onnx.save(model, path)
    return path


def test_frames_of_20_ms_are_brought_to_24(tmp_path):
    """A click is loudest in the frame whose centre it is at, with wav2vec's convolutions too."""
    encoder = SpeechEncoder.load(_convolution(tmp_path / "hubert.onnx", 320, 400))
    assert encoder.frames_of_20_ms and encoder.width == 4
    frames = 60
    window = np.zeros((2, features.window_samples(frames)), np.float32)
    for row, frame in enumerate((20, 41)):
        centre = features.CENTRE + frame * features.STRIDE
        window[row, centre - 20 : centre + 20] = 0.5
    made = encoder(window)
    assert made.shape == (2, frames, 4)
    assert abs(int(made[0, :, 0].argmax()) - 20) <= 1 and abs(int(made[1, :, 0].argmax()) - 41) <= 1
    np.testing.assert_allclose(encoder(3 * window), made, rtol=1e-2, atol=1e-3)  # level: no matter


def test_moonshine_is_taken_as_it_is():
    if not moonshine.is_set_up():
        pytest.skip("python -m furrow.backend.speech.moonshine was not run")
    encoder = SpeechEncoder.load(moonshine.encoder_path())
    assert not encoder.frames_of_20_ms and encoder.width == 288
    window = np.zeros((1, features.window_samples(30)), np.float32)
    assert encoder(window).shape == (1, 30, 288)


def test_what_is_no_encoder_is_refused(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(FurrowError, match="no speech encoder") as error:
        SpeechEncoder.load(tmp_path / "broken.onnx")
    assert error.value.code == "missing_model"
    with pytest.raises(FurrowError, match="HuBERT 49"):
        SpeechEncoder.load(_convolution(tmp_path / "slow.onnx", 640, 800))


def test_a_network_of_another_encoder_is_learned_and_used(tmp_path):
    """From features of HuBERT's kind to weights: train's pieces, export, and the runtime."""
    torch = pytest.importorskip("torch")
    import soundfile
    from furrow.backend.speech.speech_model import SpeechModel
    from furrow.training.speech import export, visemes
    from furrow.training.speech.network import Config, SpeechNetwork

    encoder = _convolution(tmp_path / "hubert.onnx", 320, 400)
    torch.manual_seed(0)
    network = SpeechNetwork(Config(encoded=4, width=64, span=12, near=3), len(visemes.PHONES))
    folder = tmp_path / "own"
    folder.mkdir()
    export.export(network, folder, {"config": vars(network.config)}, encoder)
    assert (folder / "hubert.onnx").is_file()
    sound = np.random.default_rng(0).normal(0, 0.1, 16000)
    soundfile.write(tmp_path / "s.wav", sound, 16000)
    assert SpeechModel.load(folder).weights(tmp_path / "s.wav", 30).values.shape == (30, 52)
    (folder / "hubert.onnx").unlink()
    with pytest.raises(FurrowError, match=r"hubert\.onnx"):
        SpeechModel.load(folder)
