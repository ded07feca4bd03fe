// Texts that ranks tell each other: what several writers of a checkpoint need (run/checkpoint.h).
#pragma once

#include "comm/communicator.h"
#include "run/checkpoint.h"

namespace megalith {

// Collective: every rank's text, in rank order. `ranks` outlives it.
GatherTexts gather_texts(Communicator& ranks);

}  // namespace megalith
