// A stable sort of edges by cost.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "edges.hpp"

namespace gmrd {

inline std::uint64_t bits(double value) {
  std::uint64_t out;
  std::memcpy(&out, &value, sizeof out);
  return out;
}

// Sorts by cost (never negative, so its bits order as it does); edges of equal cost keep their
// order. `scratch` is working space.
inline void radix_sort(std::vector<Edge>& edges, std::vector<Edge>& scratch) {
  constexpr int kDigit = 11;
  constexpr std::uint64_t kMask = (1u << kDigit) - 1;
  if (edges.empty()) return;
  std::uint64_t low = bits(edges[0].cost), high = low;
  for (const Edge& edge : edges) {
    const std::uint64_t key = bits(edge.cost);
    low = key < low ? key : low;
    high = key > high ? key : high;
  }
  scratch.resize(edges.size());
  for (int shift = 0; shift < 64 && ((high - low) >> shift) != 0; shift += kDigit) {
    std::array<std::size_t, kMask + 2> start{};
    for (const Edge& edge : edges) ++start[(((bits(edge.cost) - low) >> shift) & kMask) + 1];
    for (std::size_t i = 1; i < start.size(); ++i) start[i] += start[i - 1];
    for (const Edge& edge : edges)
      scratch[start[((bits(edge.cost) - low) >> shift) & kMask]++] = edge;
    edges.swap(scratch);
  }
}

}  // namespace gmrd
