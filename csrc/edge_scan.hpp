// Finds the edges in a range of costs that may still join two sets, without storing the graph.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "edges.hpp"

namespace gmrd {

template <typename Real>
class EdgeScan {
 public:
  EdgeScan(const Real* image, const Shape& shape, double z_over_x)
      : image_(image), shape_(shape), grey_(static_cast<std::size_t>(shape.count())) {
    const auto [low, high] = std::minmax_element(image, image + shape.count());
    const double offset = static_cast<double>(*low);
    if (*high > *low) span_ = static_cast<double>(*high) - offset;
    for (std::size_t i = 0; i < grey_.size(); ++i)
      grey_[i] = static_cast<float>((static_cast<double>(image[i]) - offset) / span_);
    for (std::size_t d = 0; d < kDirections.size(); ++d)
      weight_[d] = edge_weight(kDirections[d], z_over_x);
  }

  const Shape& shape() const { return shape_; }

  double cost(Index a, Index b, std::size_t direction) const {
    const double difference = static_cast<double>(image_[a]) - static_cast<double>(image_[b]);
    return std::sqrt(weight_[direction] * (difference * difference));
  }

  // The voxel at the other end of an edge from `a`, or -1 outside the volume.
  Index neighbour(Index a, std::size_t direction) const {
    const Direction& step = kDirections[direction];
    const std::int64_t x = a % shape_.x + step.x, y = a / shape_.x % shape_.y + step.y;
    const std::int64_t z = a / shape_.x / shape_.y + step.z;
    const bool inside = x >= 0 && x < shape_.x && y >= 0 && y < shape_.y && z < shape_.z;
    return inside ? static_cast<Index>((z * shape_.y + y) * shape_.x + x) : -1;
  }

  // Calls visit(row, direction, a, b) for every row of edges of the given directions whose `a`
  // lie in the slices z_begin .. z_end - 1: `row` edges, the first from voxel a to voxel b.
  template <typename Visit>
  void rows(std::int64_t z_begin, std::int64_t z_end, std::size_t first, std::size_t last,
            const Visit& visit) const {
    for (std::int64_t z = z_begin; z < z_end; ++z)
      for (std::int64_t y = 0; y < shape_.y; ++y)
        for (std::size_t d = first; d < last; ++d) {
          const Direction& step = kDirections[d];
          const std::int64_t length = shape_.x - std::abs(step.x);
          if (z + step.z >= shape_.z || y + step.y < 0 || y + step.y >= shape_.y || length <= 0)
            continue;
          const std::int64_t a = (z * shape_.y + y) * shape_.x + std::max(0, -step.x);
          const std::int64_t b = a + (step.z * shape_.y + step.y) * shape_.x + step.x;
          visit(length, d, static_cast<Index>(a), static_cast<Index>(b));
        }
  }

  // Calls visit(direction, edge) for the edges of such rows that cost `from` or more and less
  // than `to`, and whose ends bear different tags.
  template <typename Visit>
  void edges(std::int64_t z_begin, std::int64_t z_end, std::size_t first, std::size_t last,
             double from, double to, const Index* tags, const Visit& visit) const {
    std::array<float, kDirections.size()> grey_low, grey_high;
    for (std::size_t d = first; d < last; ++d) {
      grey_low[d] = grey_bound(from, d, -kMargin);
      grey_high[d] = grey_bound(to, d, kMargin);
    }
    std::vector<std::uint8_t> hits(static_cast<std::size_t>(shape_.x + kWord));
    rows(z_begin, z_end, first, last, [&](std::int64_t length, std::size_t d, Index a, Index b) {
      mark(&grey_[a], &grey_[b], tags + a, tags + b, grey_low[d], grey_high[d], length,
           hits.data());
      for_each_mark(hits.data(), length, [&](Index x) {
        const Edge edge{cost(a + x, b + x, d), a + x, b + x};
        if (edge.cost >= from && edge.cost < to) visit(d, edge);
      });
    });
  }

 private:
  static constexpr std::int64_t kWord = sizeof(std::uint64_t);

  // Grey values are scaled to 0..1 in single precision: differences are off by less than this.
  static constexpr double kMargin = 1.0 / (1 << 21);

  float grey_bound(double cost, std::size_t direction, double margin) const {
    const double difference = cost / std::sqrt(weight_[direction]) / span_;
    return static_cast<float>(std::min(difference + margin, 2.0));
  }

  // Marks the edges of a row that may lie in the range. Single precision and no branches, so
  // that a compiler makes vector instructions of it: nearly all edges end here.
  static void mark(const float* __restrict grey_a, const float* __restrict grey_b,
                   const Index* __restrict tag_a, const Index* __restrict tag_b, float low,
                   float high, std::int64_t length, std::uint8_t* __restrict marks) {
    for (std::int64_t x = 0; x < length; ++x) {
      const float difference = std::fabs(grey_a[x] - grey_b[x]);
      marks[x] = (difference >= low) & (difference < high) & (tag_a[x] != tag_b[x]);
    }
  }

  template <typename Visit>
  static void for_each_mark(const std::uint8_t* marks, std::int64_t length, const Visit& visit) {
    for (std::int64_t x = 0; x < length; x += kWord) {
      std::uint64_t word;
      std::memcpy(&word, marks + x, sizeof word);
      if (word == 0) continue;
      for (std::int64_t i = x; i < std::min(x + kWord, length); ++i)
        if (marks[i] != 0) visit(static_cast<Index>(i));
    }
  }

  const Real* image_;
  Shape shape_;
  std::vector<float> grey_;
  double span_ = 1.0;
  std::array<double, kDirections.size()> weight_{};
};

}  // namespace gmrd
