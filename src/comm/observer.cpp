#include "comm/observer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/error.h"

namespace megalith {
namespace {

class ObservedCommunicator final : public Communicator {
 public:
  ObservedCommunicator(Communicator& inner, std::unique_ptr<Communicator> owned,
                       CommunicationObserver& observer)
      : inner_(inner), owned_(std::move(owned)), observer_(observer), handle_(observer.opened(inner)) {}

  [[nodiscard]] int rank() const override { return inner_.rank(); }
  [[nodiscard]] int size() const override { return inner_.size(); }
  [[nodiscard]] const std::string& name() const override { return inner_.name(); }
  void abandon() noexcept override { inner_.abandon(); }

  Request all_gather(ConstBytes mine, Bytes all) override {
    return observed({.kind = OperationKind::all_gather, .bytes = all.size()},
                    [&] { return inner_.all_gather(mine, all); });
  }
  Request all_to_all(ConstBytes from, Bytes to) override {
    return observed({.kind = OperationKind::all_to_all, .bytes = from.size()},
                    [&] { return inner_.all_to_all(from, to); });
  }
  Request broadcast(Bytes data, int root) override {
    return observed({.kind = OperationKind::broadcast, .bytes = data.size(), .peer = root},
                    [&] { return inner_.broadcast(data, root); });
  }
  Request all_reduce(std::span<std::int64_t> values, IntegerReduction reduction) override {
    return observed({.kind = OperationKind::all_reduce, .bytes = values.size_bytes()},
                    [&] { return inner_.all_reduce(values, reduction); });
  }
  Request reduce_scatter(std::span<const std::int64_t> all, std::span<std::int64_t> mine) override {
    return observed({.kind = OperationKind::reduce_scatter, .bytes = all.size_bytes()},
                    [&] { return inner_.reduce_scatter(all, mine); });
  }
  Request send(ConstBytes data, int to) override {
    return observed({.kind = OperationKind::send, .bytes = data.size(), .peer = to},
                    [&] { return inner_.send(data, to); });
  }
  Request receive(Bytes data, int from) override {
    return observed({.kind = OperationKind::receive, .bytes = data.size(), .peer = from},
                    [&] { return inner_.receive(data, from); });
  }
  void wait(Request request) override {
    MEGALITH_CHECK(request.index < under_way_.size(), "a request of {} that never was", name());
    ObservedOperation& operation = under_way_[request.index];
    observer_.waiting(operation);
    inner_.wait(request);
    observer_.left(operation);
  }
  std::unique_ptr<Communicator> split(int colour, int key, const std::string& child_name) override {
    std::unique_ptr<Communicator> child = inner_.split(colour, key, child_name);
    Communicator& inner = *child;
    return std::make_unique<ObservedCommunicator>(inner, std::move(child), observer_);
  }

 private:
  template <class Post>
  Request observed(ObservedOperation operation, Post post) {
    operation.communicator = handle_;
    const bool message = operation.kind == OperationKind::send || operation.kind == OperationKind::receive;
    operation.number = message ? messages_++ : collectives_++;
    observer_.entered(operation);
    const Request request = post();
    if (request.index >= under_way_.size()) under_way_.resize(request.index + std::size_t{1});
    under_way_[request.index] = operation;
    return request;
  }

  Communicator& inner_;
  std::unique_ptr<Communicator> owned_;  // inner_, where this made it
  CommunicationObserver& observer_;
  int handle_;
  std::uint64_t collectives_ = 0;
  std::uint64_t messages_ = 0;
  std::vector<ObservedOperation> under_way_;  // by index of the request
};

}  // namespace

std::unique_ptr<Communicator> observe(Communicator& inner, CommunicationObserver& observer) {
  return std::make_unique<ObservedCommunicator>(inner, nullptr, observer);
}

}  // namespace megalith
