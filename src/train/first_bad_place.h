// Where a step first went wrong: a tensor that is not finite, or a loss or gradient contribution out of
// range.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "comm/communicator.h"
#include "device/device.h"
#include "layers/step_context.h"

namespace megalith {

// First means in the order in which a micro batch passes the model, whichever micro batch it was and
// whichever rank had it, so that the name does not depend on how batch and model are cut.
class FirstBadPlace final : public TensorObserver {
 public:
  FirstBadPlace(Device& device, Verdict& verdict, std::int64_t layers)
      : device_(device), verdict_(verdict), layers_(layers) {}
  void observe(int layer, std::string_view operation, Direction direction, const Tensor& tensor) override;
  // Collective: the first of all ranks, "layer 3 feed_forward.up forward: not finite". REQUIRES: some rank
  // observed a bad place.
  [[nodiscard]] std::string agree(Communicator& world) const;

 private:
  struct Place {
    int layer;
    std::string_view operation;
    Direction direction;
    std::int64_t order;  // in which a micro batch passes the places
    bool operator==(const Place& other) const {
      return layer == other.layer && operation == other.operation && direction == other.direction;
    }
  };
  const Place& place_of(int layer, std::string_view operation, Direction direction);
  [[nodiscard]] std::string name() const;

  Device& device_;
  Verdict& verdict_;
  std::int64_t layers_;
  std::vector<Place> places_;
  static constexpr std::int64_t kNowhere = INT64_MAX;
  std::int64_t first_ = kNowhere;  // order, twice, and 1 when finite: what is not finite is named at a tie
  Place first_place_{};
};

}  // namespace megalith
