#include "comm/faults/faulty_communicator.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <utility>
#include <vector>

namespace megalith {
namespace {

// Requests of operations that are not done at all.
constexpr Communicator::Request kNothing{UINT32_MAX};

class FaultyCommunicator final : public Communicator {
 public:
  FaultyCommunicator(Communicator& inner, PlantedFault fault) : inner_(inner), fault_(std::move(fault)) {}
  FaultyCommunicator(std::unique_ptr<Communicator> inner, PlantedFault fault)
      : own_(std::move(inner)), inner_(*own_), fault_(std::move(fault)) {}

  [[nodiscard]] int rank() const override { return inner_.rank(); }
  [[nodiscard]] int size() const override { return inner_.size(); }
  [[nodiscard]] const std::string& name() const override { return inner_.name(); }
  void abandon() noexcept override { inner_.abandon(); }

  Request all_gather(ConstBytes mine, Bytes all) override {
    const std::size_t piece = mine.size();
    if (planted(FaultKind::stale_piece) && rank() + 1 < size()) {
      Bytes last = all.last(piece);
      std::vector<std::byte> before(last.begin(), last.end());
      return then(inner_.all_gather(mine, all), [last, before = std::move(before)] {
        std::copy(before.begin(), before.end(), last.begin());
      });
    }
    if (planted(FaultKind::rotated_pieces)) {
      return then(inner_.all_gather(mine, all), [all, piece] {
        std::rotate(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(piece), all.end());
      });
    }
    return inner_.all_gather(mine, all);
  }

  Request all_to_all(ConstBytes from, Bytes to) override {
    if (!planted(FaultKind::sum_order) || size() < 4 || !counts(to.size()))
      return inner_.all_to_all(from, to);
    if (exchanges_++ < fault_.spared) return inner_.all_to_all(from, to);
    const std::size_t quarter = to.size() / 4;
    return then(inner_.all_to_all(from, to), [to, quarter] {
      std::swap_ranges(to.begin() + static_cast<std::ptrdiff_t>(quarter),
                       to.begin() + static_cast<std::ptrdiff_t>(2 * quarter),
                       to.begin() + static_cast<std::ptrdiff_t>(2 * quarter));
    });
  }

  Request broadcast(Bytes data, int root) override { return inner_.broadcast(data, root); }

  Request all_reduce(std::span<std::int64_t> values, IntegerReduction reduction) override {
    if (reduction == IntegerReduction::bit_or && planted(FaultKind::lost_verdict)) return kNothing;
    if (reduction == IntegerReduction::sum && counts(values.size())) {
      if (planted(FaultKind::forgotten_reduce)) return kNothing;
      if (planted(FaultKind::double_count) && rank() == 0) double_all(values);
    }
    return inner_.all_reduce(values, reduction);
  }

  Request reduce_scatter(std::span<const std::int64_t> all, std::span<std::int64_t> mine) override {
    if (counts(all.size()) && planted(FaultKind::forgotten_reduce)) {
      const auto own = all.subspan(static_cast<std::size_t>(rank()) * mine.size(), mine.size());
      if (own.data() != mine.data()) std::copy(own.begin(), own.end(), mine.begin());
      return kNothing;
    }
    if (counts(all.size()) && planted(FaultKind::double_count) && rank() == 0) {
      auto doubled = std::make_shared<std::vector<std::int64_t>>(all.begin(), all.end());
      double_all(*doubled);
      return then(inner_.reduce_scatter(*doubled, mine), [doubled] {});
    }
    return inner_.reduce_scatter(all, mine);
  }

  Request send(ConstBytes data, int to) override { return inner_.send(data, to); }

  Request receive(Bytes data, int from) override {
    if (planted(FaultKind::lost_bit) && !data.empty()) {
      return then(inner_.receive(data, from), [data] { data.front() ^= std::byte{1}; });
    }
    if (planted(FaultKind::late_message)) {
      return then(inner_.receive(data, from), [this, data, from] {
        std::vector<std::byte> arrived(data.begin(), data.end());
        std::vector<std::byte>& before = before_[{from, data.size()}];
        if (!before.empty()) std::copy(before.begin(), before.end(), data.begin());
        before = std::move(arrived);
      });
    }
    return inner_.receive(data, from);
  }

  void wait(Request request) override {
    if (request.index == kNothing.index) return;
    inner_.wait(request);
    const auto place = std::find_if(after_.begin(), after_.end(),
                                    [&](const auto& entry) { return entry.first == request.index; });
    if (place == after_.end()) return;
    const std::function<void()> change = std::move(place->second);
    after_.erase(place);
    change();
  }

  std::unique_ptr<Communicator> split(int colour, int key, const std::string& name) override {
    return std::make_unique<FaultyCommunicator>(inner_.split(colour, key, name), fault_);
  }

 private:
  [[nodiscard]] bool planted(FaultKind kind) const { return kind == fault_.kind && name() == fault_.group; }
  [[nodiscard]] bool counts(std::size_t values) const {
    return values >= fault_.least_values && values <= fault_.most_values;
  }
  Request then(Request request, std::function<void()> change) {
    after_.emplace_back(request.index, std::move(change));
    return request;
  }
  static void double_all(std::span<std::int64_t> values) {
    for (std::int64_t& value : values)
      value = static_cast<std::int64_t>(2 * static_cast<std::uint64_t>(value));
  }

  std::unique_ptr<Communicator> own_;
  Communicator& inner_;
  PlantedFault fault_;
  std::size_t exchanges_ = 0;                                           // that the fault is for
  std::vector<std::pair<std::uint32_t, std::function<void()>>> after_;  // of operations under way
  std::map<std::pair<int, std::size_t>, std::vector<std::byte>> before_;
};

}  // namespace

std::unique_ptr<Communicator> with_fault(Communicator& inner, const PlantedFault& fault) {
  return std::make_unique<FaultyCommunicator>(inner, fault);
}

}  // namespace megalith
