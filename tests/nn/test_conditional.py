from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgan.nn.conditional import AuxiliaryClassifier, CodeHead, Projection
from jaxgan.nn.spectral import spectral_norm

LABEL = np.array([2, 0, 1, 1, 2], np.int32)


def _init(head, *inputs):
    """What the head makes with random variables, and the variables."""
    shapes = jax.eval_shape(head.init, jax.random.key(0), *inputs)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda s: rng.standard_normal(s.shape).astype(s.dtype), shapes)
    return jax.jit(head.apply)(variables, *inputs), variables


def _norm(matrix):
    return np.linalg.norm(np.asarray(matrix), 2)


def test_projection_example_by_example(normal):
    x = normal((5, 4))
    y, variables = _init(Projection(3), x, LABEL)
    psi, embedding = variables["params"]["psi"], variables["params"]["embed"]["embedding"]
    for i, c in enumerate(LABEL):
        expected = x[i] @ psi["kernel"][:, 0] + psi["bias"][0] + embedding[c] @ x[i]
        np.testing.assert_allclose(y[i], expected, rtol=1e-5, atol=1e-6)
    other = Projection(3).apply(variables, x, (LABEL + 1) % 3)
    assert np.abs(y - other).min() > 1e-3  # the control: another class
    f = jax.jit(lambda x: jnp.tanh(Projection(3).apply(variables, x, LABEL)))
    check_grads(f, (x,), order=2, modes=["rev"], atol=0.02, rtol=0.02)


def test_projection_with_both_parts_of_spectral_norm_1(normal):
    x = normal((5, 4))
    head = Projection(3, spectral=True)
    _, variables = _init(head, x, LABEL)
    step = jax.jit(partial(head.apply, mutable=["spectral"]))
    for _ in range(50):
        variables = {**variables, **step(variables, x, LABEL)[1]}
    psi, embedding = variables["params"]["psi"]["kernel"], variables["params"]["embed"]["embedding"]
    exact, _ = spectral_norm(embedding, variables["spectral"]["embed"]["u"], 0)
    np.testing.assert_allclose(_norm(exact), 1, rtol=1e-4)
    bias = variables["params"]["psi"]["bias"]
    expected = x @ psi[:, 0] / _norm(psi) + bias + (embedding[LABEL] * x).sum(-1) / _norm(embedding)
    np.testing.assert_allclose(head.apply(variables, x, LABEL), expected, rtol=1e-4, atol=1e-5)
    plain = Projection(3).apply({"params": variables["params"]}, x, LABEL)
    assert np.abs(plain - expected).max() > 0.1  # the control


def test_auxiliary_classifier(normal):
    x = normal((5, 4))
    (source, classes), variables = _init(AuxiliaryClassifier(3), x)
    one, many = variables["params"]["source"], variables["params"]["classes"]
    assert (source.shape, classes.shape) == ((5,), (5, 3))
    np.testing.assert_allclose(source, (x @ one["kernel"] + one["bias"])[:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(classes, x @ many["kernel"] + many["bias"], rtol=1e-5, atol=1e-6)
    assert np.abs(source - classes[:, 0]).max() > 0.1  # the control: the source has weights of its own


@pytest.mark.parametrize(("categories", "continuous"), [((10,), 2), ((3, 4), 0), ((), 5)])
def test_code_head(normal, categories, continuous):
    x = normal((5, 4))
    (logits, means), variables = _init(CodeHead(categories, continuous), x)
    assert [v.shape for v in logits] == [(5, k) for k in categories]
    assert means.shape == (5, continuous)
    dense = variables["params"]["Dense_0"]
    whole = x @ dense["kernel"] + dense["bias"]
    np.testing.assert_allclose(np.concatenate([*logits, means], -1), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("head", "labels"),
    [
        (Projection(3), (LABEL,)),
        (Projection(3, True), (LABEL,)),
        (AuxiliaryClassifier(3), ()),
        (CodeHead(), ()),
    ],
)
def test_bfloat16_inside_float32_outside(normal, key, head, labels):
    x = normal((5, 64))
    half, variables = _init(head.clone(dtype=jnp.bfloat16), x, *labels)
    assert {v.dtype for v in jax.tree.leaves((half, variables))} == {jnp.dtype("float32")}
    full = jax.jit(head.apply)(variables, x, *labels)
    for a, b in zip(jax.tree.leaves(half), jax.tree.leaves(full), strict=True):
        assert 0 < np.abs(a - b).max() < 0.1
    with pytest.raises(ValueError, match=r"features \[B, F\], not \(5, 8, 8\)"):
        jax.eval_shape(head.init, key, jnp.zeros((5, 8, 8)), *labels)


def test_labels_that_do_not_fit(normal):
    x = normal((5, 4))
    _, variables = _init(Projection(3), x, LABEL)
    assert np.isnan(Projection(3).apply(variables, x, LABEL + 1)[LABEL == 2]).all()
    with pytest.raises(ValueError, match=r"need labels \[B\], not \(5, 1\)"):
        Projection(3).apply(variables, x, LABEL[:, None])
    with pytest.raises(ValueError, match="integer"):
        Projection(3).apply(variables, x, LABEL * 1.0)
