// The Python face of the C++ core: check the array, release the GIL, call.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "felzenszwalb3d.hpp"

namespace py = pybind11;

namespace {

template <typename Real>
py::array_t<std::int32_t> felzenszwalb3d(const py::array_t<Real>& image, double z_over_x,
                                         double scale, std::int64_t min_size) {
  if (image.ndim() != 3) throw py::value_error("image must have 3 dimensions (z, y, x)");
  if (!(image.flags() & py::array::c_style)) throw py::value_error("image must be C-contiguous");
  const gmrd::Shape shape{image.shape(0), image.shape(1), image.shape(2)};
  py::array_t<std::int32_t> labels({shape.z, shape.y, shape.x});
  std::int32_t* const out = labels.mutable_data();
  const Real* const in = image.data();
  {
    const py::gil_scoped_release release;
    gmrd::felzenszwalb3d(in, shape, {z_over_x, scale, min_size}, out);
  }
  return labels;
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "Compiled core of gmrd; use gmrd.supervoxels.";
  module.def("felzenszwalb3d", &felzenszwalb3d<float>, py::arg("image").noconvert(),
             py::arg("z_over_x"), py::arg("scale"), py::arg("min_size"));
  module.def("felzenszwalb3d", &felzenszwalb3d<double>, py::arg("image").noconvert(),
             py::arg("z_over_x"), py::arg("scale"), py::arg("min_size"));
}
