// Felzenszwalb-Huttenlocher segmentation of a volume on its anisotropic 26-neighbourhood graph.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "union_find.hpp"

namespace gmrd {

struct Shape {
  std::int64_t z, y, x;
};

struct Parameters {
  double z_over_x;  // slice spacing over pixel spacing
  double scale;
  std::int64_t min_size;
};

struct Direction {
  int z, y, x;
};

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

inline double direction_weight(const Direction& d, double s) {
  if (d.z == 0) return 1.0;
  if (d.y == 0 && d.x == 0) return s * s;
  if (d.y == 0 || d.x == 0) return (1.0 + s * s) / 2.0;
  return (2.0 + s * s) / 3.0;
}

struct Edge {
  double cost;
  std::int32_t a, b;
};

template <typename Real>
void felzenszwalb3d(const Real* image, const Shape& shape, const Parameters& p,
                    std::int32_t* labels) {
  const std::int64_t count = shape.z * shape.y * shape.x;
  std::vector<Edge> edges;
  edges.reserve(static_cast<std::size_t>(13 * count));
  for (const Direction& d : kDirections) {
    const double weight = direction_weight(d, p.z_over_x);
    const std::int64_t offset = (d.z * shape.y + d.y) * shape.x + d.x;
    for (std::int64_t z = 0; z < shape.z - d.z; ++z)
      for (std::int64_t y = std::max(0, -d.y); y < shape.y - std::max(0, d.y); ++y)
        for (std::int64_t x = std::max(0, -d.x); x < shape.x - std::max(0, d.x); ++x) {
          const std::int64_t a = (z * shape.y + y) * shape.x + x;
          const double difference =
              static_cast<double>(image[a]) - static_cast<double>(image[a + offset]);
          edges.push_back({std::sqrt(weight * (difference * difference)),
                           static_cast<std::int32_t>(a), static_cast<std::int32_t>(a + offset)});
        }
  }
  std::stable_sort(edges.begin(), edges.end(),
                   [](const Edge& l, const Edge& r) { return l.cost < r.cost; });
  UnionFind sets(static_cast<std::size_t>(count));
  std::vector<double> inner(static_cast<std::size_t>(count), 0.0);
  const auto threshold = [&](std::int32_t root) {
    return static_cast<float>(inner[root] + p.scale / sets.size(root));
  };
  for (const Edge& edge : edges) {
    const std::int32_t a = sets.find(edge.a), b = sets.find(edge.b);
    if (a != b && edge.cost < std::min(threshold(a), threshold(b)))
      inner[sets.merge(a, b)] = edge.cost;
  }
  for (const Edge& edge : edges) {
    const std::int32_t a = sets.find(edge.a), b = sets.find(edge.b);
    if (a != b && (sets.size(a) < p.min_size || sets.size(b) < p.min_size)) sets.merge(a, b);
  }
  sets.flatten();
  std::int32_t next = 0;
  for (std::int32_t i = 0; i < count; ++i)
    labels[i] = sets.parent(i) == i ? next++ : labels[sets.parent(i)];
}

}  // namespace gmrd
