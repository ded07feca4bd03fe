// Starting a verb as ranks: threads of this process (--ranks N), or processes that mpirun or srun started.
//
// Every rank runs the same body. Whatever a rank prints is the first one's to print; what may be refused is
// looked at by agreed(), which tells a refusal once and ends all ranks alike.
#pragma once

#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

#include "app/exit_code.h"
#include "comm/communicator.h"
#include "core/error.h"

namespace megalith::app {

using RankBody = std::function<ExitCode(Communicator& world)>;

// `ranks`: what --ranks says; 0: nothing, so the environment decides. Returns what the first rank's body
// returns.
ExitCode launch(std::int64_t ranks, const RankBody& body);

// Thrown on all ranks at once by agreed(); only the rank that is to tell has text. launch() turns it into the
// exit code.
struct AgreedRefusal {
  Refusals refusals;
};

// Collective. Ends all ranks with the refusals of the first rank that has any; null: this rank has none.
void agree_on_refusals(Communicator& world, const Refusals* mine);

// Collective. Runs what may refuse on this rank, which talks to no other.
template <class F>
auto agreed(Communicator& world, F look) {
  using Result = std::invoke_result_t<F>;
  try {
    if constexpr (std::is_void_v<Result>) {
      look();
      agree_on_refusals(world, nullptr);
    } else {
      Result result = look();
      agree_on_refusals(world, nullptr);
      return result;
    }
  } catch (const RefusedInput& refused) {
    agree_on_refusals(world, &refused.refusals());
    throw;  // not reached
  }
}

// Collective. Refuses values that are not the same on all ranks.
void require_same(Communicator& world, std::uint64_t value, const char* what);

// Computing threads of one rank where the config names none: this host's share of processors, at least one.
int threads_of_rank(Communicator& world);

}  // namespace megalith::app
