// Disjoint sets of voxels, as flat arrays.
#pragma once

#include <cstddef>
#include <numeric>
#include <vector>

#include "edges.hpp"

namespace gmrd {

// The root of a set is its smallest member, so a parent never lies behind its child. Roots in
// rising order are then sets by their first voxel, and one forward sweep flattens all trees.
class UnionFind {
 public:
  explicit UnionFind(std::size_t count) : parent_(count), size_(count, 1) {
    std::iota(parent_.begin(), parent_.end(), Index{0});
  }

  Index count() const { return static_cast<Index>(parent_.size()); }
  Index size(Index root) const { return size_[root]; }

  Index find(Index i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }

  // Joins the sets of two different roots and returns the root of the union.
  Index merge(Index a, Index b) {
    if (b < a) std::swap(a, b);
    size_[a] += size_[b];
    return parent_[b] = a;
  }

  // The root of i, in one step, where all smaller indices have been flattened before.
  Index flatten(Index i) { return parent_[i] = parent_[parent_[i]]; }

 private:
  std::vector<Index> parent_;
  std::vector<Index> size_;
};

}  // namespace gmrd
