"""Top Hessian eigenvalues at the dense and at the pruned point."""

from collections.abc import Iterator

from esacl.analysis.scene import Scene, at_cut, norm_of
from esacl.curvature import Eigenpairs, hessian, top_eigenpairs
from esacl.curvature.pyhessian import pyhessian_eigenvalues
from esacl.events import CurvatureMeasured, Event
from esacl.mask import Mask


def spectrum(scene: Scene) -> Iterator[Event]:
    """Top eigenvalues of H over the pool: dense, pruned, pruned and restricted; PyHessian checks the first of each."""
    k = scene.config.curvature.top
    if k == 0:
        return
    yield from _at_point(scene, "dense", None, k)
    if scene.mask is not None:
        with at_cut(scene.network, scene.mask):
            # Collected before they are yielded: a consumer must never meet a network that stands elsewhere.
            found = [*_at_point(scene, "pruned", None, k), *_at_point(scene, "pruned", scene.mask, k)]
        yield from found


def _at_point(scene: Scene, point: str, mask: Mask | None, k: int) -> Iterator[CurvatureMeasured]:
    norm, restricted = norm_of(scene.network), mask is not None
    operator = hessian(scene.network, scene.criterion, scene.whole, mask)
    k = min(k, operator.shape[0])
    found = top_eigenpairs(operator, k)
    yield _measured(scene, point, found, norm=norm, restricted=restricted, engine="lanczos")
    check = pyhessian_eigenvalues(scene.network, scene.criterion, scene.whole, 1, mask=mask)
    yield _measured(scene, point, check, norm=norm, restricted=restricted, engine="pyhessian")


def _measured(
    scene: Scene,
    point: str,
    found: Eigenpairs,
    *,
    norm: float,
    restricted: bool,
    engine: str,
) -> CurvatureMeasured:
    scene.ledger.analysis(products=found.products * len(scene.pool))
    return CurvatureMeasured(
        task=scene.task,
        point=point,
        restricted=restricted,
        engine=engine,
        top_eigenvalues=tuple(found.values.tolist()),
        residuals=tuple(found.residuals.tolist()),
        products=found.products,
        converged=found.converged,
        network_norm=norm,
        relative_sharpness=float(found.values[0]) * norm**2,
        examples=len(scene.pool),
        fraction=1.0,
    )
