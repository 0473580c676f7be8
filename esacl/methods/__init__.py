"""METHODS: name -> function that composes a Learner."""

from collections.abc import Callable

from esacl.methods.esacl import esacl
from esacl.methods.ewc import ewc
from esacl.methods.finetune import finetune
from esacl.methods.joint import joint
from esacl.training import Learner

METHODS: dict[str, Callable[..., Learner]] = {"esacl": esacl, "finetune": finetune, "joint": joint, "ewc": ewc}
