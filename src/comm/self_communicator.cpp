#include <algorithm>
#include <utility>

#include "comm/communicator.h"
#include "core/error.h"

namespace megalith {
namespace {

void copy(ConstBytes from, Bytes to) {
  MEGALITH_CHECK(from.size() == to.size(), "{} bytes to {}", from.size(), to.size());
  if (from.data() != to.data()) std::copy(from.begin(), from.end(), to.begin());
}

class SelfCommunicator final : public Communicator {
 public:
  explicit SelfCommunicator(std::string name) : name_(std::move(name)) {}

  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  Request all_gather(ConstBytes mine, Bytes all) override {
    copy(mine, all);
    return {};
  }
  Request all_to_all(ConstBytes from, Bytes to) override {
    copy(from, to);
    return {};
  }
  Request broadcast(Bytes, int root) override {
    MEGALITH_CHECK(root == 0, "rank {} of 1", root);
    return {};
  }
  Request all_reduce(std::span<std::int64_t>, IntegerReduction) override { return {}; }
  Request reduce_scatter(std::span<const std::int64_t> all, std::span<std::int64_t> mine) override {
    copy(std::as_bytes(all), std::as_writable_bytes(mine));
    return {};
  }
  Request send(ConstBytes, int to) override { nobody(to); }
  Request receive(Bytes, int from) override { nobody(from); }
  void wait(Request) override {}
  std::unique_ptr<Communicator> split(int, int, const std::string& name) override {
    return make_self_communicator(name);
  }
  [[nodiscard]] const std::string& name() const override { return name_; }
  void abandon() noexcept override {}

 private:
  // A message to oneself would wait for ever on most carriers.
  [[noreturn]] static void nobody(int rank) {
    check_failed(__FILE__, __LINE__, "another rank", fmt::format("a message with rank {} of 1", rank));
  }

  std::string name_;
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator(std::string name) {
  return std::make_unique<SelfCommunicator>(std::move(name));
}

}  // namespace megalith
