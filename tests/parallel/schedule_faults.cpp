#include "parallel/schedule_faults.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "core/error.h"

namespace megalith::test {
namespace {

using List = std::vector<Instruction>;
using Edit = std::function<void(List&)>;

constexpr ScheduleShape kAlternating{ScheduleKind::one_f_one_b, 2, 1, 4};
constexpr ScheduleShape kAllThere{ScheduleKind::gpipe, 2, 1, 4};
constexpr ScheduleShape kHalves{ScheduleKind::zero_bubble, 2, 1, 4};
constexpr ScheduleShape kChunks{ScheduleKind::interleaved, 2, 2, 4};

List::iterator place_of(List& list, const Instruction& wanted) {
  const auto place = std::find(list.begin(), list.end(), wanted);
  MEGALITH_CHECK(place != list.end(), "no {} of micro batch {}", name_of(wanted.operation),
                 wanted.micro_batch);
  return place;
}

Edit without(Instruction forgotten) {
  return [=](List& list) { list.erase(place_of(list, forgotten)); };
}
Edit instead(Instruction right, Instruction wrong) {
  return [=](List& list) { *place_of(list, right) = wrong; };
}
Edit swapped(Instruction one, Instruction other) {
  return [=](List& list) { std::iter_swap(place_of(list, one), place_of(list, other)); };
}
Edit behind(Instruction there, Instruction added) {
  return [=](List& list) { list.insert(place_of(list, there) + 1, added); };
}
Edit moved_before(Instruction there, Instruction moved) {
  return [=](List& list) {
    list.erase(place_of(list, moved));
    list.insert(place_of(list, there), moved);
  };
}
// Everything of one micro batch and direction in the place of the other's, messages too.
Edit exchanged(bool forward, int one, int other) {
  return [=](List& list) {
    for (Instruction& i : list) {
      const bool of_forward = i.operation <= Operation::send_activation;
      if (i.operation == Operation::reduce || of_forward != forward) continue;
      if (i.micro_batch == one || i.micro_batch == other) i.micro_batch = one + other - i.micro_batch;
    }
  };
}

// On one rank; of steps that have what the edit needs.
ScheduleFault fault(std::string name, const ScheduleShape& shape, int faulty, Edit edit) {
  return {.name = std::move(name), .shape = shape, .make = [=](const ScheduleShape& wanted, int rank) {
            List list = training_schedule(wanted, rank);
            if (rank == faulty && wanted.micro_batches >= 4) edit(list);
            return list;
          }};
}

Instruction pass(Operation operation, int micro_batch, int chunk = 0) {
  return {operation, chunk, micro_batch};
}

}  // namespace

const std::vector<ScheduleFault>& schedule_faults() {
  using Op = Operation;
  static const std::vector<ScheduleFault> kFaults = {
      fault("backward passes of two micro batches in another order", kAllThere, 1,
            swapped(pass(Op::backward, 1), pass(Op::backward, 2))),
      fault("the same with their messages", kAllThere, 1, exchanged(false, 1, 2)),
      fault("forward passes with their messages in another order", kAllThere, 1, exchanged(true, 0, 3)),
      fault("backward with the activations of another micro batch", kAllThere, 0,
            instead(pass(Op::backward, 1), pass(Op::backward, 2))),
      fault("backward before forward", kAlternating, 1, swapped(pass(Op::forward, 2), pass(Op::backward, 2))),
      fault("a forward pass forgotten", kAlternating, 0, without(pass(Op::forward, 1))),
      fault("a forward pass done twice", kAlternating, 1, behind(pass(Op::forward, 1), pass(Op::forward, 1))),
      fault("a backward pass forgotten", kAlternating, 1, without(pass(Op::backward, 3))),
      fault("a backward pass done twice", kAlternating, 0,
            behind(pass(Op::backward, 1), pass(Op::backward, 1))),
      fault("a weight half forgotten", kHalves, 1, without(pass(Op::backward_weight, 2))),
      fault("a weight half done twice", kHalves, 1,
            behind(pass(Op::backward_weight, 2), pass(Op::backward_weight, 2))),
      fault("a weight half before its input half", kHalves, 0,
            swapped(pass(Op::backward_input, 2), pass(Op::backward_weight, 2))),
      fault("the weight half of another micro batch", kHalves, 1,
            instead(pass(Op::backward_weight, 1), pass(Op::backward_weight, 2))),
      fault("both halves at once where the list has a weight half, too", kHalves, 0,
            instead(pass(Op::backward_input, 2), pass(Op::backward, 2))),
      fault("gradients never summed", kAlternating, 0, without(pass(Op::reduce, 0))),
      fault("gradients summed twice", kAlternating, 1, behind(pass(Op::reduce, 0), pass(Op::reduce, 0))),
      fault("gradients summed before the last backward pass", kAlternating, 0,
            moved_before(pass(Op::backward, 3), pass(Op::reduce, 0))),
      fault("one chunk's gradients summed twice, the other's never", kChunks, 1,
            instead(pass(Op::reduce, 0, 0), pass(Op::reduce, 0, 1))),
      fault("an activation sent to nobody", kAlternating, 0, without(pass(Op::send_activation, 2))),
      fault("an activation sent twice", kAlternating, 0,
            behind(pass(Op::send_activation, 3), pass(Op::send_activation, 3))),
      fault("an activation sent down as a gradient", {ScheduleKind::one_f_one_b, 3, 1, 4}, 1,
            instead(pass(Op::send_activation, 1), pass(Op::send_gradient, 1))),
      fault("an activation sent before it is made", kAllThere, 0,
            swapped(pass(Op::forward, 1), pass(Op::send_activation, 1))),
      fault("two activations sent when the second is made", kAllThere, 0,
            swapped(pass(Op::send_activation, 1), pass(Op::forward, 2))),
      fault("an activation not received", kAlternating, 1, without(pass(Op::receive_activation, 1))),
      fault("a gradient not received", kAlternating, 0, without(pass(Op::receive_gradient, 2))),
      fault("a gradient received when it was needed already", kAlternating, 0,
            swapped(pass(Op::receive_gradient, 2), pass(Op::backward, 2))),
      fault("a gradient not sent", kAlternating, 1, without(pass(Op::send_gradient, 0))),
      fault("each stage waits for the other", kAlternating, 0,
            moved_before(pass(Op::send_activation, 0), pass(Op::receive_gradient, 0))),
      fault("a chunk in the place of another", kChunks, 1,
            swapped(pass(Op::forward, 1, 0), pass(Op::forward, 1, 1))),
      fault("the gradient of another chunk", kChunks, 0,
            swapped(pass(Op::backward, 1, 0), pass(Op::backward, 1, 1))),
  };
  return kFaults;
}

}  // namespace megalith::test
