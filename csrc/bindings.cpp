// The Python face of the C++ core: check the array, release the GIL, call.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <chrono>
#include <cmath>
#include <limits>

#include "felzenszwalb3d.hpp"

namespace py = pybind11;

namespace {

// Lets a signal (Ctrl-C) interrupt a long call. Called without the GIL, on the calling thread.
class SignalPoll {
 public:
  void operator()() const {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    const py::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }

 private:
  mutable std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

void require(bool condition, const char* sentence) {
  if (!condition) throw py::value_error(sentence);
}

template <typename Real>
void require_usable(const py::array_t<Real>& image) {
  require(image.ndim() == 3, "image must have 3 dimensions (z, y, x)");
  require(image.size() > 0, "image must hold at least one voxel");
  require(image.size() < std::numeric_limits<gmrd::Index>::max(),
          "image must hold fewer than 2**31 - 1 voxels");
  require((image.flags() & py::array::c_style) != 0, "image must be C-contiguous");
  const Real* const values = image.data();
  double low = values[0], high = values[0];
  for (py::ssize_t i = 0; i < image.size(); ++i) {
    require(std::isfinite(values[i]), "image must be finite everywhere");
    low = std::min(low, static_cast<double>(values[i]));
    high = std::max(high, static_cast<double>(values[i]));
  }
  const double span = high - low;
  require(span == 0.0 || (span >= 1e-100 && span <= 1e100),
          "image values must span 0 or between 1e-100 and 1e100");
}

template <typename Real>
py::array_t<gmrd::Index> felzenszwalb3d(const py::array_t<Real>& image, double z_over_x,
                                        double scale, std::int64_t min_size, int n_threads,
                                        std::size_t batch_size) {
  require_usable(image);
  require(z_over_x >= 1e-6 && z_over_x <= 1e6, "z_over_x must be between 1e-6 and 1e6");
  require(std::isfinite(scale) && scale >= 0.0, "scale must be finite and not negative");
  require(n_threads >= 1 && n_threads <= 1024, "n_threads must be between 1 and 1024");
  const gmrd::Shape shape{image.shape(0), image.shape(1), image.shape(2)};
  py::array_t<gmrd::Index> labels({shape.z, shape.y, shape.x});
  const Real* const in = image.data();
  gmrd::Index* const out = labels.mutable_data();
  {
    const py::gil_scoped_release release;
    gmrd::felzenszwalb3d(in, shape, {z_over_x, scale, min_size, batch_size, n_threads}, out,
                         SignalPoll());
  }
  return labels;
}

template <typename Real>
void define(py::module_& module) {
  module.def("felzenszwalb3d", &felzenszwalb3d<Real>, py::arg("image").noconvert(), py::kw_only(),
             py::arg("z_over_x"), py::arg("scale"), py::arg("min_size"), py::arg("n_threads") = 1,
             py::arg("batch_size") = 0);
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "Compiled core of gmrd; use gmrd.supervoxels.";
  define<float>(module);
  define<double>(module);
}
