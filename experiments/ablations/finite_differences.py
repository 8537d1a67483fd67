"""R1 and R2 without second derivatives: what does the cheap one cost? (Lin et al. 2025, arXiv 2501.08316)

    python -m experiments.ablations.finite_differences

Claim: none is published; networks that cannot afford second derivatives use finite differences.

Measured by this command in 10 minutes on two shared cores of an Intel Xeon (family 6 model 207), seeds 0 to
4: the Frechet distance fcd_digits by version 3 of the digits' classifier (two halves of the data are 4.56
apart) at 3000 steps, geometric mean over seeds and 95 % interval; milliseconds a step beside other lanes.

| derivative | fcd_digits | 95 % | against exact | 95 % | ms | seeds needed |
| --- | --- | --- | --- | --- | --- | --- |
| exact | 3.84 | 3.49 to 4.23 | | | 17.3 | |
| finite | 3.31 | 2.79 to 3.92 | x 0.861 | 0.718 to 1.03 | 16.3 | 10 |

Five seeds do not tell the scores apart. The cheap one is hardly cheaper here: 0.95 times the time of a
step, so that equal time is equal steps, since on a CPU two more passes of D cost about what the second
derivative does.
"""

from experiments import toolbox
from jaxgan import sweeps

cfg = toolbox.Config(
    loss="relativistic",
    width=32,
    norm="none",
    r1=1.0,
    r2=1.0,
    g_lr=1e-3,
    d_lr=1e-3,
    beta1=0.0,
    beta2=0.99,
    steps=3000,
)
grid = {"derivative": ["exact", "finite"]}

if __name__ == "__main__":
    sweeps.main(toolbox, cfg, grid, options=sweeps.Options(baseline="derivative=exact"))
