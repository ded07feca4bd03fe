#include "comm/sim/simulated_communicator.h"

#include <utility>

#include "core/error.h"

namespace megalith {
namespace {

class SimulatedCommunicator final : public Communicator {
 public:
  SimulatedCommunicator(int rank, int size, std::string name)
      : rank_(rank), size_(size), name_(std::move(name)) {
    MEGALITH_CHECK(rank >= 0 && rank < size, "rank {} of {}", rank, size);
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  Request all_gather(ConstBytes mine, Bytes all) override {
    check_parts(mine.size(), all.size());
    return {};
  }
  Request all_to_all(ConstBytes from, Bytes to) override {
    MEGALITH_CHECK(from.size() == to.size(), "{} bytes to {}", from.size(), to.size());
    check_parts(from.size() / static_cast<std::size_t>(size_), to.size());
    return {};
  }
  Request broadcast(Bytes, int root) override {
    check_rank(root);
    return {};
  }
  Request all_reduce(std::span<std::int64_t>, IntegerReduction) override { return {}; }
  Request reduce_scatter(std::span<const std::int64_t> all, std::span<std::int64_t> mine) override {
    check_parts(mine.size(), all.size());
    return {};
  }
  Request send(ConstBytes, int to) override {
    check_rank(to);
    return {};
  }
  Request receive(Bytes, int from) override {
    check_rank(from);
    return {};
  }
  void wait(Request) override {}
  std::unique_ptr<Communicator> split(int, int, const std::string& name) override {
    check_failed(__FILE__, __LINE__, "ranks that are there",
                 fmt::format("split of simulated {} as {}", name_, name));
  }
  [[nodiscard]] const std::string& name() const override { return name_; }
  void abandon() noexcept override {}

 private:
  void check_parts(std::size_t part, std::size_t all) const {
    MEGALITH_CHECK(part * static_cast<std::size_t>(size_) == all, "{} parts of {} are not {}", size_, part,
                   all);
  }
  void check_rank(int rank) const { MEGALITH_CHECK(rank >= 0 && rank < size_, "rank {} of {}", rank, size_); }

  int rank_;
  int size_;
  std::string name_;
};

}  // namespace

std::unique_ptr<Communicator> make_simulated_communicator(int rank, int size, std::string name) {
  return std::make_unique<SimulatedCommunicator>(rank, size, std::move(name));
}

}  // namespace megalith
