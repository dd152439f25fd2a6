from numpy import float32, float64, int32
from numpy.typing import NDArray

def felzenszwalb3d(
    image: NDArray[float32] | NDArray[float64],
    *,
    z_over_x: float,
    scale: float,
    min_size: int,
    n_threads: int = 1,
    batch_size: int = 0,
) -> NDArray[int32]: ...
