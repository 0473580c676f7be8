"""Top Hessian eigenvalues at the dense and at the pruned point."""

from collections.abc import Iterator

from esacl.analysis.scene import Scene, at_cut, norm_of
from esacl.curvature import Eigenpairs, hessian, top_eigenpairs
from esacl.events import CurvatureMeasured, Event


def spectrum(scene: Scene) -> Iterator[Event]:
    """Top eigenvalues of H over the pool: dense, pruned, pruned and restricted, and PyHessian's view of the first."""
    k = scene.config.curvature.top
    if k == 0:
        return
    dense = top_eigenpairs(hessian(scene.network, scene.criterion, scene.whole), k)
    yield _measured(scene, "dense", dense, norm=norm_of(scene.network))
    if scene.mask is not None:
        with at_cut(scene.network, scene.mask):
            norm = norm_of(scene.network)
            full = top_eigenpairs(hessian(scene.network, scene.criterion, scene.whole), k)
            inside = top_eigenpairs(hessian(scene.network, scene.criterion, scene.whole, scene.mask), k)
        yield _measured(scene, "pruned", full, norm=norm)
        yield _measured(scene, "pruned", inside, norm=norm, restricted=True)


def _measured(
    scene: Scene,
    point: str,
    found: Eigenpairs,
    *,
    norm: float,
    restricted: bool = False,
    engine: str = "lanczos",
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


