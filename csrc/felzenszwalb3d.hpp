// Felzenszwalb-Huttenlocher segmentation of a volume on its anisotropic 26-neighbourhood graph
// ("Efficient Graph-Based Image Segmentation", IJCV 59, 2004).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "edge_scan.hpp"
#include "edges.hpp"
#include "ordered_pass.hpp"
#include "parallel.hpp"
#include "union_find.hpp"

namespace gmrd {

struct Parameters {
  double z_over_x;         // slice spacing over pixel spacing
  double scale;            // larger: larger segments
  std::int64_t min_size;   // smaller segments are joined to a neighbour
  std::size_t batch_size;  // edges in memory at a time; 0: by the size of the volume
  int n_threads;
};

// First pass: two sets are joined where the edge costs less than either one's inner cost plus
// scale / size. A set whose threshold an edge has reached keeps it, and is closed.
class SimilarityRule {
 public:
  SimilarityRule(UnionFind& sets, double scale)
      : sets_(sets), scale_(scale), inner_(static_cast<std::size_t>(sets.count()), 0.0) {}

  bool open(Index root, double cost) const { return cost < threshold(root); }

  void join(double cost, Index a, Index b) {
    if (cost < std::min(threshold(a), threshold(b))) inner_[sets_.merge(a, b)] = cost;
  }

  // No edge above the largest threshold joins anything, and joining raises it but little.
  double horizon(const std::vector<Index>& tags) const {
    float largest = 0.0f;
    for (Index i = 0; i < sets_.count(); ++i)
      if (tags[i] == i) largest = std::max(largest, threshold(i));
    return 2.0 * largest;
  }

 private:
  // Rounded to single precision, which decides some ties.
  float threshold(Index root) const {
    return static_cast<float>(inner_[root] + scale_ / sets_.size(root));
  }

  UnionFind& sets_;
  double scale_;
  std::vector<double> inner_;
};

// Second pass: a set smaller than min_size is joined over its cheapest edge.
class SizeRule {
 public:
  SizeRule(UnionFind& sets, std::int64_t min_size) : sets_(sets), min_size_(min_size) {}

  bool open(Index root, double) const { return sets_.size(root) < min_size_; }

  void join(double, Index a, Index b) {
    if (open(a, 0.0) || open(b, 0.0)) sets_.merge(a, b);
  }

  double horizon(const std::vector<Index>&) const { return kInfinity; }

 private:
  UnionFind& sets_;
  std::int64_t min_size_;
};

// Joins neighbours of equal grey value in the slices z_begin .. z_end - 1, or between the last
// of them and the next slice where `upwards`.
template <typename Real>
void join_equal(const Real* image, const EdgeScan<Real>& scan, UnionFind& sets,
                std::int64_t z_begin, std::int64_t z_end, std::size_t first, std::size_t last) {
  scan.rows(z_begin, z_end, first, last, [&](std::int64_t length, std::size_t, Index a, Index b) {
    for (const Index end = a + static_cast<Index>(length); a < end; ++a, ++b) {
      if (image[a] != image[b]) continue;
      const Index root_a = sets.find(a), root_b = sets.find(b);
      if (root_a != root_b) sets.merge(root_a, root_b);
    }
  });
}

// Writes the labels 0 .. n - 1 of the segments, in raster order of their first voxels.
inline void write_labels(UnionFind& sets, Index* labels) {
  Index next = 0;
  for (Index i = 0; i < sets.count(); ++i) {
    const Index root = sets.flatten(i);
    labels[i] = root == i ? next++ : labels[root];
  }
}

// `image` and `labels` are in raster order, x fastest. Values are finite and span 0 or 1e-100 to
// 1e100, z_over_x is between 1e-6 and 1e6, and the voxels are fewer than an Index can count.
template <typename Real, typename Poll>
void felzenszwalb3d(const Real* image, const Shape& shape, const Parameters& p, Index* labels,
                    const Poll& poll) {
  const EdgeScan<Real> scan(image, shape, p.z_over_x);
  UnionFind sets(static_cast<std::size_t>(shape.count()));
  // Edges of cost 0 come first and always join while thresholds are above 0: in any order.
  if (static_cast<float>(p.scale / static_cast<double>(shape.count())) > 0.0f)
    for (std::int64_t z = 0; z < shape.z; ++z) {
      poll();
      join_equal(image, scan, sets, z, z + 1, 0, kDirections.size());
    }
  OrderedPass<Real, Poll> pass(scan, sets, p.batch_size, p.n_threads, poll);
  SimilarityRule similarity(sets, p.scale);
  pass.run(similarity);
  SizeRule size(sets, p.min_size);
  pass.run(size);
  write_labels(sets, labels);
}

}  // namespace gmrd
