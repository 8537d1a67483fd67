"""R1 and R2 without second derivatives: what does the cheap one cost? (Lin et al. 2025, arXiv 2501.08316)

python -m experiments.ablations.finite_differences

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
