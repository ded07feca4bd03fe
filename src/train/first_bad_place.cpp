#include "train/first_bad_place.h"

#include <algorithm>
#include <array>

#include "core/error.h"

namespace megalith {

const FirstBadPlace::Place& FirstBadPlace::place_of(int layer, std::string_view operation,
                                                    Direction direction) {
  const Place wanted{layer, operation, direction, 0};
  if (const auto found = std::find(places_.begin(), places_.end(), wanted); found != places_.end())
    return *found;
  // Up the layers, then down again; within one in the order of its first micro batch, which passes all of
  // them.
  constexpr std::int64_t kMostPerLayer = 1 << 10;
  const std::int64_t height = layer == -2 ? layers_ + 1 : layer + 1;
  const std::int64_t level = direction == Direction::forward ? height : 2 * layers_ + 3 - height;
  const auto before = std::count_if(places_.begin(), places_.end(), [&](const Place& other) {
    return other.layer == layer && other.direction == direction;
  });
  places_.push_back({layer, operation, direction, level * kMostPerLayer + before});
  return places_.back();
}

void FirstBadPlace::observe(int layer, std::string_view operation, Direction direction,
                            const Tensor& tensor) {
  const Place place = place_of(layer, operation, direction);
  const bool finite = device_.optimizer().all_finite(tensor);
  if (finite && !verdict_.bad()) return;
  verdict_.clear();  // the next micro batch has one of its own
  const std::int64_t order = 2 * place.order + (finite ? 1 : 0);
  if (order >= first_) return;
  first_ = order;
  first_place_ = place;
}

std::string FirstBadPlace::name() const {
  const Place& place = first_place_;
  const std::string layer = place.layer >= 0    ? fmt::format("layer {}", place.layer)
                            : place.layer == -1 ? "start"
                                                : "head";
  return fmt::format(
      "{} {} {}: {}", layer, place.operation, place.direction == Direction::forward ? "forward" : "backward",
      first_ % 2 == 1 ? "a loss or gradient contribution out of range just before" : "not finite");
}

std::string FirstBadPlace::agree(Communicator& world) const {
  // The least order, and of those who have it the lowest rank, which tells the name.
  const auto least = [&world](std::int64_t value) {
    std::array<std::int64_t, 1> negative{-value};
    world.wait(world.all_reduce(negative, IntegerReduction::maximum));
    return -negative[0];
  };
  const std::int64_t first = least(first_);
  MEGALITH_CHECK(first != kNowhere, "a bad step without a bad place");
  const auto teller = static_cast<int>(least(first_ == first ? world.rank() : world.size()));
  std::array<char, 256> text{};
  if (teller == world.rank()) {
    const std::string mine = name();
    std::copy_n(mine.begin(), std::min(mine.size(), text.size() - 1), text.begin());
  }
  world.wait(world.broadcast(std::as_writable_bytes(std::span(text)), teller));
  return text.data();
}

}  // namespace megalith
