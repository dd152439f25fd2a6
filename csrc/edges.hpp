// The edges of a volume's anisotropic 26-neighbourhood graph: directions, costs and ranges.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>

namespace gmrd {

using Index = std::int32_t;

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Shape {
  std::int64_t z, y, x;
  std::int64_t count() const { return z * y * x; }
};

// The edge between voxels a and b, with its cost.
struct Edge {
  double cost;
  Index a, b;
};

struct Direction {
  int z, y, x;
};

// Edges of equal cost are taken in this order of directions, then in raster order of their `a`.
inline constexpr std::array<Direction, 13> kDirections{{{0, 1, 0},
                                                        {0, 1, 1},
                                                        {0, 0, 1},
                                                        {0, 1, -1},
                                                        {1, 1, 0},
                                                        {1, 1, 1},
                                                        {1, 0, 1},
                                                        {1, -1, 0},
                                                        {1, -1, -1},
                                                        {1, 0, -1},
                                                        {1, 1, -1},
                                                        {1, -1, 1},
                                                        {1, 0, 0}}};

// An edge costs sqrt(weight * difference^2); `s` is the slice spacing over the pixel spacing.
inline double edge_weight(const Direction& d, double s) {
  const int in_plane = std::abs(d.y) + std::abs(d.x);
  if (d.z == 0) return 1.0;
  if (in_plane == 0) return s * s;
  return in_plane == 1 ? (1.0 + s * s) / 2.0 : (2.0 + s * s) / 3.0;
}

inline double next_cost(double cost) { return std::nextafter(cost, kInfinity); }

}  // namespace gmrd
