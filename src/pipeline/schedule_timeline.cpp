#include "pipeline/schedule_timeline.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "core/error.h"

namespace megalith {
namespace {

// What lies between two ranks, of activations or of gradients.
struct Channel {
  std::optional<Instruction> message;  // as its sender named it
  double there = 0;                    // when the message can be received
  double free = 0;                     // when the last one was
};

class Player {
 public:
  Player(const ScheduleShape& shape, const std::vector<std::vector<Instruction>>& lists,
         const PassCosts& costs)
      : shape_(shape), lists_(lists), costs_(costs), next_(lists.size()), clock_(lists.size()) {
    timeline_.shape = shape;
    timeline_.ranks.resize(lists.size());
  }

  ScheduleTimeline play() {
    bool moved = true;
    while (moved) {
      moved = false;
      for (std::size_t rank = 0; rank < lists_.size(); ++rank) {
        while (next_[rank] < lists_[rank].size() && step(rank, lists_[rank][next_[rank]])) {
          ++next_[rank];
          moved = true;
        }
      }
    }
    for (std::size_t rank = 0; rank < lists_.size(); ++rank) {
      timeline_.length = std::max(timeline_.length, clock_[rank]);
      if (next_[rank] < lists_[rank].size()) note_waiting(rank);
    }
    for (const auto& [key, channel] : channels_) {
      if (channel.message && timeline_.standstill.empty())
        timeline_.standstill = fmt::format("what rank {} sent last was not received", std::get<0>(key));
    }
    return std::move(timeline_);
  }

 private:
  // From, to, gradients.
  using Key = std::tuple<int, int, bool>;

  // False where the rank has to wait for another.
  bool step(std::size_t rank, const Instruction& instruction) {
    const int below = (static_cast<int>(rank) + shape_.stages - 1) % shape_.stages;
    const int above = (static_cast<int>(rank) + 1) % shape_.stages;
    const int self = static_cast<int>(rank);
    const bool first = rank == 0;
    const bool last = above == 0;
    Instruction other = instruction;  // as the other side names the chunk
    switch (instruction.operation) {
      case Operation::receive_activation:
        other.operation = Operation::send_activation;
        if (first) --other.chunk;
        return receive(rank, channels_[{below, self, false}], other);
      case Operation::receive_gradient:
        other.operation = Operation::send_gradient;
        if (last) ++other.chunk;
        return receive(rank, channels_[{above, self, true}], other);
      case Operation::send_activation:
        return send(rank, channels_[{self, above, false}], instruction);
      case Operation::send_gradient:
        return send(rank, channels_[{self, below, true}], instruction);
      case Operation::reduce:
        return true;
      default:
        return pass(rank, instruction);
    }
  }

  bool send(std::size_t rank, Channel& channel, const Instruction& instruction) {
    if (channel.message) return false;
    clock_[rank] = std::max(clock_[rank], channel.free);
    channel.message = instruction;
    channel.there = clock_[rank] + costs_.message;
    return true;
  }

  bool receive(std::size_t rank, Channel& channel, const Instruction& expected) {
    if (!channel.message || *channel.message != expected) return false;
    clock_[rank] = std::max(clock_[rank], channel.there);
    channel.free = clock_[rank];
    channel.message.reset();
    return true;
  }

  bool pass(std::size_t rank, const Instruction& instruction) {
    const double begin = clock_[rank];
    clock_[rank] += cost_of(instruction.operation) / shape_.chunks;
    timeline_.ranks[rank].push_back({instruction, begin, clock_[rank]});
    return true;
  }

  [[nodiscard]] double cost_of(Operation operation) const {
    if (operation == Operation::forward) return costs_.forward;
    if (operation == Operation::backward_input) return costs_.backward_input;
    if (operation == Operation::backward_weight) return costs_.backward_weight;
    return costs_.backward_input + costs_.backward_weight;
  }

  void note_waiting(std::size_t rank) {
    const Instruction& waiting = lists_[rank][next_[rank]];
    timeline_.standstill += fmt::format("{}rank {} waits at {} of chunk {}, micro batch {}",
                                        timeline_.standstill.empty() ? "" : "; ", rank,
                                        name_of(waiting.operation), waiting.chunk, waiting.micro_batch);
  }

  ScheduleShape shape_;
  const std::vector<std::vector<Instruction>>& lists_;
  PassCosts costs_;
  std::vector<std::size_t> next_;
  std::vector<double> clock_;
  std::map<Key, Channel> channels_;
  ScheduleTimeline timeline_;
};

}  // namespace

double ScheduleTimeline::busy(int rank) const {
  double sum = 0;
  for (const Bar& bar : ranks[static_cast<std::size_t>(rank)]) sum += bar.end - bar.begin;
  return sum;
}

double ScheduleTimeline::bubble() const {
  double sum = 0;
  for (int rank = 0; rank < shape.stages; ++rank) sum += busy(rank);
  return length == 0 ? 0 : 1 - sum / (length * shape.stages);
}

ScheduleTimeline play(const ScheduleShape& shape, const std::vector<std::vector<Instruction>>& lists,
                      const PassCosts& costs) {
  return Player(shape, lists, costs).play();
}

ScheduleTimeline play(const ScheduleShape& shape, const PassCosts& costs) {
  std::vector<std::vector<Instruction>> lists;
  for (int rank = 0; rank < shape.stages; ++rank) lists.push_back(training_schedule(shape, rank));
  return play(shape, lists, costs);
}

}  // namespace megalith
