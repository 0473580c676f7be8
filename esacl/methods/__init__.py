"""METHODS: name -> function that composes a Learner."""

from collections.abc import Callable

from esacl.methods.derpp import derpp
from esacl.methods.er import er
from esacl.methods.esacl import esacl
from esacl.methods.ewc import ewc
from esacl.methods.finetune import finetune
from esacl.methods.joint import joint
from esacl.methods.packnet import packnet
from esacl.methods.rigl import rigl
from esacl.methods.sparcl import sparcl
from esacl.training import Learner

METHODS: dict[str, Callable[..., Learner]] = {
    "esacl": esacl,
    "finetune": finetune,
    "joint": joint,
    "ewc": ewc,
    "er": er,
    "derpp": derpp,
    "packnet": packnet,
    "rigl": rigl,
    "sparcl": sparcl,
}
