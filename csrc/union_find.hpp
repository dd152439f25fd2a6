// Disjoint sets over voxel indices, as flat arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gmrd {

// The root of a set is its smallest member, so parent[i] <= i always holds. That makes a label
// by root a label by first voxel in raster order, and lets one forward sweep flatten the trees.
class UnionFind {
 public:
  using Index = std::int32_t;

  explicit UnionFind(std::size_t count) : parent_(count), size_(count, 1) {
    for (std::size_t i = 0; i < count; ++i) parent_[i] = static_cast<Index>(i);
  }

  Index find(Index i) {
    while (parent_[i] != i) {
      parent_[i] = parent_[parent_[i]];
      i = parent_[i];
    }
    return i;
  }

  // Both arguments must be roots, and distinct. Returns the root of the union.
  Index merge(Index a, Index b) {
    const Index root = a < b ? a : b;
    const Index child = a < b ? b : a;
    parent_[child] = root;
    size_[root] += size_[child];
    return root;
  }

  // Afterwards parent(i) is the root of i, for every i.
  void flatten() {
    for (Index& parent : parent_) parent = parent_[parent];
  }

  Index parent(Index i) const { return parent_[i]; }
  Index size(Index root) const { return size_[root]; }
  std::size_t count() const { return parent_.size(); }

 private:
  std::vector<Index> parent_;
  std::vector<Index> size_;
};

}  // namespace gmrd
