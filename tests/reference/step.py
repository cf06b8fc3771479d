"""The forward and backward pass of one training step."""

from mxnet import autograd, nd


def run_recorded(layer, x, head=None):
    """Run a layer under autograd; return its output and the gradient of ``x``.

    ``head`` is the gradient of the output; None means ones.
    """
    x.attach_grad()
    with autograd.record():
        output = layer(x)
    output.backward(nd.ones_like(output) if head is None else head)
    return output.asnumpy(), x.grad.asnumpy()
