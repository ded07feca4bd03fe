// What a rank of a pipeline is told to do: schedules are lists of these, the engine only obeys.
//
// The model is cut into stages x chunks pieces of consecutive layers: chunk c of the rank that is stage p
// holds piece c * stages + p, so a micro batch passes all stages once per chunk, upwards in forward and
// downwards in backward.
#pragma once

#include <cstdint>

namespace megalith {

enum class Operation : std::uint8_t {
  receive_activation,  // the chunk's input, from the stage before
  forward,
  send_activation,   // the chunk's result, to the stage after
  receive_gradient,  // of the chunk's result, from the stage after
  backward,          // both halves at once
  backward_input,    // the half that the stage before waits for
  backward_weight,   // the half that nobody waits for
  send_gradient,     // of the chunk's input, to the stage before
  reduce,            // nothing more is added to the chunk's gradients: sums over data ranks may end
};

constexpr const char* name_of(Operation operation) {
  constexpr const char* kNames[] = {"receive activation", "forward",       "send activation",
                                    "receive gradient",   "backward",      "backward input",
                                    "backward weight",    "send gradient", "reduce"};
  return kNames[static_cast<int>(operation)];
}

struct Instruction {
  Operation operation = Operation::forward;
  int chunk = 0;
  int micro_batch = 0;  // of reduce: meaningless
  bool operator==(const Instruction&) const = default;
};

}  // namespace megalith
