#include "pipeline/schedule.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/error.h"

namespace megalith {
namespace {

// The passes of one rank in order; messages are put around them at the end.
class Passes {
 public:
  void forward(int micro_batch, int chunk = 0) { list_.push_back({Operation::forward, chunk, micro_batch}); }
  void backward(int micro_batch, int chunk = 0) {
    list_.push_back({Operation::backward, chunk, micro_batch});
  }
  void backward_input(int micro_batch) { list_.push_back({Operation::backward_input, 0, micro_batch}); }
  void backward_weight(int micro_batch) { list_.push_back({Operation::backward_weight, 0, micro_batch}); }
  std::vector<Instruction> take() { return std::move(list_); }

 private:
  std::vector<Instruction> list_;
};

// Huang et al., arXiv 1811.06965: all micro batches there, then all back. Simple, and everything waits.
std::vector<Instruction> gpipe(int micro_batches) {
  Passes passes;
  for (int i = 0; i < micro_batches; ++i) passes.forward(i);
  for (int i = 0; i < micro_batches; ++i) passes.backward(i);
  return passes.take();
}

// Narayanan et al., arXiv 2104.04473, section 2.2. A micro batch is back on a stage after it has passed each
// later stage twice. Until then the stage has time for one more forward pass per later stage: that is how far
// it runs ahead. From then on one forward pass follows one backward pass, so nothing more has to wait.
std::vector<Instruction> one_forward_one_backward(int stages, int micro_batches, int rank) {
  const int ahead = std::min(stages - 1 - rank, micro_batches);
  Passes passes;
  for (int i = 0; i < ahead; ++i) passes.forward(i);
  for (int i = ahead; i < micro_batches; ++i) {
    passes.forward(i);
    passes.backward(i - ahead);
  }
  for (int i = micro_batches - ahead; i < micro_batches; ++i) passes.backward(i);
  return passes.take();
}

// ZB-H1 of Qi et al., arXiv 2401.10241. The order of forward passes and input halves is 1F1B's, so gradients
// travel down as soon as they can. The weight half of a micro batch waits for as many input halves as there
// are earlier stages: a late stage hurries through its input halves, which the stages before it wait for, and
// does weight halves at the end, when it would have nothing to do. What waits for an input half here and for
// a weight half there is p micro batches on every stage, as many as 1F1B has on the first.
std::vector<Instruction> zero_bubble(int stages, int micro_batches, int rank) {
  const int ahead = std::min(stages - 1 - rank, micro_batches);
  const int behind = rank;
  Passes passes;
  const auto backward = [&](int i) {
    passes.backward_input(i);
    if (i >= behind) passes.backward_weight(i - behind);
  };
  for (int i = 0; i < ahead; ++i) passes.forward(i);
  for (int i = ahead; i < micro_batches; ++i) {
    passes.forward(i);
    backward(i - ahead);
  }
  for (int i = micro_batches - ahead; i < micro_batches; ++i) backward(i);
  for (int i = std::max(0, micro_batches - behind); i < micro_batches; ++i) passes.backward_weight(i);
  return passes.take();
}

// The order in which interleaved ranks take up (micro batch, chunk): a group of as many micro batches as
// there are stages passes chunk after chunk, since the first of the group is back at the first stage just
// when the last has left it. A last group that is not full has holes, which nobody does.
struct Place {
  int micro_batch, chunk;
};
class GroupedOrder {
 public:
  explicit GroupedOrder(const ScheduleShape& shape) : shape_(shape) {}
  [[nodiscard]] int count() const {
    const int groups = (shape_.micro_batches + shape_.stages - 1) / shape_.stages;
    return groups * shape_.stages * shape_.chunks;
  }
  [[nodiscard]] Place forward(int k) const {
    const int group = shape_.stages * shape_.chunks;
    return {.micro_batch = k / group * shape_.stages + k % shape_.stages, .chunk = k % group / shape_.stages};
  }
  [[nodiscard]] Place backward(int k) const {
    const Place place = forward(k);
    return {.micro_batch = place.micro_batch, .chunk = shape_.chunks - 1 - place.chunk};
  }
  [[nodiscard]] bool hole(const Place& place) const { return place.micro_batch >= shape_.micro_batches; }

 private:
  ScheduleShape shape_;
};

// Narayanan et al., section 2.2: 1F1B over chunks. A stage runs ahead by the chunks before the last, which
// the first group passes before any gradient exists, and by two passes for each later stage.
std::vector<Instruction> interleaved(const ScheduleShape& shape, int rank) {
  const GroupedOrder order(shape);
  const int ahead =
      std::min((shape.chunks - 1) * shape.stages + 2 * (shape.stages - 1 - rank), order.count());
  Passes passes;
  const auto forward = [&](int k) {
    const Place place = order.forward(k);
    if (!order.hole(place)) passes.forward(place.micro_batch, place.chunk);
  };
  const auto backward = [&](int k) {
    const Place place = order.backward(k);
    if (!order.hole(place)) passes.backward(place.micro_batch, place.chunk);
  };
  for (int k = 0; k < ahead; ++k) forward(k);
  for (int k = ahead; k < order.count(); ++k) {
    forward(k);
    backward(k - ahead);
  }
  for (int k = order.count() - ahead; k < order.count(); ++k) backward(k);
  return passes.take();
}

std::vector<Instruction> passes_of(const ScheduleShape& shape, int rank) {
  switch (shape.kind) {
    case ScheduleKind::gpipe:
      return gpipe(shape.micro_batches);
    case ScheduleKind::one_f_one_b:
      return one_forward_one_backward(shape.stages, shape.micro_batches, rank);
    case ScheduleKind::interleaved:
      return interleaved(shape, rank);
    case ScheduleKind::zero_bubble:
      return zero_bubble(shape.stages, shape.micro_batches, rank);
  }
  MEGALITH_CHECK(false, "unknown schedule");
}

// A result is sent as soon as it exists and received just before it is used. Both sides of a pair of
// neighbours take up micro batches in one order, so sends and receives meet.
std::vector<Instruction> with_messages(const std::vector<Instruction>& passes, const ScheduleShape& shape,
                                       int rank) {
  const int last_piece = shape.stages * shape.chunks - 1;
  std::vector<Instruction> list;
  for (const Instruction& pass : passes) {
    const int piece = pass.chunk * shape.stages + rank;
    const auto add = [&](bool wanted, Operation operation) {
      if (wanted) list.push_back({operation, pass.chunk, pass.micro_batch});
    };
    const bool forward = pass.operation == Operation::forward;
    const bool gradient =
        pass.operation == Operation::backward || pass.operation == Operation::backward_input;
    add(forward && piece > 0, Operation::receive_activation);
    add(gradient && piece < last_piece, Operation::receive_gradient);
    list.push_back(pass);
    add(forward && piece < last_piece, Operation::send_activation);
    add(gradient && piece > 0, Operation::send_gradient);
  }
  return list;
}

// Behind the last pass that adds to a chunk's gradients. A rank without micro batches has something to reduce
// too: nothing.
std::vector<Instruction> with_reductions(std::vector<Instruction> list, int chunks) {
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const auto last = std::find_if(list.rbegin(), list.rend(), [&](const Instruction& instruction) {
      return instruction.chunk == chunk && instruction.operation != Operation::send_gradient;
    });
    list.insert(last.base(), {Operation::reduce, chunk, 0});
  }
  return list;
}

}  // namespace

std::vector<Instruction> training_schedule(const ScheduleShape& shape, int rank) {
  MEGALITH_CHECK(rank >= 0 && rank < shape.stages && shape.micro_batches >= 0, "rank {} of {}", rank,
                 shape.stages);
  MEGALITH_CHECK(shape.chunks == 1 || (shape.kind == ScheduleKind::interleaved && shape.stages > 1),
                 "{} chunks over {} stages", shape.chunks, shape.stages);
  return with_reductions(with_messages(passes_of(shape, rank), shape, rank), shape.chunks);
}

std::vector<Instruction> forward_schedule(const ScheduleShape& shape, int rank) {
  const GroupedOrder order(shape);
  Passes passes;
  for (int k = 0; k < order.count(); ++k) {
    const Place place = order.forward(k);
    if (!order.hole(place)) passes.forward(place.micro_batch, place.chunk);
  }
  return with_messages(passes.take(), shape, rank);
}

int most_in_flight(const ScheduleShape& shape, int rank) {
  const int all = shape.micro_batches;
  switch (shape.kind) {
    case ScheduleKind::gpipe:
      return all;
    case ScheduleKind::one_f_one_b:
      return std::min(shape.stages - rank, all);
    case ScheduleKind::zero_bubble:
      return std::min(shape.stages, all);
    case ScheduleKind::interleaved:
      return std::min((shape.chunks - 1) * shape.stages + 2 * (shape.stages - 1 - rank) + 1,
                      all * shape.chunks);
  }
  MEGALITH_CHECK(false, "unknown schedule");
}

int peak_in_flight(std::span<const Instruction> instructions) {
  const auto is = [](const Instruction& instruction, Operation operation) {
    return instruction.operation == operation;
  };
  const bool halves = std::any_of(instructions.begin(), instructions.end(),
                                  [&](const Instruction& i) { return is(i, Operation::backward_weight); });
  const bool training = std::any_of(instructions.begin(), instructions.end(),
                                    [&](const Instruction& i) { return is(i, Operation::reduce); });
  std::size_t peak = 0;
  std::set<std::pair<int, int>> waiting;
  for (const Instruction& i : instructions) {
    const std::pair<int, int> key{i.chunk, i.micro_batch};
    if (is(i, Operation::receive_activation) || is(i, Operation::forward)) waiting.insert(key);
    peak = std::max(peak, waiting.size());
    const bool done = is(i, Operation::backward) || is(i, Operation::backward_weight) ||
                      (!training && is(i, Operation::forward));
    if (done || (!halves && is(i, Operation::backward_input))) waiting.erase(key);
  }
  return static_cast<int>(peak);
}

}  // namespace megalith
