from recsys.encoders.backends.extras import need


def test_need_returns_the_module() -> None:
    assert need("json", "onnx").loads("1") == 1
