#include "pipeline/schedule_proof.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/error.h"
#include "pipeline/schedule_timeline.h"

namespace megalith {
namespace {

bool is_message(Operation operation) {
  return operation == Operation::receive_activation || operation == Operation::send_activation ||
         operation == Operation::receive_gradient || operation == Operation::send_gradient;
}

// How far a micro batch is in a chunk.
enum class Progress : std::uint8_t { nothing, forward, input_half, done };

std::string text_of(const Instruction& instruction) {
  if (instruction.operation == Operation::reduce) return fmt::format("reduce of chunk {}", instruction.chunk);
  return fmt::format("{} of chunk {}, micro batch {}", name_of(instruction.operation), instruction.chunk,
                     instruction.micro_batch);
}

// One rank's list by itself.
class RankProof {
 public:
  RankProof(const ScheduleShape& shape, int rank, const std::vector<Instruction>& list)
      : shape_(shape),
        rank_(rank),
        list_(list),
        progress_(static_cast<std::size_t>(shape.chunks * shape.micro_batches)),
        reduced_(static_cast<std::size_t>(shape.chunks)) {}

  std::string flaw() {
    for (std::size_t i = 0; i < list_.size(); ++i) {
      if (const std::string wrong = flaw_at(i); !wrong.empty())
        return fmt::format("rank {}: {}: {}", rank_, text_of(list_[i]), wrong);
    }
    for (int chunk = 0; chunk < shape_.chunks; ++chunk) {
      for (int micro_batch = 0; micro_batch < shape_.micro_batches; ++micro_batch) {
        if (progress_of({Operation::forward, chunk, micro_batch}) != Progress::done)
          return fmt::format("rank {}: chunk {} is not done with micro batch {}", rank_, chunk, micro_batch);
      }
      if (!reduced_[static_cast<std::size_t>(chunk)])
        return fmt::format("rank {}: chunk {} is never reduced", rank_, chunk);
    }
    const int waiting = peak_in_flight(list_);
    const int promised = most_in_flight(shape_, rank_);
    if (waiting <= promised) return {};
    return fmt::format("rank {}: {} activations wait, {} were promised", rank_, waiting, promised);
  }

 private:
  std::string flaw_at(std::size_t i) {
    const Instruction& instruction = list_[i];
    if (instruction.chunk < 0 || instruction.chunk >= shape_.chunks) return "no such chunk";
    if (instruction.operation == Operation::reduce) return flaw_of_reduce(instruction.chunk);
    if (instruction.micro_batch < 0 || instruction.micro_batch >= shape_.micro_batches)
      return "no such micro batch";
    return is_message(instruction.operation) ? flaw_of_message(i) : flaw_of_pass(i);
  }

  std::string flaw_of_reduce(int chunk) {
    for (int micro_batch = 0; micro_batch < shape_.micro_batches; ++micro_batch) {
      if (progress_of({Operation::forward, chunk, micro_batch}) != Progress::done)
        return fmt::format("before the last pass of micro batch {}", micro_batch);
    }
    if (reduced_[static_cast<std::size_t>(chunk)]) return "once more";
    reduced_[static_cast<std::size_t>(chunk)] = true;
    return {};
  }

  // Beside which pass a message must stand.
  std::string flaw_of_message(std::size_t i) const {
    const Operation operation = list_[i].operation;
    const bool activation =
        operation == Operation::receive_activation || operation == Operation::send_activation;
    const bool receives =
        operation == Operation::receive_activation || operation == Operation::receive_gradient;
    const Instruction* pass = receives ? neighbour(i, 1) : neighbour(i, -1);
    const bool right =
        pass != nullptr && pass->chunk == list_[i].chunk && pass->micro_batch == list_[i].micro_batch &&
        (activation ? pass->operation == Operation::forward
                    : pass->operation == Operation::backward || pass->operation == Operation::backward_input);
    return right ? "" : receives ? "its pass is not next" : "its pass was not just before";
  }

  std::string flaw_of_pass(std::size_t i) {
    const Instruction& pass = list_[i];
    Progress& progress = progress_of(pass);
    const int piece = pass.chunk * shape_.stages + rank_;
    const bool first = piece == 0;
    const bool last = piece == shape_.stages * shape_.chunks - 1;
    switch (pass.operation) {
      case Operation::forward:
        if (std::exchange(progress, Progress::forward) != Progress::nothing) return "once more";
        return missing_message(i, !first, Operation::receive_activation, !last, Operation::send_activation);
      case Operation::backward:
      case Operation::backward_input:
        if (progress != Progress::forward)
          return progress == Progress::nothing ? "before the forward pass" : "once more";
        progress = pass.operation == Operation::backward ? Progress::done : Progress::input_half;
        return missing_message(i, !last, Operation::receive_gradient, !first, Operation::send_gradient);
      default:
        if (progress != Progress::input_half)
          return progress == Progress::done ? "once more" : "before the input half";
        progress = Progress::done;
        return {};
    }
  }

  [[nodiscard]] std::string missing_message(std::size_t i, bool needs, Operation receive, bool makes,
                                            Operation send) const {
    const auto beside = [&](int step, Operation operation) {
      const Instruction* other = neighbour(i, step);
      return other != nullptr && *other == Instruction{operation, list_[i].chunk, list_[i].micro_batch};
    };
    if (needs && !beside(-1, receive)) return fmt::format("without {}", name_of(receive));
    if (makes && !beside(1, send)) return fmt::format("without {}", name_of(send));
    return {};
  }

  // The next instruction that way; to reduce is no part of a pass.
  [[nodiscard]] const Instruction* neighbour(std::size_t i, int step) const {
    const auto end = static_cast<std::ptrdiff_t>(list_.size());
    for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(i) + step; at >= 0 && at < end; at += step) {
      const Instruction& other = list_[static_cast<std::size_t>(at)];
      if (other.operation != Operation::reduce) return &other;
    }
    return nullptr;
  }
  Progress& progress_of(const Instruction& instruction) {
    return progress_[static_cast<std::size_t>(instruction.chunk * shape_.micro_batches +
                                              instruction.micro_batch)];
  }

  const ScheduleShape& shape_;
  int rank_;
  const std::vector<Instruction>& list_;
  std::vector<Progress> progress_;
  std::vector<bool> reduced_;
};

}  // namespace

std::string schedule_flaw(const ScheduleShape& shape, const std::vector<std::vector<Instruction>>& lists) {
  for (int rank = 0; rank < shape.stages; ++rank) {
    std::string flaw = RankProof(shape, rank, lists[static_cast<std::size_t>(rank)]).flaw();
    if (!flaw.empty()) return flaw;
  }
  return play(shape, lists).standstill;
}

std::string schedule_flaw(const ScheduleShape& shape, const MakeSchedule& make) {
  std::vector<std::vector<Instruction>> lists;
  for (int rank = 0; rank < shape.stages; ++rank) lists.push_back(make(shape, rank));
  return schedule_flaw(shape, lists);
}

}  // namespace megalith
