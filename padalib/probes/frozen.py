"""Gradients of single images through one path: with frozen batch statistics, or through them.

With batch statistics each image's output depends on its whole batch. Frozen, to those of a fixed
set of images through the same path, they couple no image with another, and each has a gradient of
its own. It is the gradient of another function: on the digits it differs from the one in training
by 2.1 to 2.8 times that one's length, and the mean gradients have a cosine of 0.34 to 0.51
(`coupling` measures both). What survives are fractions of variance, such as those of one sampling
distribution beside another; neither lengths nor directions do.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from padalib.probes.checking import check_rows, check_sums
from padalib.ranking import metrics
from padalib.spaces import Arch, Supernet, recalibrate
from padalib.train import Trainer, stream

CHUNK = 128  # images whose gradients are formed at once
FEW = 2  # images of which it is tested that their gradients add up, in each path


def per_sample(
    net: Supernet, arch: Arch, x: Tensor, y: Tensor, out: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Gradients [B, P] of each image's cross-entropy, and logits [B, L], with frozen statistics.

    P runs over all weights of the supernet in the order of `net.parameters()`; those that the path
    does not use have gradient zero. Frozen batch norm couples no image with another, so that one
    backward gives the gradient at every layer's output for all images, and the outer product with
    the layer's input each image's own gradient of its weights (Goodfellow 2015, arXiv:1510.01799).
    `out`: zeros [B, P] to put them into. ValueError for a network in training mode or with
    bn='batch', whose images are coupled.
    """
    if net.training or net.bn == "batch":
        raise ValueError(
            "gradients of single images need frozen statistics: build the network with "
            "bn='recalibrated', call `recalibrate` for this path, and net.eval()"
        )
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []
    # Not of classes below these, which may do anything with their weights.
    layers = [m for m in net.modules() if type(m) in (nn.Conv2d, nn.Linear)]
    known = {id(p) for layer in layers for p in layer.parameters()}
    if odd := [name for name, p in net.named_parameters() if id(p) not in known]:
        raise ValueError(
            f"gradients of single images are known of convolutions and linear layers only, not of "
            f"{', '.join(odd[:3])}: build the network without, or measure with batch statistics"
        )
    hooks = [
        layer.register_forward_hook(lambda layer, args, out: calls.append((layer, args[0], out)))
        for layer in layers
    ]
    try:
        logits = net(x, arch)
    finally:
        for hook in hooks:
            hook.remove()
    loss = F.cross_entropy(logits, y, reduction="sum")
    deltas = torch.autograd.grad(loss, [out for *_, out in calls], allow_unused=True)
    parameters = list(net.parameters())
    sizes = [p.numel() for p in parameters]
    out = x.new_zeros(len(x), sum(sizes)) if out is None else out
    found = dict(zip(map(id, parameters), out.split(sizes, 1), strict=True))
    for (layer, given, _), delta in zip(calls, deltas, strict=True):
        if delta is None:  # nothing of it reaches the output
            continue
        check_rows(layer, given, x)
        if isinstance(layer, nn.Linear) and delta.dim() > 2:  # of several places of an image
            given, delta = given.movedim(-1, 1), delta.movedim(-1, 1)
        found[id(layer.weight)] += _of_weights(layer, given.detach(), delta).flatten(1)
        if layer.bias is not None:
            found[id(layer.bias)] += delta.flatten(2).sum(2) if delta.dim() > 2 else delta
    return out, logits.detach()


def _of_weights(layer: nn.Module, given: Tensor, delta: Tensor) -> Tensor:
    """Gradients [B, *weight.shape] of a layer's weights from its input and that at its output."""
    if isinstance(layer, nn.Linear):
        if delta.dim() > 2:
            return delta.flatten(2) @ given.flatten(2).transpose(1, 2)
        return delta[:, :, None] * given[:, None, :]
    padding = layer.padding
    if layer.padding_mode != "zeros" or isinstance(padding, str):  # as torch pads
        how = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        given, padding = F.pad(given, layer._reversed_padding_repeated_twice, how), (0, 0)
    if layer.kernel_size == (1, 1) and layer.stride == (1, 1) and padding == (0, 0):
        patches = given.flatten(2)
    else:
        patches = F.unfold(given, layer.kernel_size, layer.dilation, padding, layer.stride)
    groups = layer.groups
    delta = delta.flatten(2).unflatten(1, (groups, -1))  # [B, G, out / G, pixels]
    patches = patches.unflatten(1, (groups, -1))  # [B, G, in / G * k * k, pixels]
    return delta @ patches.transpose(2, 3)


class Frozen:
    """The first `n` training images, not augmented, through paths with statistics frozen to theirs.

    In float32, whatever the run's precision. ValueError for a path whose gradients of single images
    are not what `per_sample` takes them for. In a space whose edges share operations a batch norm
    has several places in one path, and is frozen to the mean of their statistics. ValueError where
    there are not so many images.
    """

    def __init__(self, trainer: Trainer, n: int) -> None:
        config = trainer.config
        self.x, self.y = first_images(trainer, n)
        self.net = config.space.build(bn="recalibrated")
        self.net.load_state_dict(trainer.net.state_dict(), strict=False)  # all but statistics
        self.net.to(config.device, memory_format=torch.channels_last)
        self._statistics: dict[Arch, list[Tensor]] = {}  # class -> all buffers of the network

    def set(self, arch: Arch) -> Supernet:
        """The network with the statistics of all images through this path."""
        arch = self.net.space.canonical(arch)
        if arch not in self._statistics:
            recalibrate(self.net, arch, [self.x])
            self._statistics[arch] = [buffer.clone() for buffer in self.net.buffers()]
            few = self.x[:FEW], self.y[:FEW]
            check_sums(self.net, arch, *few, per_sample(self.net, arch, *few)[0])
        for buffer, own in zip(self.net.buffers(), self._statistics[arch], strict=True):
            buffer.copy_(own)
        return self.net

    def gradients(self, arch: Arch) -> tuple[Tensor, Tensor]:
        """Gradients [n, P] of all images through a path, and logits [n, L]."""
        net = self.set(arch)
        out = self.x.new_zeros(len(self.x), sum(p.numel() for p in net.parameters()))
        parts = zip(*(whole.split(CHUNK) for whole in (self.x, self.y, out)), strict=True)
        logits = [per_sample(net, arch, *part)[1] for part in parts]
        return out, torch.cat(logits)


class Coupled:
    """The same images in fixed batches, each normalised by its own statistics, as in training.

    ValueError unless `batch` divides `n`.
    """

    def __init__(self, trainer: Trainer, n: int, batch: int) -> None:
        if batch < 2 or n % batch:
            raise ValueError(f"batches of {batch} do not make {n} images: choose a divisor of {n}")
        self.x, self.y = first_images(trainer, n)
        self.net, self.batch = trainer.net.train(), batch

    def gradients(self, arch: Arch) -> tuple[Tensor, Tensor]:
        """Gradients [n, P] of each image's loss through its batch, and logits [n, L].

        One vector-Jacobian product an image through the graph of the whole batch; the mean over a
        batch is the gradient of a training step.
        """
        found, logits = [], []
        for x, y in zip(self.x.split(self.batch), self.y.split(self.batch), strict=True):
            logits.append(self.net(x, arch))
            losses = F.cross_entropy(logits[-1], y, reduction="none")
            found += [flat_gradient(self.net, loss) for loss in losses]
        return torch.stack(found), torch.cat(logits).detach()


def first_images(trainer: Trainer, n: int) -> tuple[Tensor, Tensor]:
    """The first `n` images the run trains on, as they are; ValueError where there are fewer."""
    if not 2 <= n <= len(trainer.images):
        raise ValueError(
            f"images must be in 2..{len(trainer.images)} ({trainer.images.name}), got {n}"
        )
    return trainer.images.batch(torch.arange(n))


def flat_gradient(net: Supernet, loss: Tensor) -> Tensor:
    """The gradient [P] of a loss in all weights; zero where they take no part."""
    parameters = list(net.parameters())
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    zipped = zip(found, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in zipped])


def coupling(trainer: Trainer, frozen: Frozen, paths: int, batch: int) -> Iterator[dict]:
    """Gradients of single images, frozen beside coupled, in one batch: a row for each random path.

    rho: Spearman's, of the two norms over images. ratio: median of coupled over frozen norm.
    difference: median of |coupled - frozen| / |coupled|. cosine: of the two mean gradients.
    """
    classes = list(trainer.space.classes())
    batch = min(batch, len(frozen.x))
    coupled = Coupled(trainer, batch, batch)
    order = torch.randperm(len(classes), generator=stream(0, "coupled"))
    for k in order[:paths].tolist():
        g, _ = coupled.gradients(classes[k])
        net = frozen.set(classes[k])
        own, _ = per_sample(net, classes[k], frozen.x[:batch], frozen.y[:batch])
        norms, own_norms = g.norm(dim=1).double().cpu(), own.norm(dim=1).double().cpu()
        yield {
            "code": trainer.space.code(classes[k]),
            "rho": metrics.spearman(norms, own_norms),
            "ratio": float((norms / own_norms).median()),
            "difference": float(((g - own).norm(dim=1).cpu() / norms).median()),
            "cosine": float(F.cosine_similarity(g.mean(0), own.mean(0), 0)),
        }
