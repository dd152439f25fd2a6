// The same work on a few threads.
#pragma once

#include <future>
#include <vector>

namespace gmrd {

// Calls work(0) here and work(1) .. work(n_threads - 1) on other threads; returns, or throws the
// first exception, when all have ended.
template <typename Work>
void parallel(int n_threads, const Work& work) {
  std::vector<std::future<void>> others;
  for (int thread = 1; thread < n_threads; ++thread)
    others.push_back(std::async(std::launch::async, std::cref(work), thread));
  work(0);
  for (std::future<void>& other : others) other.get();
}

}  // namespace gmrd
