// Offers a volume's edges to a rule in their total order, a batch at a time.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <vector>

#include "edge_scan.hpp"
#include "edges.hpp"
#include "parallel.hpp"
#include "radix_sort.hpp"
#include "union_find.hpp"

namespace gmrd {

// A rule says which sets are `open` (an edge of this cost or more may still join them to some
// other set), what `join` does with an edge between two sets, and the `horizon`: a cost up to
// which it is worth looking now. A set that is not open must never be changed by an edge between
// two such sets, however they grow. Edges between closed sets, or inside a set, are not even
// collected; as sets grow and close, later batches find few edges left. How the edges fall into
// batches has no influence on the order in which the rest is offered.
template <typename Real, typename Poll>
class OrderedPass {
 public:
  // `capacity` bounds the edges of a batch (0: by the size of the volume). `poll` is called
  // every few milliseconds and may throw.
  OrderedPass(const EdgeScan<Real>& scan, UnionFind& sets, std::size_t capacity, int n_threads,
              const Poll& poll)
      : scan_(scan),
        sets_(sets),
        capacity_(capacity != 0 ? capacity : std::max<std::size_t>(sets.count() / 2, 1 << 16)),
        n_threads_(n_threads),
        poll_(poll),
        tags_(sets.count()),
        found_(n_threads) {}

  template <typename Rule>
  void run(Rule& rule) {
    std::fill(tags_.begin(), tags_.end(), Index{0});
    for (double from = 0.0, to; from < kInfinity && tag(rule, from); from = to) {
      if (collect_batch(from, rule.horizon(tags_), to))
        offer_batch(rule);
      else
        stream(rule, from, to);
    }
  }

 private:
  // Tags every voxel with the root of its set, or with -1 where the set is closed.
  template <typename Rule>
  bool tag(const Rule& rule, double cost) {
    bool any_open = false;
    for (Index i = 0; i < sets_.count(); ++i) {
      if (tags_[i] < 0) continue;
      const Index root = sets_.flatten(i);
      tags_[i] = root != i ? tags_[root] : rule.open(i, cost) ? i : -1;
      any_open |= tags_[i] >= 0;
    }
    return any_open;
  }

  // The costs, sorted, of the edges that lie ahead, from a sample of the voxels.
  std::vector<double> sample(double from) const {
    std::vector<double> costs;
    for (Index a = 0; a < sets_.count(); a += sample_stride())
      for (std::size_t d = 0; d < kDirections.size(); ++d) {
        const Index b = scan_.neighbour(a, d);
        if (b < 0 || tags_[a] == tags_[b]) continue;
        const double cost = scan_.cost(a, b, d);
        if (cost >= from) costs.push_back(cost);
      }
    std::sort(costs.begin(), costs.end());
    return costs;
  }

  Index sample_stride() const { return std::max(Index{1}, sets_.count() / 4001); }

  // Fills the batch with all edges that cost `from` or more and less than `to`, and chooses `to`
  // so that they fit. False where those of cost `from` alone are too many.
  bool collect_batch(double from, double horizon, double& to) {
    const std::vector<double> costs = sample(from);
    const std::size_t keep = capacity_ / sample_stride() * 7 / 8;
    to = keep < costs.size() ? std::min(costs[keep], horizon) : horizon;
    to = std::max(to, next_cost(from));
    while (!collect(from, to)) {
      if (to == next_cost(from)) return false;
      to = std::max(median_found(), next_cost(from));
    }
    return true;
  }

  // The median cost of the edges that the last collection found before it gave up.
  double median_found() const {
    std::vector<double> costs;
    for (const Found& found : found_)
      for (const std::vector<Edge>& edges : found)
        for (const Edge& edge : edges) costs.push_back(edge.cost);
    const auto middle = costs.begin() + static_cast<std::ptrdiff_t>(costs.size() / 2);
    std::nth_element(costs.begin(), middle, costs.end());
    return *middle;
  }

  // The batch in order of direction, then of slices: what the stable sort needs for its ties.
  bool collect(double from, double to) {
    std::atomic<bool> fits = true;
    parallel(n_threads_, [&](int thread) {
      Found& found = found_[thread];
      for (std::vector<Edge>& edges : found) edges.clear();
      std::size_t count = 0;
      const std::int64_t slices = scan_.shape().z, end = slices * (thread + 1) / n_threads_;
      for (std::int64_t z = slices * thread / n_threads_; z < end && fits; ++z) {
        if (thread == 0) poll_();
        scan_.edges(z, z + 1, 0, kDirections.size(), from, to, tags_.data(),
                    [&](std::size_t d, const Edge& edge) {
                      found[d].push_back(edge);
                      ++count;
                    });
        if (count > std::max<std::size_t>(1, capacity_ / n_threads_)) fits = false;
      }
    });
    batch_.clear();
    for (std::size_t d = 0; fits && d < kDirections.size(); ++d)
      for (const Found& found : found_)
        batch_.insert(batch_.end(), found[d].begin(), found[d].end());
    return fits;
  }

  template <typename Rule>
  void offer_batch(Rule& rule) {
    radix_sort(batch_, scratch_);
    for (std::size_t i = 0; i < batch_.size(); ++i) {
      if (i % (1 << 16) == 0) poll_();
      offer(rule, batch_[i]);
    }
  }

  // Edges of a single cost need no sorting: a scan meets them in their order.
  template <typename Rule>
  void stream(Rule& rule, double from, double to) {
    for (std::size_t d = 0; d < kDirections.size(); ++d)
      for (std::int64_t z = 0; z < scan_.shape().z; ++z) {
        poll_();
        scan_.edges(z, z + 1, d, d + 1, from, to, tags_.data(),
                    [&](std::size_t, const Edge& edge) { offer(rule, edge); });
      }
  }

  template <typename Rule>
  void offer(Rule& rule, const Edge& edge) {
    const Index a = sets_.find(edge.a), b = sets_.find(edge.b);
    if (a != b) rule.join(edge.cost, a, b);
  }

  using Found = std::array<std::vector<Edge>, kDirections.size()>;

  const EdgeScan<Real>& scan_;
  UnionFind& sets_;
  std::size_t capacity_;
  int n_threads_;
  const Poll& poll_;
  std::vector<Index> tags_;
  std::vector<Found> found_;
  std::vector<Edge> batch_, scratch_;
};

}  // namespace gmrd
