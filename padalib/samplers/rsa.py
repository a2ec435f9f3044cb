"""RSA, a method of ours: residual curriculum, sharing first, averaged weights.

Made to rank well after a short training, from what is known to go wrong in one: options with
weights are trained too little, short paths as much as deep ones, and the last steps leave noise.

- `residual.ResidualPaths` draws more and more of what trains well at any depth, an identity with a
  branch of convolutions beside it, so that steps are not spent on paths nobody would take.
- `close.Parting` lets all positions share one set of operations first: each is trained by every
  path, not by one of many, and starts from there when positions part.
- `averaged.Averaged` ends with the mean of the last weights, without the noise of the last steps.

No part asks for a gradient's size, an accuracy or a prior. Its paths cost 1.4 times the FLOPs of
SPOS's in NAS-Bench-201. Chosen of twelve candidates on two seeds, it did not prove the best on five
others (notebook 15): it is not shown to be better than PA&DA, nor than PA or `curriculum` with the
same other parts. What each of its parts is worth was not measured yet.
"""

from padalib.samplers.averaged import Averaged
from padalib.samplers.base import part
from padalib.samplers.close import Parting
from padalib.samplers.residual import ResidualPaths

PARTS = {"paths": part(ResidualPaths), "update": part(Parting), "around": part(Averaged)}
