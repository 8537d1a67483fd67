"""Closed forms on the Dirac-GAN (Mescheder et al. 2018, definition 2.1), each beside a game that lacks
what is claimed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import dynamics, methods, parallel, steps
from jaxgan.data import Dataset, resident
from jaxgan.game import GAN, GANState, Optimizers, Player
from jaxgan.losses.adversarial import minimax
from jaxgan.losses.penalties import r1
from jaxgan.program import Program

ORIGIN = (np.zeros(()), np.zeros(()))  # psi and theta at the equilibrium
BATCHES = {"image": np.zeros((1, 2)), "slot": np.arange(2)[None]}
BATCH = {name: x[0] for name, x in BATCHES.items()}
RATES = [0.1, 0.7]


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def _dirac(gamma=0.0):
    """D(x) = psi x, the data are at 0, G makes theta."""

    def d_loss(psi, state, batch, key):
        real, fake = batch["image"], state.g.params * jnp.ones_like(batch["image"])
        penalty = r1(lambda x: psi * x, real, fake, key, batch["slot"], gamma=gamma)
        return (minimax.d(psi * real, psi * fake) + penalty).mean(), (state, {})

    def g_loss(theta, state, batch, key):
        fake = theta * jnp.ones_like(batch["image"])
        return minimax.g(0 * fake, state.d.params * fake).mean(), (state, {})

    return GAN(
        init=lambda key, batch: ({"params": jnp.ones(())}, {"params": jnp.ones(())}, ()),
        d_loss=d_loss,
        g_loss=g_loss,
        latent=lambda key, slot: jnp.zeros(len(slot)),
        sample=lambda variables, z, condition=None: variables["params"] + 0 * z,
    )


def _state(point, opts):
    d, g = point
    return GANState(
        step=jnp.int32(0),
        key=jax.random.key(0),
        g=Player(g, {}, opts.g.init(g)),
        d=Player(d, {}, opts.d.init(d)),
    )


def _sgd(rate):
    return Optimizers(optax.sgd(rate), optax.sgd(rate))


def _update(step, gan, opts):
    """One train step as a map of (psi, theta)."""

    def move(point):
        after, _ = step(gan, opts, _state(point, opts), BATCHES)
        return after.d.params, after.g.params

    return move


def _spectrum(step, gan, opts):
    return dynamics.eigenvalues(_update(step, gan, opts), ORIGIN)


def _radius_after(step, gan, opts, n):
    """|(psi, theta)| after n steps from (0.5, 0.5), which is 0.71 away."""
    state, _ = jax.jit(lambda s: steps.train_chunk(partial(step, gan, opts), lambda _: BATCHES, s, n))(
        _state((jnp.float32(0.5), jnp.float32(0.5)), opts)
    )
    return float(jnp.hypot(state.d.params, state.g.params))


def test_eigenvalues_of_any_map_of_a_pytree(double):
    matrix = np.array([[0.0, -2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 3.0]])

    def step(point):
        x = matrix @ jnp.append(point["a"], point["b"])
        return {"a": x[:2], "b": x[2]}

    point = {"a": np.ones(2), "b": np.ones(())}
    values = dynamics.eigenvalues(step, point)
    assert values.dtype == np.complex128
    np.testing.assert_allclose(values, [3, 2j, -2j], atol=1e-15)
    real = dynamics.eigenvalues(lambda x: x**2, np.array([1.0, -3.0]))
    assert real.dtype == np.complex128
    np.testing.assert_array_equal(real, [-6, 2])


def test_a_game_of_two_time_scales(double):
    """Heusel et al. 2017: f(x, y) = (1 + x^2)(100 - y^2), whose motion at 0 is -200 x and -2 y."""

    def f(y, x):
        return (1 + x**2) * (100 - y**2)

    field = dynamics.vector_field(lambda y, x: -f(y, x), f)
    np.testing.assert_allclose(dynamics.eigenvalues(field, ORIGIN), [-200, -2])

    def update(d_rate, g_rate):
        rates = (d_rate, g_rate)
        return lambda point: jax.tree.map(lambda p, v, h: p + h * v, point, field(point), rates)

    radii = [
        abs(dynamics.eigenvalues(update(*h), ORIGIN)[0]) for h in [(0.5, 0.005), (0.005, 0.005), (0.5, 0.5)]
    ]
    np.testing.assert_allclose(radii, [0, 0.99, 99], atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 2.0])
def test_r1_damps_the_field(double, gamma):
    """-gamma / 2 +- sqrt(gamma^2 / 4 - 1 / 4); without it nothing is damped."""
    gan, key = _dirac(gamma), jax.random.key(0)

    def loss(of, params):
        return lambda d, g: of(params(d, g), _state((d, g), _sgd(0.1)), BATCH, key)[0]

    field = dynamics.vector_field(loss(gan.d_loss, lambda d, g: d), loss(gan.g_loss, lambda d, g: g))
    root = np.emath.sqrt(gamma**2 / 4 - 1 / 4)
    expected = sorted([-gamma / 2 + root, -gamma / 2 - root], key=lambda x: (-abs(x), -np.imag(x)))
    np.testing.assert_allclose(dynamics.eigenvalues(field, ORIGIN), expected, atol=1e-14)


@pytest.mark.parametrize("h", RATES)
def test_simultaneous_updates_spiral_out_and_alternating_ones_circle(double, h):
    simultaneous = _spectrum(dynamics.simultaneous_step, _dirac(), _sgd(h))
    np.testing.assert_allclose(simultaneous, [1 + 0.5j * h, 1 - 0.5j * h], atol=1e-14)
    np.testing.assert_allclose(abs(simultaneous), np.sqrt(1 + h**2 / 4), rtol=1e-14)
    alternating = _spectrum(steps.train_step, _dirac(), _sgd(h))
    np.testing.assert_allclose(abs(alternating), 1, rtol=1e-14)
    np.testing.assert_allclose(alternating.real, 1 - h**2 / 8, rtol=1e-14)


@pytest.mark.parametrize("h", RATES)
def test_extragradient_converges(double, h):
    """1 - h^2 / 4 +- i h / 2; in general I - h J + h^2 J^2, J being the gradients' Jacobian."""
    values = _spectrum(dynamics.extragradient_step, _dirac(), _sgd(h))
    np.testing.assert_allclose(values, [1 - h**2 / 4 + 0.5j * h, 1 - h**2 / 4 - 0.5j * h], atol=1e-14)
    assert abs(values[0]) < 1
    j = np.array([[0.3, 0.5], [-0.5, 0.0]])
    damped = _spectrum(dynamics.extragradient_step, _dirac(0.3), _sgd(h))
    expected = np.linalg.eigvals(np.eye(2) - h * j + h**2 * j @ j)
    np.testing.assert_allclose(damped, sorted(expected, key=lambda x: -x.imag), atol=1e-14)


@pytest.mark.parametrize("h", RATES)
def test_optimistic_updates_converge(double, h):
    """The roots of m^2 - (1 - 2 h l) m - h l, where l = +- i / 2 is the gradients' Jacobian's."""
    tx = optax.optimistic_gradient_descent(h)

    def remembering(params, gradient):
        first, *rest = tx.init(params)
        return Player(params, {}, (first._replace(is_initial_step=False, previous_gradient=gradient), *rest))

    def move(point):
        d, g, d_gradient, g_gradient = point
        state = _state((d, g), _sgd(h))
        state = state.replace(d=remembering(d, d_gradient), g=remembering(g, g_gradient))
        after, _ = dynamics.simultaneous_step(_dirac(), Optimizers(tx, tx), state, BATCHES)
        return after.d.params, after.g.params, *(p.opt[0].previous_gradient for p in (after.d, after.g))

    values = dynamics.eigenvalues(move, ORIGIN + ORIGIN)
    roots = np.concatenate([np.roots([1, 2 * h * x - 1, -h * x]) for x in (0.5j, -0.5j)])
    np.testing.assert_allclose(values, roots[np.lexsort((-roots.imag, -abs(roots).round(9)))], atol=1e-9)
    assert abs(values[0]) < 1


@pytest.mark.parametrize("h", RATES)
@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_consensus_damps_both_players(double, h, gamma):
    """1 - h gamma / 4 +- i h / 2, J^T J being 1 / 4; with gamma 0 it is the simultaneous update."""
    values = _spectrum(dynamics.simultaneous_step, dynamics.consensus(_dirac(), gamma), _sgd(h))
    real = 1 - h * gamma / 4
    np.testing.assert_allclose(values, [real + 0.5j * h, real - 0.5j * h], atol=1e-14)


def test_far_from_the_equilibrium_too():
    """At rate 0.4, 300 steps: what the spectra say holds for the game itself."""
    gan, h = _dirac(), 0.4
    optimistic = Optimizers(*[optax.optimistic_gradient_descent(h)] * 2)
    assert _radius_after(dynamics.simultaneous_step, gan, _sgd(h), 300) > 1.5
    assert 0.5 < _radius_after(steps.train_step, gan, _sgd(h), 300) < 1
    assert _radius_after(dynamics.extragradient_step, gan, _sgd(h), 300) < 0.01
    assert _radius_after(dynamics.simultaneous_step, gan, optimistic, 300) < 0.01
    assert _radius_after(dynamics.simultaneous_step, dynamics.consensus(gan, 1.0), _sgd(h), 300) < 0.01
    assert _radius_after(steps.train_step, dynamics.unrolled(gan, _sgd(h), 3), _sgd(h), 300) < 0.01


@pytest.mark.parametrize("k", [0, 1, 4])
def test_unrolling_damps_the_generator(double, k):
    """G's gradient is -psi / 2 + damping theta, with K eta / 2, of which K eta / 4 is only the look
    ahead; so an alternating step's eigenvalues have modulus sqrt(1 - h damping)."""
    eta, h = 0.3, 0.2
    for stop_gradient, damping in [(False, k * eta / 2), (True, k * eta / 4)]:
        gan = dynamics.unrolled(_dirac(), _sgd(eta), k, stop_gradient=stop_gradient)

        def gradient(point, gan=gan):
            return jax.grad(lambda g: gan.g_loss(g, _state(point, _sgd(h)), BATCH, jax.random.key(0))[0])(
                point[1]
            )

        np.testing.assert_allclose(jax.jacfwd(gradient)(ORIGIN), (-0.5, damping), atol=1e-15)
        values = _spectrum(steps.train_step, gan, _sgd(h))
        np.testing.assert_allclose(abs(values), np.sqrt(1 - h * damping), rtol=1e-12)


def _adam(mu, nu, count, gradient, rate, b1=0.5, b2=0.9, eps=1e-8):
    """Kingma and Ba 2015, algorithm 1: the step, and the moments after it."""
    mu, nu, count = b1 * mu + (1 - b1) * gradient, b2 * nu + (1 - b2) * gradient**2, count + 1
    return -rate * (mu / (1 - b1**count)) / (np.sqrt(nu / (1 - b2**count)) + eps), (mu, nu, count)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_gradient_goes_through_adams_moments(double):
    """Against central differences of the unrolled objective, written in numpy."""
    adam = optax.adam(0.2, b1=0.5, b2=0.9)
    opts, k = Optimizers(optax.sgd(0.1), adam), 3
    state, _ = steps.d_step(_dirac(), opts, _state((np.float64(0.7), np.float64(0.4)), opts), BATCH)

    def objective(theta):
        psi, inner = float(state.d.params), state.d.opt[0]
        memory = float(inner.mu), float(inner.nu), int(inner.count)
        for _ in range(k):
            change, memory = _adam(*memory, theta * _sigmoid(psi * theta), 0.2)
            psi += change
        return -np.log1p(np.exp(psi * theta))

    def gradient(**options):
        gan = dynamics.unrolled(_dirac(), opts, k, **options)
        loss = lambda theta: gan.g_loss(theta, state, BATCH, jax.random.key(0))[0]  # noqa: E731
        return jax.value_and_grad(loss)(state.g.params)

    value, slope = gradient()
    theta, e = float(state.g.params), 1e-6
    assert float(value) == pytest.approx(objective(theta), rel=1e-12)
    expected = (objective(theta + e) - objective(theta - e)) / (2 * e)
    assert float(slope) == pytest.approx(expected, rel=1e-7)
    assert float(gradient(stop_gradient=True)[1]) != pytest.approx(expected, rel=0.01)


def test_adam_needs_eps_root_where_a_unit_is_dead():
    def d_loss(d, state, batch, key):
        return jax.nn.softplus(d["a"] * state.g.params + jax.nn.relu(d["b"] * state.g.params - 10)), (
            state,
            {},
        )

    def g_loss(g, state, batch, key):
        return jax.nn.softplus(-state.d.params["a"] * g), (state, {})

    def gradient(eps_root):
        adam = optax.adam(0.1, eps_root=eps_root)
        opts = Optimizers(adam, adam)
        gan = dynamics.unrolled(GAN(None, d_loss, g_loss, None, None), opts, 2)
        state = _state(({"a": jnp.ones(()), "b": jnp.ones(())}, jnp.ones(())), opts)
        return jax.grad(lambda g: gan.g_loss(g, state, {}, state.key)[0])(state.g.params)

    assert np.isnan(gradient(0.0))
    assert np.isfinite(gradient(1e-16))


def test_unrolling_leaves_d_and_its_update_alone(tiny):
    """Also its running statistics; K = 0 is the plain game, bit for bit."""
    gan, opts = tiny(kind="mlp")
    opts = opts._replace(d=optax.sgd(0.5))
    image = jax.random.uniform(jax.random.key(1), (8, 8, 8, 1), minval=-1)
    batch = {"image": image, "slot": jnp.arange(8)}
    state = steps.create_state(gan, opts, jax.random.key(0), batch)

    def step(gan):
        return jax.jit(lambda s: steps.g_step(gan, opts, s, batch)[0])(state)

    plain, zero, three = step(gan), *(step(dynamics.unrolled(gan, opts, k)) for k in (0, 3))
    jax.tree.map(np.testing.assert_array_equal, three.d, state.d)
    jax.tree.map(np.testing.assert_array_equal, zero.g, plain.g)
    assert dynamics.unrolled(gan, opts, 3).d_loss is gan.d_loss
    moved = jax.tree.map(lambda a, b: abs(a - b).max(), three.g.params, plain.g.params)
    assert max(jax.tree.leaves(moved)) > 1e-4


def _run_on(n, make):
    """Twenty steps on n devices, of data that differ from shard to shard: (psi, theta)."""
    axis = parallel.AXIS if n > 1 else None
    gan, opts = make(axis)

    def chunk(state, data, slot, length):
        batches = {"image": data[slot][None], "slot": slot[None]}
        step = partial(steps.train_step, gan, opts, axis=axis)
        return steps.train_chunk(step, lambda _: batches, state, length)

    devices = jax.devices()[:n]
    state, data = parallel.replicate(
        (_state((jnp.float32(0.5), jnp.float32(0.5)), opts), jnp.array([3.0, 1.0, -2.0, -1.0])), devices
    )
    state, _ = parallel.over_devices(chunk, devices)(state, data, jnp.arange(4), 20)
    parallel.assert_replicated(state)
    return np.array([state.d.params, state.g.params])


@pytest.mark.parametrize("method", ["unrolled", "consensus"])
def test_two_devices_make_the_run_of_one(method):
    """The negative control forgets the mean inside: each shard then looks ahead on its own."""

    def make(axis, inner=True):
        axis, opts = axis if inner else None, _sgd(0.3)
        if method == "unrolled":
            return dynamics.unrolled(_dirac(), opts, 3, axis=axis), opts
        return dynamics.consensus(_dirac(), 1.0, axis=axis), opts

    one, two, wrong = _run_on(1, make), _run_on(2, make), _run_on(2, partial(make, inner=False))
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)
    assert np.linalg.norm(wrong - one) > 1e-2 * np.linalg.norm(one)


def test_simultaneous_updates_take_one_batch():
    pair = {name: np.repeat(x, 3, 0) for name, x in BATCHES.items()}
    state = _state((jnp.zeros(()), jnp.zeros(())), _sgd(0.1))
    for step in (dynamics.simultaneous_step, dynamics.extragradient_step):
        with pytest.raises(ValueError, match="n_critic = 3"):
            step(_dirac(), _sgd(0.1), state, pair)


def test_extra_adam(double):
    """Algorithm 4 of Gidel et al. 2019 in numpy: the moments go on through both halves of a step."""
    opts = Optimizers(*[optax.adam(0.1, b1=0.5, b2=0.9)] * 2)
    state = _state((np.float64(0.7), np.float64(0.4)), opts)
    point, memory = np.array([0.7, 0.4]), [(0.0, 0.0, 0)] * 2
    for _ in range(3):
        state, _ = dynamics.extragradient_step(_dirac(), opts, state, BATCHES)
        at = point
        for _ in range(2):
            psi, theta = at
            gradients = theta * _sigmoid(psi * theta), -psi * _sigmoid(psi * theta)
            moves, memory = zip(
                *[_adam(*m, g, 0.1) for m, g in zip(memory, gradients, strict=True)], strict=True
            )
            at = point + moves
        point = at
    np.testing.assert_allclose((state.d.params, state.g.params), point, rtol=1e-12)
    assert int(state.step) == 3
    assert int(state.d.opt[0].count) == 6


def test_an_extragradient_step_by_hand():
    """Both losses are -d g x: each gradient is minus the opponent times the batch. The first batch is
    the extrapolation's, statistics count both halves, and the average takes up the update alone."""

    def loss(who):
        def loss(params, state, batch, key):
            player, other = getattr(state, who), state.g if who == "d" else state.d
            state = state.replace(**{who: player.replace(stats={"n": player.stats["n"] + 1})})
            return -params * other.params * batch["image"].mean(), (state, {"draw": jax.random.uniform(key)})

        return loss

    gan, sgd = GAN(None, loss("d"), loss("g"), None, None), optax.sgd(0.1)
    stats = {"n": jnp.zeros(())}
    start = GANState(
        jnp.int32(0),
        jax.random.key(0),
        Player(jnp.float32(2), stats, sgd.init(jnp.ones(())), {"params": jnp.float32(2), **stats}),
        Player(jnp.float32(1), stats, sgd.init(jnp.ones(()))),
    )
    batches = {"image": np.array([[1.0, 1.0], [3.0, 3.0]]), "slot": np.zeros((2, 2), int)}
    opts = Optimizers(sgd, sgd, 0.99)
    after, metrics = dynamics.extragradient_step(gan, opts, start, batches)
    # Ahead: d = 1 + 0.1 * 2 = 1.2 and g = 2 + 0.1 * 1 = 2.1.
    assert float(after.d.params) == pytest.approx(1 + 0.1 * 3 * 2.1)
    assert float(after.g.params) == pytest.approx(2 + 0.1 * 3 * 1.2)
    assert float(after.d.stats["n"]) == float(after.g.stats["n"]) == 2
    assert float(after.g.ema["params"]) == pytest.approx(0.1 * 2 + 0.9 * 2.36)
    assert float(metrics["d/draw"]) == float(jax.random.uniform(steps.fold(start.key, 0, "d", 1)))


def _accuracy_game():
    """A D that rises by its momentum, and whose accuracy is G's parameter plus the batch's mean."""

    def d_loss(params, state, batch, key):
        accuracy = state.g.params + batch["image"].mean()
        state = state.replace(d=state.d.replace(stats={"n": state.d.stats["n"] + 1}))
        return -params, (state, {"accuracy_real": 2 * accuracy, "accuracy_fake": 0 * accuracy})

    gan = GAN(None, d_loss, lambda g, state, batch, key: (0 * g, (state, {})), None, None)
    return gan, Optimizers(optax.sgd(0.1), optax.sgd(1.0, momentum=0.5))


def _accuracy_state(accuracy):
    state = _state((jnp.zeros(()), jnp.float32(accuracy)), _accuracy_game()[1])
    return state.replace(d=state.d.replace(stats={"n": jnp.zeros(())}))


def test_the_gate_keeps_the_whole_player_in_lanes():
    """Open up to 0.8, closed above; a plain train_step would move D in every lane."""
    states = [_accuracy_state(a) for a in (0.5, 0.8, 0.81)]
    pair = {name: np.repeat(x, 2, 0) for name, x in BATCHES.items()}

    def chunk(state, given, slot, length):
        return steps.train_chunk(partial(dynamics.gated_step, *_accuracy_game()), lambda _: pair, state, 1)

    over = lambda states: parallel.side_by_side(chunk)(states, ([()] * 3, ()), (), 1)  # noqa: E731
    after, metrics = jax.jit(over)(states)
    # Two updates with momentum: 1, then 1.5.
    np.testing.assert_array_equal([s.d.params for s in after], [2.5, 2.5, 0])
    np.testing.assert_array_equal([s.d.opt[0].trace for s in after], [-1.5, -1.5, 0])
    np.testing.assert_array_equal([s.d.stats["n"] for s in after], [2, 2, 0])
    np.testing.assert_array_equal([m["d/updated"] for m in metrics], [[1], [1], [0]])
    assert int(after[0].step) == 1
    assert "cond[" not in str(jax.make_jaxpr(over)(states))
    plain, _ = steps.train_step(*_accuracy_game(), states[2], pair)
    assert float(plain.d.params) == 2.5


def test_the_gate_is_one_for_all_devices():
    """One shard's accuracy is 0.5 and the other's 1: together 0.75, below 0.8."""

    def chunk(state, data, slot, length):
        batches = {"image": data[slot][None], "slot": slot[None]}
        step = partial(dynamics.gated_step, *_accuracy_game(), axis=parallel.AXIS)
        return steps.train_chunk(step, lambda _: batches, state, length)

    devices = jax.devices()[:2]
    over = parallel.over_devices(chunk, devices)
    for shift, expected in [(0.0, 1), (0.1, 0)]:
        state = parallel.replicate(_accuracy_state(0.5 + shift), devices)
        state, metrics = over(state, jnp.array([0.0, 0.0, 0.5, 0.5]), jnp.arange(4), 1)
        parallel.assert_replicated(state)
        assert float(state.d.params) == float(metrics["d/updated"][0]) == expected


def test_a_wgans_schedule_against_its_definition():
    for options in [{}, {"many": 7, "first": 3, "every": 4}, {"many": 9, "first": 12, "every": 4}]:
        n = np.arange(1200, dtype=np.int32)
        updates, before = dynamics.wgan_schedule(5, **options)(n)
        many, first, every = ({"many": 100, "first": 25, "every": 500} | options).values()
        expected = np.where((n < first) | (n % every == 0), many, 5)
        np.testing.assert_array_equal(updates, expected)
        np.testing.assert_array_equal(before, np.cumsum(expected) - expected)


def _counting():
    """A D that counts the examples that it has seen, and a G that reports its own batch's sum."""

    def d_loss(seen, state, batch, key):
        total = jnp.zeros_like(seen).at[batch["image"].astype(jnp.int32)].add(1.0)
        return -(seen * total).sum(), (state, {"draw": jax.random.uniform(key)})

    def g_loss(params, state, batch, key):
        return 0 * params, (state, {"last": batch["image"].sum()})

    return GAN(None, d_loss, g_loss, None, None), _sgd(1.0)


def _critic_chunk(schedule):
    method = methods.Method(
        make=lambda cfg, axis=None: _counting(),
        train_step=lambda cfg: dynamics.scheduled_step,
        batches=lambda cfg, draw: partial(resident.scheduled, draw, schedule=schedule),
    )
    data = Dataset("numbers", {"image": np.arange(12.0)})
    chunk = Program(method, methods.Fit(batch_size=3), (), data, tuple(jax.devices()[:1])).bare
    arrays = {"image": jnp.asarray(data["image"])}
    return lambda state, length: chunk(state, ({}, arrays), jnp.arange(3), length)


def test_scheduled_critic_updates_have_batches_and_keys_of_their_own():
    """The 32 updates of 10 steps, 3 examples each, are eight epochs of 12: each example is seen eight
    times; with batches counted as if every step made 5 updates, some would be left out."""
    schedule = dynamics.wgan_schedule(2, many=5, first=2, every=4)
    start = _state((jnp.zeros(12), jnp.zeros(())), _sgd(1.0))
    chunk = jax.jit(_critic_chunk(schedule), static_argnums=1)
    after, metrics = chunk(start, 10)
    np.testing.assert_array_equal(after.d.params, 8 * np.ones(12))
    draws = [jax.random.uniform(steps.fold(start.key, s, "d", t)) for s, t in enumerate([4, 4, 1])]
    np.testing.assert_array_equal(metrics["d/draw"][:3], draws)
    rows = jax.vmap(lambda draw: resident.rows(start.key, draw, jnp.arange(3), n=12, batch_size=3))
    np.testing.assert_array_equal(metrics["g/last"][:3], rows(jnp.array([4, 9, 11])).sum(1))

    parts, _ = chunk(chunk(start, 5)[0], 5)
    np.testing.assert_array_equal(parts.d.params, after.d.params)
    gaps, _ = jax.jit(_critic_chunk(lambda step: (schedule(step)[0], 5 * step)), static_argnums=1)(start, 10)
    assert len(np.unique(gaps.d.params)) > 1


def test_scheduled_critic_updates_in_lanes():
    """The step is one number for all lanes, so is the number of updates."""
    chunk = _critic_chunk(dynamics.wgan_schedule(2, many=5, first=1, every=4))
    state = _state((jnp.zeros(12), jnp.zeros(())), _sgd(1.0))
    lanes = [state.replace(key=key) for key in jax.random.split(state.key, 2)]
    over = parallel.side_by_side(lambda state, given, slot, length: chunk(state, length))
    after, _ = jax.jit(lambda states: over(states, ([()] * 2, ()), (), 3))(lanes)
    for lane, moved in zip(lanes, after, strict=True):
        alone, _ = jax.jit(lambda s: chunk(s, 3))(lane)
        assert int(moved.step) == 3
        np.testing.assert_array_equal(moved.d.params, alone.d.params)
    assert not np.array_equal(*(moved.d.params for moved in after))


def test_weights_are_clipped_after_the_update():
    """Last in the chain; first, it would see the gradient and leave the weights outside."""
    params = {"w": jnp.array([0.009, -0.009, 0.0])}
    gradient = {"w": jnp.array([-1.0, 1.0, -1.0])}

    def after(tx):
        updates, _ = tx.update(gradient, tx.init(params), params)
        return optax.apply_updates(params, updates)["w"]

    clipped = after(optax.chain(optax.sgd(0.005), dynamics.clip_weights(0.01)))
    np.testing.assert_allclose(clipped, [0.01, -0.01, 0.005], rtol=1e-6)
    wrong = after(optax.chain(dynamics.clip_weights(0.01), optax.sgd(5.0)))
    assert abs(wrong).max() > 0.01


def test_historical_averaging_pulls_to_the_mean_of_the_past():
    """Weight 0.25 and gradient -1 from 0 at rate 1: terms 0, 0.5 (1 - 0), 0.5 (1.5 - 0.5)."""
    tx = optax.chain(dynamics.historical_averaging(0.25), optax.sgd(1.0))
    params = {"w": jnp.zeros(())}
    state, path = tx.init(params), []
    for _ in range(3):
        updates, state = tx.update({"w": -jnp.ones(())}, state, params)
        params = optax.apply_updates(params, updates)
        path.append(float(params["w"]))
    assert path == [1.0, 1.5, 2.0]
    assert float(state[0].mean["w"]) == pytest.approx((0 + 1 + 1.5) / 3)
    assert int(state[0].count) == 3


def test_historical_averaging_damps_the_dirac_gan():
    """Salimans et al. 2016, section 3.3: plain descent orbits."""
    damped = optax.chain(dynamics.historical_averaging(0.1), optax.sgd(0.2))
    assert _radius_after(steps.train_step, _dirac(), Optimizers(damped, damped), 600) < 0.1
    assert _radius_after(steps.train_step, _dirac(), _sgd(0.2), 600) > 0.5
