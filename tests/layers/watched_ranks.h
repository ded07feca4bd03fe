// A communicator that counts what this rank gets from the others, and may mix up who sent what.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "comm/communicator.h"

namespace megalith::test {

// Bytes from other ranks.
struct Traffic {
  std::int64_t gathered = 0;  // by all_gather
  std::int64_t crossed = 0;   // by all_to_all
  bool operator==(const Traffic&) const = default;
};

class WatchedRanks final : public Communicator {
 public:
  // swap_from: the all_to_all from which on the pieces of ranks 1 and 2 change places; none: never.
  static constexpr int kNone = 1 << 30;
  explicit WatchedRanks(Communicator& inner, int swap_from = kNone) : inner_(inner), swap_from_(swap_from) {}

  [[nodiscard]] const Traffic& traffic() const { return *traffic_; }
  [[nodiscard]] int rank() const override { return inner_.rank(); }
  [[nodiscard]] int size() const override { return inner_.size(); }
  Request all_gather(ConstBytes mine, Bytes all) override {
    traffic_->gathered += static_cast<std::int64_t>(all.size() - mine.size());
    return inner_.all_gather(mine, all);
  }
  Request all_to_all(ConstBytes from, Bytes to) override {
    const std::size_t piece = to.size() / static_cast<std::size_t>(size());
    traffic_->crossed += static_cast<std::int64_t>(to.size() - piece);
    if (++exchanges_ <= swap_from_) return inner_.all_to_all(from, to);
    inner_.wait(inner_.all_to_all(from, to));
    std::swap_ranges(to.begin() + static_cast<std::ptrdiff_t>(piece),
                     to.begin() + static_cast<std::ptrdiff_t>(2 * piece),
                     to.begin() + static_cast<std::ptrdiff_t>(2 * piece));
    return inner_.all_gather(to.first(0), to.first(0));
  }
  Request broadcast(Bytes data, int root) override { return inner_.broadcast(data, root); }
  Request all_reduce(std::span<std::int64_t> values, IntegerReduction reduction) override {
    return inner_.all_reduce(values, reduction);
  }
  Request reduce_scatter(std::span<const std::int64_t> all, std::span<std::int64_t> mine) override {
    return inner_.reduce_scatter(all, mine);
  }
  Request send(ConstBytes data, int to) override { return inner_.send(data, to); }
  Request receive(Bytes data, int from) override { return inner_.receive(data, from); }
  void wait(Request request) override { inner_.wait(request); }
  std::unique_ptr<Communicator> split(int colour, int key, const std::string& name) override {
    std::unique_ptr<Communicator> part = inner_.split(colour, key, name);
    auto watched = std::make_unique<WatchedRanks>(*part);
    watched->own_ = std::move(part);
    watched->traffic_ = traffic_;
    return watched;
  }
  [[nodiscard]] const std::string& name() const override { return inner_.name(); }

 private:
  Communicator& inner_;
  std::unique_ptr<Communicator> own_;
  std::shared_ptr<Traffic> traffic_ = std::make_shared<Traffic>();
  int swap_from_;
  int exchanges_ = 0;
};

}  // namespace megalith::test
