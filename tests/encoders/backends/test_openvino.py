import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recsys.encoders.backends.choice import make_backend
from recsys.encoders.backends.openvino import GRAPH, WEIGHTS, export_openvino
from recsys.encoders.encoder import Encoder
from recsys.encoders.settings import TextSettings

openvino = pytest.importorskip("openvino", reason="OpenVINO is an extra")


def test_linear_layers_have_8_bits(encoder: Encoder) -> None:
    files = export_openvino(encoder)
    weights = openvino.Tensor(np.frombuffer(files[WEIGHTS], np.uint8))
    model = openvino.Core().read_model(files[GRAPH], weights)
    kinds = [str(each.get_element_type()) for each in model.get_ordered_ops() if each.get_type_name() == "Constant"]
    assert sum("int8" in kind for kind in kinds) == 3 * 6


def test_a_column_of_zeros_stays_zero(tiny_encoder: Path, texts: list[str]) -> None:
    damaged = Encoder.load(tiny_encoder)
    damaged.network.encoder.layer[0].attention.self.value.weight.data[3] = 0
    backend, _ = make_backend(damaged, TextSettings(backend="openvino", max_tokens=12), texts)
    assert np.isfinite(backend.embed(texts)).all()


def test_nothing_that_could_send_usage_data_is_loaded(saved) -> None:
    made = saved("openvino")
    program = (
        "import sys\nfrom pathlib import Path\nfrom recsys.encoders.backends.choice import load_backend\n"
        "from recsys.encoders.settings import TextSettings\n"
        "load_backend(Path(sys.argv[1]), TextSettings(backend='openvino'))\n"
        "loaded = [name for name, module in sys.modules.items() if 'openvino_telemetry' in name and module]\n"
        "assert not loaded, loaded\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(made.folder)], check=True)
